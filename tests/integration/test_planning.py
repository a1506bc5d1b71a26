"""A study planned from noise to verdict on a real store, with trainings replaced by a formula that answers at once."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from schedsearch.commands.preparation import _queue_baselines, _queue_noise
from schedsearch.evidence.resolution import half_width
from schedsearch.schedule import Cosine, Schedule, describe_curve
from schedsearch.search.plan import Budget, Plan, make_plan
from schedsearch.space import SearchSpace, arm_of, load_space
from schedsearch.store import NewStudy, Phase, Run, RunResult, RunState, Store, Study, StudyState
from schedsearch.workers.concluding import _role
from schedsearch.workers.planner import Planner
from schedsearch.workers.rows import named_baselines

TOTAL = 120
NOISE = 0.02


@dataclass
class Field:
    """What is trained: a score for every curve, with noise that a seed shares among candidates."""

    diverging: float = 3.0
    crowned: str | None = None
    updates: int = TOTAL  # of the run at hand

    def result(self, schedule: Schedule, seed: int, run_id: int) -> RunResult:
        x = describe_curve(schedule.lrs(TOTAL, 10))
        if x[2] > self.diverging:
            return RunResult(RunState.DIVERGED, updates_done=7, diverged_at=7, initial_loss=2.3, duration_s=1.0)
        common = np.random.default_rng(seed).normal() * 0.7
        own = np.random.default_rng([seed, run_id]).normal() * 0.7
        score = 1.0 + 0.6 * (x[0] - 1.2) ** 2 + 0.2 * (x[6] + 1.6) ** 2 + NOISE * (common + own)
        bonus = 0.3 if schedule.decay.kind == self.crowned else 0.0
        return RunResult(
            RunState.COMPLETED, score - bonus, score - bonus + 0.01, TOTAL, initial_loss=2.3, duration_s=1.0
        )


def write_study(store: Store, name: str, budget: Budget, space: SearchSpace, **more: Any) -> Study:
    incumbent = more.pop("incumbent", None)
    plan = make_plan(
        budget,
        space,
        total_updates=TOTAL,
        baselines=len(space.baselines) + (incumbent is not None),
        noise_seeds=3,
        confirm_seeds=4,
    )
    new = NewStudy(
        name=name, task="digits", task_options={}, task_fingerprint="f" * 16, metric="loss", direction="minimize",
        space_name=space.name, space_version=space.version, space=space.to_dict(), strategy="curve", seed=0,
        total_updates=TOTAL, updates_per_epoch=10, plan=plan.to_dict(), code_version="0", optuna_study=name,
        budget={**budget.to_dict(), "incumbent": incumbent, "optimizer": "adamw", "batch_size": 32, **more},
    )  # fmt: skip
    study = store.create_study(new)
    _queue_noise(store, study, space, plan)
    _queue_baselines(store, study, named_baselines(space, None if incumbent is None else Schedule.from_dict(incumbent)))
    return study


def serve(store: Store, study: Study, field: Field, *, forgetful: bool = False) -> Study:
    """Train and plan until the study ends; a forgetful worker starts anew for every step."""
    planner = Planner(store, study, "worker")
    for _ in range(2000):
        claim = store.claim("worker", lease_s=60, device="cpu", study_id=study.id)
        if claim is not None:
            field.updates = claim.total_updates
            store.finish(claim, field.result(claim.candidate.schedule, claim.seed, claim.run_id), [])
            continue
        if store.study(study.name).state is not StudyState.RUNNING:
            return store.study(study.name)
        planner = Planner(store, study, "worker") if forgetful else planner
        assert planner.step()
    raise AssertionError("the study never ended")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'study.db'}") as opened:
        yield opened


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Study]]:
    space = load_space("quick").with_base_lr(0.001, 3.0)
    with Store.open(f"sqlite:///{tmp_path_factory.mktemp('planning') / 'study.db'}") as opened:
        study = write_study(opened, "whole", Budget(trials=16), space)
        yield opened, serve(opened, study, Field())


def test_every_phase_stays_within_the_plan(done: tuple[Store, Study]) -> None:
    store, study = done
    assert (study.state, study.phase) == (StudyState.FINISHED, Phase.CONFIRM)
    plan = Plan.from_dict(study.plan)
    count = {phase: len(store.runs(study.id, phase=phase)) for phase in Phase}
    assert count[Phase.NOISE] == plan.noise_seeds
    assert count[Phase.SEARCH] == plan.search_runs
    assert count[Phase.RACE] <= plan.most_race_runs
    assert count[Phase.CONFIRM] <= plan.most_confirm_runs


def test_phases_share_no_seed_and_finalists_share_all(done: tuple[Store, Study]) -> None:
    store, study = done
    seeds = {phase: {run.seed for run in store.runs(study.id, phase=phase)} for phase in Phase}
    assert sum(map(len, seeds.values())) == len(set.union(*seeds.values()))
    confirm = store.runs(study.id, phase=Phase.CONFIRM)
    assert {(run.candidate_id, run.seed) for run in confirm} == {
        (candidate, seed) for candidate in {run.candidate_id for run in confirm} for seed in seeds[Phase.CONFIRM]
    }


def test_free_shapes_are_searched_one_is_raced_briefly_and_confirmed(done: tuple[Store, Study]) -> None:
    store, study = done
    free = {one.id for one in store.candidates(study.id) if one.kind == "freeform"}
    runs = {phase: [run for run in store.runs(study.id, phase=phase) if run.candidate_id in free] for phase in Phase}
    assert len(free) == len(runs[Phase.SEARCH]) == 2
    assert [run.round for run in runs[Phase.RACE]] == [0, 0]
    assert len({run.candidate_id for run in runs[Phase.CONFIRM]}) == 1
    last_search = max(run.id for run in store.runs(study.id, phase=Phase.SEARCH) if run.candidate_id not in free)
    assert min(run.id for run in runs[Phase.SEARCH]) > last_search


def test_the_verdict_names_every_role_and_never_recommends_the_free_shape(done: tuple[Store, Study]) -> None:
    store, study = done
    verdict = store.verdict(study.id)
    assert verdict is not None
    roles = [one.role for one in verdict.standings]
    assert roles.count("winner") == 1
    assert roles.count("free shape") == 1
    assert roles.count("baseline") >= 2
    free = next(one for one in verdict.standings if one.role == "free shape")
    assert not free.is_recommended
    assert not free.is_tied
    assert "spline" not in {one.answer for one in verdict.answers}
    assert {one.against_id for one in verdict.comparisons} >= {free.candidate_id}
    assert verdict.details["shape"]["free_id"] == free.candidate_id
    assert verdict.details["shape"]["sentence"] in verdict.text


def test_baselines_are_confirmed_at_the_best_of_three_base_lrs(done: tuple[Store, Study]) -> None:
    store, study = done
    candidates = {one.id: one for one in store.candidates(study.id)}
    searched = [run for run in store.runs(study.id, phase=Phase.SEARCH) if candidates[run.candidate_id].label]
    verdict = store.verdict(study.id)
    assert verdict is not None
    for label in ("constant", "cosine", "warmup_cosine"):
        tried = {run.candidate_id: run.score for run in searched if candidates[run.candidate_id].label == label}
        assert len(tried) == 3
        roles = {one.candidate_id: one.role for one in verdict.standings if one.candidate_id in tried}
        best = min(tried, key=lambda one: tried[one] if tried[one] is not None else np.inf)
        assert roles[best] in ("baseline", "winner")


def test_a_baseline_that_raced_at_another_base_lr_is_a_runner_up(done: tuple[Store, Study]) -> None:
    store, study = done
    first, second = [one for one in store.candidates(study.id) if one.label == "cosine"][:2]
    assert _role(first, {"cosine": second.id}) == "runner-up"
    assert _role(second, {"cosine": second.id}) == "baseline"
    verdict = store.verdict(study.id)
    assert verdict is not None
    labels = {one.id: one.label for one in store.candidates(study.id)}
    baselines = [labels[one.candidate_id] for one in verdict.standings if one.role == "baseline"]
    assert len(baselines) == len(set(baselines))


def test_the_verdict_keeps_what_a_report_needs(done: tuple[Store, Study]) -> None:
    store, study = done
    verdict = store.verdict(study.id)
    assert verdict is not None
    details = verdict.details
    assert details["held_fixed"] == {"optimizer": "adamw", "batch_size": 32}
    assert details["versions"].keys() >= {"torch", "optuna", "python"}
    assert {one["candidate_id"] for one in details["predictions"]} == {one.candidate_id for one in verdict.standings}
    kinds = {one.id: one.kind for one in store.candidates(study.id)}
    named = [run for run in store.runs(study.id, phase=Phase.SEARCH) if kinds[run.candidate_id] != "freeform"]
    assert details["importances"]["runs"] == len(named)
    assert {one["choice"] for one in details["importances"]["choices"]} == {"base LR", "warm-up", "decay", "restarts"}
    model = details["model"]
    assert len(model["points"]) == len(store.runs(study.id, phase=Phase.SEARCH)) + 3
    assert {one["arm"] for one in model["arms"]} == {arm.label for arm in SearchSpace.from_dict(study.space).arms}
    assert sum(model["features"].values()) == pytest.approx(1.0, abs=1e-4)
    assert model["trust"]["left_out"] > 0.5
    assert model["sentence"] in verdict.text


def test_the_model_is_checked_as_it_goes(done: tuple[Store, Study]) -> None:
    store, study = done
    checks = store.model_checks(study.id)
    assert len(checks) >= 3
    assert [one.runs for one in checks] == sorted({one.runs for one in checks})
    assert checks[-1].rank_agreement is not None
    assert checks[-1].rank_agreement > 0.5


def test_a_worker_that_forgets_everything_between_steps_changes_nothing_but_time(
    done: tuple[Store, Study], store: Store
) -> None:
    told, study = done
    space = SearchSpace.from_dict(study.space)
    again = serve(store, write_study(store, "again", Budget(trials=16), space), Field(), forgetful=True)
    first = [(run.phase, run.seed, run.round) for run in told.runs(study.id)]
    assert [(run.phase, run.seed, run.round) for run in store.runs(again.id)] == first
    before, after = told.candidates(study.id), store.candidates(again.id)
    assert [one.schedule for one in before] == [one.schedule for one in after]


def test_the_users_own_schedule_is_confirmed_and_the_free_arm_asks_for_nothing_extra(store: Store) -> None:
    space = load_space("modern").with_base_lr(0.001, 3.0)
    incumbent = Schedule(0.05, Cosine()).to_dict()
    study = write_study(store, "own", Budget(trials=8), space, incumbent=incumbent)
    serve(store, study, Field(crowned="spline"))
    verdict = store.verdict(study.id)
    assert verdict is not None
    assert [one.role for one in verdict.standings].count("incumbent") == 1
    assert "free shape" not in {one.role for one in verdict.standings}
    assert "freeform" not in {one.kind for one in store.candidates(study.id)}
    chosen = next(one for one in verdict.answers if one.question == "decay" and one.is_chosen)
    assert chosen.answer == "spline"  # an arm like any other here


def test_a_study_starts_from_an_earlier_one(store: Store) -> None:
    space = load_space("quick").with_base_lr(0.001, 3.0)
    serve(store, write_study(store, "earlier", Budget(trials=8), space), Field())
    study = serve(store, write_study(store, "later", Budget(trials=4), space, warm_start="earlier"), Field())
    verdict = store.verdict(study.id)
    assert verdict is not None
    ((name, agreement),) = verdict.details["model"]["earlier"].items()
    assert name == "earlier"
    assert 0 < agreement < 1


def test_a_changed_space_is_searched_from_the_earlier_candidates_that_it_allows(store: Store) -> None:
    old = load_space("quick").with_base_lr(0.001, 3.0)
    earlier = serve(store, write_study(store, "earlier", Budget(trials=12), old), Field())
    only = {**old.to_dict(), "decay": {"cosine": {"power": {"low": 0.5, "high": 2.0}}, "linear": {}}}
    new = SearchSpace.from_dict({**only, "name": "narrower"}).with_base_lr(0.01, 1.0)
    study = serve(store, write_study(store, "later", Budget(trials=8), new, warm_start="earlier"), Field())
    schedules = {one.schedule for one in store.candidates(earlier.id)}
    asked = sorted(
        (one for one in store.candidates(study.id) if one.trial_number is not None), key=lambda one: one.trial_number
    )
    inherited = [one.schedule for one in asked if one.schedule in schedules]
    assert inherited == [one.schedule for one in asked[: len(inherited)]]
    assert 1 <= len({arm_of(one) for one in inherited}) == len(inherited) <= 4
    assert all(new.params_of(one) is not None for one in inherited)


@pytest.mark.parametrize("slower", [1.0, 1.3, 2.0])
def test_a_budget_in_hours_is_never_overshot(store: Store, slower: float) -> None:
    """Also where runs take longer than those of the noise phase did."""

    class Slower(Field):
        def result(self, schedule: Schedule, seed: int, run_id: int) -> RunResult:
            found = super().result(schedule, seed, run_id)
            return replace(found, duration_s=36.0 if run_id <= 20 else 36.0 * slower)

    space = load_space("quick").with_base_lr(0.001, 3.0)
    study = serve(store, write_study(store, "hours", Budget(hours=0.9), space), Slower())
    assert study.state is StudyState.FINISHED
    runs = store.runs(study.id)
    assert 0.6 < sum(run.duration_s or 0.0 for run in runs) / 3600 <= 0.9
    confirm = [run.candidate_id for run in runs if run.phase is Phase.CONFIRM]
    assert min(confirm.count(one) for one in confirm) >= 2


def test_hours_that_are_gone_before_a_confirmation_are_told(store: Store) -> None:
    class Stuck(Field):
        def result(self, schedule: Schedule, seed: int, run_id: int) -> RunResult:
            return replace(super().result(schedule, seed, run_id), duration_s=36.0 if run_id <= 6 else 370.0)

    space = load_space("quick").with_base_lr(0.001, 3.0)
    study = serve(store, write_study(store, "gone", Budget(hours=0.9), space), Stuck())
    assert study.state is StudyState.FAILED
    assert study.reason is not None
    assert study.reason.startswith("`hours` = 0.9 was spent before two runs of a confirmation")
    assert sum(run.duration_s or 0.0 for run in store.runs(study.id)) <= 0.9 * 3600


def test_hours_that_pay_for_too_few_runs_end_the_study_in_words(store: Store) -> None:
    study = write_study(store, "few", Budget(hours=0.004), load_space("quick").with_base_lr(0.001, 3.0))
    ended = serve(store, study, Field())
    assert ended.state is StudyState.FAILED
    assert ended.reason is not None
    assert ended.reason.startswith("`hours` = 0.004, at 1.0 s a run, pays for 13 runs, but this study needs at least")


def test_a_study_that_was_given_up_goes_on_when_its_failed_runs_are_tried_again(store: Store) -> None:
    space = load_space("quick").with_base_lr(0.001, 3.0)
    study = write_study(store, "mended", Budget(trials=4), space)

    class Broken(Field):
        def result(self, schedule: Schedule, seed: int, run_id: int) -> RunResult:
            return RunResult(RunState.FAILED, reason="OSError: no space left on device", duration_s=1.0)

    given_up = serve(store, study, Broken())
    assert given_up.state is StudyState.FAILED
    assert store.retry_failed(study.id) == 6
    store.set_study_state(study.id, StudyState.RUNNING)
    assert serve(store, study, Field()).state is StudyState.FINISHED
    assert {run.state for run in store.runs(study.id)} <= {RunState.COMPLETED, RunState.DIVERGED}


def trained(store: Store, study: Study) -> list[Run]:
    return [run for run in store.runs(study.id) if run.copied_from is None]


@pytest.mark.parametrize("screen", [None, 4])
def test_the_same_study_again_comes_to_its_verdict_without_training(store: Store, screen: int | None) -> None:
    space, budget = load_space("quick").with_base_lr(0.001, 3.0), Budget(trials=8 if screen is None else 24)
    first = serve(store, write_study(store, "first", budget, space, screen=screen), Field())
    again = write_study(store, "again", budget, space, screen=screen)
    assert all(run.state is RunState.COMPLETED for run in store.runs(again.id))
    planner = Planner(store, again, "planner")
    while store.study("again").state is StudyState.RUNNING:
        assert planner.step()
        assert store.claim("worker", lease_s=60, device="cpu", study_id=again.id) is None
    again = store.study("again")
    assert again.state is StudyState.FINISHED
    assert trained(store, again) == []
    before, after = store.runs(first.id), store.runs(again.id)
    assert [run.id for run in before] == [run.copied_from for run in after]
    assert [(run.state, run.score) for run in before] == [(run.state, run.score) for run in after]
    told, said = store.verdict(first.id), store.verdict(again.id)
    assert told is not None
    assert said is not None
    assert said.text == told.text
    assert [replace(one, candidate_id=0) for one in said.standings] == [
        replace(one, candidate_id=0) for one in told.standings
    ]


def test_a_study_that_asks_for_fresh_runs_trains_them_all(store: Store) -> None:
    space, budget = load_space("quick").with_base_lr(0.001, 3.0), Budget(trials=4)
    serve(store, write_study(store, "first", budget, space), Field())
    fresh = serve(store, write_study(store, "fresh", budget, space, fresh=True), Field())
    assert fresh.state is StudyState.FINISHED
    assert trained(store, fresh) == store.runs(fresh.id)


class Dear(Field):
    """Runs of 36 s."""

    def result(self, schedule: Schedule, seed: int, run_id: int) -> RunResult:
        return replace(super().result(schedule, seed, run_id), duration_s=36.0)


def test_the_same_hours_again_spend_nothing(store: Store) -> None:
    space = load_space("quick").with_base_lr(0.001, 3.0)
    first = serve(store, write_study(store, "first", Budget(hours=0.7), space), Dear())
    again = serve(store, write_study(store, "again", Budget(hours=0.7), space), Dear())
    assert (first.state, again.state) == (StudyState.FINISHED, StudyState.FINISHED)
    assert again.plan == first.plan
    assert trained(store, again) == []


def test_copies_leave_a_budget_in_hours_to_what_is_trained(store: Store) -> None:
    """More runs come to a verdict than these hours would have paid for."""
    space = load_space("quick").with_base_lr(0.001, 3.0)
    serve(store, write_study(store, "first", Budget(trials=16), space), Dear())
    again = write_study(store, "again", Budget(hours=0.3), space)
    token = store.take_planner(again.id, "me", 60.0)
    assert token is not None
    store.advance(again.id, token, Phase.SEARCH, {**again.plan, "trials": 16, "freeform_runs": 0})
    store.drop_planner(again.id, token)
    assert serve(store, again, Dear()).state is StudyState.FINISHED
    took_s = sum(run.duration_s or 0.0 for run in store.runs(again.id))
    spent_s = sum(run.duration_s or 0.0 for run in trained(store, again))
    assert spent_s <= 0.3 * 3600 < took_s


def test_a_study_in_which_all_diverge_fails_in_words(store: Store) -> None:
    space = load_space("quick").with_base_lr(0.001, 3.0)
    study = serve(store, write_study(store, "lost", Budget(trials=4), space), Field(diverging=-9.0))
    assert study.state is StudyState.FAILED
    assert study.reason == "No run of the search reached its horizon."


def test_a_verdict_needs_a_confirmed_run(store: Store) -> None:
    space = load_space("quick").with_base_lr(0.001, 3.0)
    study = write_study(store, "late", Budget(trials=4), space)

    class Late(Field):
        def result(self, schedule: Schedule, seed: int, run_id: int) -> RunResult:
            found = super().result(schedule, seed, run_id)
            lost = replace(found, state=RunState.DIVERGED, score=None, test_score=None, diverged_at=3)
            return lost if seed >= 1000 else found

    ended = serve(store, study, Late())
    assert ended.state is StudyState.FAILED
    assert ended.reason == "No run of the confirmation reached its horizon."


def confirmed(store: Store, study: Study) -> tuple[int, Any]:
    """The seeds a finalist of the confirmation, and what the verdict says it resolves."""
    seeds = {run.seed for run in store.runs(study.id, phase=Phase.CONFIRM)}
    verdict = store.verdict(study.id)
    assert verdict is not None
    return len(seeds), verdict


@pytest.mark.parametrize("wanted", [0.012, 0.2])
def test_the_measured_noise_decides_the_seeds_of_a_resolution(store: Store, wanted: float) -> None:
    space = load_space("quick").with_base_lr(0.001, 3.0)
    study = serve(store, write_study(store, "fine", Budget(trials=12), space, resolution=wanted), Field())
    seeds, verdict = confirmed(store, study)
    reached = verdict.details["resolution"]
    assert (reached["asked"], reached["seeds"]) == (wanted, seeds)
    assert seeds == Plan.from_dict(study.plan).confirm_seeds
    if wanted > NOISE:
        assert seeds == 6
        assert half_width(reached["sd"], seeds, reached["correlation"]) < wanted
    else:
        assert seeds > 6
        assert half_width(reached["sd"], seeds, reached["correlation"]) == pytest.approx(wanted, rel=0.5)
    assert f"With {seeds} seeds a finalist" in verdict.text


def test_a_resolution_never_overspends_a_budget_of_updates_and_says_what_it_missed(store: Store) -> None:
    space = load_space("quick").with_base_lr(0.001, 3.0)
    budget = Budget(updates=120 * TOTAL)
    study = serve(store, write_study(store, "short", budget, space, resolution=0.002), Field())
    runs = store.runs(study.id)
    assert len(runs) <= 120
    assert len([run for run in runs if run.phase is Phase.SEARCH]) >= 30
    seeds, verdict = confirmed(store, study)
    assert seeds > 4
    (warning,) = [one for one in verdict.details["warnings"] if "was not reached" in one]
    assert "not 0.002 as asked" in warning


class Contrary(Field):
    """A task on which a shorter horizon likes what the full one does not."""

    def result(self, schedule: Schedule, seed: int, run_id: int) -> RunResult:
        found = super().result(schedule, seed, run_id)
        return found if self.updates == TOTAL or found.score is None else replace(found, score=5.0 - found.score)


def screened(store: Store, field: Field, budget: Budget) -> tuple[Study, dict[Phase, list[Run]], Any]:
    space = load_space("quick").with_base_lr(0.001, 3.0)
    study = serve(store, write_study(store, "screened", budget, space, screen=4), field)
    verdict = store.verdict(study.id)
    assert verdict is not None
    kinds = {one.id: one.kind for one in store.candidates(study.id)}
    runs = {
        phase: [run for run in store.runs(study.id, phase=phase) if kinds[run.candidate_id] == "search"]
        for phase in Phase
    }
    return study, runs, verdict


def test_a_shorter_horizon_that_keeps_the_best_sorts_candidates_out(store: Store) -> None:
    study, runs, verdict = screened(store, Field(), Budget(trials=40))
    short, full = runs[Phase.SCREEN], runs[Phase.SEARCH]
    assert {run.total_updates for run in short} == {TOTAL // 4}
    assert {run.total_updates for run in full} == {TOTAL}
    both = {run.candidate_id for run in short} & {run.candidate_id for run in full}
    details = verdict.details["screening"]
    assert details["calibration"]["candidates"] == 16
    assert details["calibration"]["low"] > 0.5
    assert details["promoted"] == len(both) - 16 > 0
    assert details["sorted_out"] == len(short) - len(both) > details["promoted"]
    assert len({run.candidate_id for run in [*short, *full]}) > 44  # more than the budget trains in full
    assert 39 < len(full) + len(short) / 4 <= 41
    assert details["sentence"] in verdict.text
    unfinished = optuna.load_study(study_name=study.optuna_study, storage=store.url).get_trials()
    states = [trial.state.name for trial in unfinished]
    assert states.count("PRUNED") == details["sorted_out"]
    assert "RUNNING" not in states
    assert set(verdict.details["model"]["earlier"]) == {f"{TOTAL // 4} updates"}


def test_one_that_does_not_is_refused_with_the_reason(store: Store) -> None:
    _, runs, verdict = screened(store, Contrary(), Budget(trials=24))
    assert len(runs[Phase.SCREEN]) == 16
    assert len(runs[Phase.SEARCH]) == 24 - 4
    assert "Screening was refused: of 16 candidates trained for" in verdict.text
    (refused,) = [one for one in verdict.details["warnings"] if "Screening was refused" in one]
    assert "truly best (95 %" in refused


def test_screening_stays_within_a_budget_of_updates(store: Store) -> None:
    study, _, _ = screened(store, Field(), Budget(updates=140 * TOTAL))
    assert sum(run.total_updates for run in store.runs(study.id)) <= 140 * TOTAL
