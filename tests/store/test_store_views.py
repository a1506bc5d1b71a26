"""What the views for analysis show, the same on every database."""

from dataclasses import replace

import pytest
from store_cases import COSINE, UPDATES, baseline, completed, make_study, row, searched, take, verdict_of
from store_databases import query

from schedsearch.store import NewRun, Phase, RunResult, RunState, Store


def train(store: Store, study_id: int, candidate_id: int, phase: Phase, *scores: float | None) -> None:
    """One run a score, on as many seeds; None diverges."""
    store.add_runs(study_id, [NewRun(candidate_id, phase, 0, seed, UPDATES) for seed in range(len(scores))])
    for score in scores:
        result = RunResult(RunState.DIVERGED, diverged_at=3) if score is None else completed(score)
        store.finish(take(store, study_id=study_id), result, [])


def add(store: Store, study_id: int, base_lr: float) -> int:
    return store.add_candidate(study_id, searched(COSINE.with_base_lr(base_lr)))


def leaderboard(url: str, columns: str = "*", study: str = "a-study") -> list[dict[str, object]]:
    where = f"where study = '{study}' order by rank_position, candidate_id"
    return query(url, f"select {columns} from schedsearch_leaderboard {where}")


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_leaderboard_ranks_confirmed_scores_before_searched_ones(url: str, store: Store, direction: str) -> None:
    study_id = make_study(store, direction=direction).id
    sign = 1 if direction == "minimize" else -1
    ids = {name: add(store, study_id, 0.1 + 0.1 * place) for place, name in enumerate("abcdefg")}
    train(store, study_id, ids["a"], Phase.SEARCH, 0.01 * sign)
    train(store, study_id, ids["b"], Phase.SEARCH, 0.5 * sign)
    train(store, study_id, ids["b"], Phase.RACE, 0.5 * sign, 0.25 * sign)
    train(store, study_id, ids["c"], Phase.SEARCH, 0.5 * sign)
    train(store, study_id, ids["c"], Phase.CONFIRM, 0.75 * sign, 0.5 * sign, 0.25 * sign)
    train(store, study_id, ids["d"], Phase.CONFIRM, 0.25 * sign, None)
    train(store, study_id, ids["e"], Phase.SEARCH, None)
    train(store, study_id, ids["f"], Phase.CONFIRM, 0.25 * sign, 0.25 * sign)
    found = leaderboard(url, "candidate_id, rank_position, phase, score, seeds, diverged")
    assert [tuple(one.values()) for one in found] == [
        (ids["f"], 1, "confirm", 0.25 * sign, 2, 0),
        (ids["c"], 2, "confirm", 0.5 * sign, 3, 0),
        (ids["d"], 3, "confirm", 0.25 * sign, 2, 1),
        (ids["b"], 4, "race", 0.375 * sign, 2, 0),
        (ids["a"], 5, "search", 0.01 * sign, 1, 0),
        (ids["e"], 6, "search", None, 1, 1),
        (ids["g"], 7, None, None, 0, 0),
    ]


def test_the_leaderboard_ranks_each_study_by_itself(url: str, store: Store, study_id: int) -> None:
    other = make_study(store, "other").id
    train(store, study_id, add(store, study_id, 0.1), Phase.SEARCH, 0.5)
    train(store, other, add(store, other, 0.1), Phase.SEARCH, 0.25)
    assert leaderboard(url, "study, rank_position, score") == [{"study": "a-study", "rank_position": 1, "score": 0.5}]
    assert leaderboard(url, "rank_position, score", "other") == [{"rank_position": 1, "score": 0.25}]


def test_the_leaderboard_tells_what_a_candidate_is(url: str, store: Store, study_id: int) -> None:
    candidate_id = store.add_candidate(study_id, replace(baseline(), schedule=COSINE, answer_restarts="yes"))
    train(store, study_id, candidate_id, Phase.CONFIRM, 0.25, 0.75)
    assert leaderboard(url) == [
        {
            "study": "a-study",
            "candidate_id": candidate_id,
            "kind": "baseline",
            "label": "constant",
            "arm": "constant, single",
            "warmup": "no",
            "decay": "constant",
            "restarts": "yes",
            "base_lr": 0.1,
            "description": COSINE.describe(),
            "phase": "confirm",
            "score": 0.5,
            "lowest_score": 0.25,
            "highest_score": 0.75,
            "test_score": 0.5625,
            "seeds": 2,
            "diverged": 0,
            "copied": 0,
            "rank_position": 1,
        }
    ]


def test_the_curves_are_one_row_a_measurement(url: str, store: Store, study_id: int) -> None:
    candidate_id = add(store, study_id, 0.1)
    store.add_runs(study_id, [NewRun(candidate_id, Phase.RACE, 0, 11, UPDATES)])
    claim = take(store)
    store.write_measurements(claim, [row(9, 0.5), row(19, None)])
    found = query(url, "select * from schedsearch_curves order by update_number")
    assert found[0] == {
        "study": "a-study",
        "run_id": claim.run_id,
        "candidate_id": candidate_id,
        "arm": "warm-up, cosine, restarts",
        "phase": "race",
        "seed": 11,
        "state": "running",
        "total_updates": UPDATES,
        "copied_from": None,
        "update_number": 9,
        "lr": 0.1 / 3,
        "train_loss": 0.5,
        "val_loss": 0.5,
    }
    assert [(one["update_number"], one["train_loss"]) for one in found] == [(9, 0.5), (19, None)]


def test_the_answers_are_one_row_a_question_and_answer(url: str, store: Store, study_id: int) -> None:
    winner, other = store.add_candidate(study_id, searched()), store.add_candidate(study_id, baseline())
    token = store.take_planner(study_id, "planner", 60.0)
    assert token is not None
    store.save_verdict(study_id, token, verdict_of(winner, other))
    decay, warmup = query(url, "select * from schedsearch_answers order by question")
    assert {**decay, "is_chosen": bool(decay["is_chosen"])} == {
        "study": "a-study",
        "question": "decay",
        "answer": "cosine",
        "is_chosen": True,
        "phase": "confirm",
        "runs": 5,
        "score": 0.1,
        "ci_low": 0.05,
        "ci_high": 0.15,
        "difference": -0.2,
        "diff_low": -0.3,
        "diff_high": -0.1,
        "best_base_lr": 0.1,
        "candidate_id": winner,
        "description": COSINE.describe(),
        "sentence": "Cosine.",
        "p_permutation": 0.0625,
    }
    assert (warmup["answer"], warmup["phase"], warmup["score"], warmup["runs"]) == ("no", "race", None, 2)


def test_the_comparisons_are_one_row_a_pair_with_both_tests(url: str, store: Store, study_id: int) -> None:
    winner, other = store.add_candidate(study_id, searched()), store.add_candidate(study_id, baseline())
    token = store.take_planner(study_id, "planner", 60.0)
    assert token is not None
    store.save_verdict(study_id, token, verdict_of(winner, other))
    (found,) = query(url, "select * from schedsearch_comparisons")
    assert {**found, "paired": bool(found["paired"])} == {
        "study": "a-study",
        "candidate_id": winner,
        "is_recommended": 1,
        "description": COSINE.describe(),
        "against_id": other,
        "against_label": "constant",
        "against_description": baseline().schedule.describe(),
        "difference": -0.2,
        "ci_low": -0.3,
        "ci_high": -0.1,
        "p_value": 0.01,
        "p_permutation": 0.0625,
        "paired": True,
        "seeds": 5,
    }
