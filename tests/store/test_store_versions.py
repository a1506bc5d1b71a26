"""A database of every schema that was ever released, with rows in it: refused with the command, upgraded, read."""

from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, inspect, text
from store_cases import STUDY, baseline, completed, make_study, queue_runs, row, searched, take, verdict_of
from store_databases import query

from schedsearch.errors import SchemaMismatch
from schedsearch.store import Phase, RunState, Store, StudyState, check, upgrade
from schedsearch.store.engine import make_engine
from schedsearch.store.migrations import HEAD, VERSION_TABLE, migrations_folder, model_metadata
from schedsearch.store.rows import candidate_values

VERSIONS = sorted(path.name[:4] for path in (migrations_folder() / "versions").glob("[0-9]*.py"))
NOW = 1_790_000_000.0
# The rows of one study in every table; of a column that a version has not got nothing is written.
ROWS: dict[str, list[dict[str, Any]]] = {
    "study": [
        {**vars(STUDY), "id": 1, "phase": "confirm", "state": "finished", "created_at": NOW, "planner_token": 3},
        {**vars(STUDY), "id": 2, "name": "b", "phase": "search", "state": "running", "created_at": NOW,
         "planner_token": 0},
    ],
    "candidate": [
        {"id": 1, **candidate_values(1, searched())},
        {"id": 2, **candidate_values(2, searched())},
    ],
    "run": [
        {"id": number, "study_id": study, "candidate_id": study, "phase": phase, "round": 0, "seed": number,
         "total_updates": 100, "state": state, "attempt": attempt, "leases_lost": 0, "created_at": NOW, "score": score,
         "told": False, "mirrored": False, "failure": "error" if state == "failed" else None, "reason": reason}
        for number, (study, phase, state, attempt, score, reason) in enumerate(
            [(1, "confirm", "completed", 1, 0.25, None), (1, "search", "diverged", 2, None, "The loss was not finite."),
             (1, "search", "failed", 1, None, "ValueError: x."), (2, "search", "waiting", 0, None, None)], 1)
    ],
    "measurement": [
        {"run_id": 1, "update_number": 99, "attempt": 1, "lr": 0.1 / 3, "train_loss": 0.1, "val_loss": 0.1,
         "metrics": {"accuracy": 2 / 3}},
    ],
    "verdict": [
        {"study_id": 1, "recommended_id": 1, "winner_id": 1, "is_tie": False, "text": "Recommended: that.",
         "details": {"warnings": ["one"]}, "created_at": NOW},
    ],
    "standing": [
        {"study_id": 1, "candidate_id": 1, "role": "winner", "seeds": 5, "diverged": 0, "mean": 0.1, "ci_low": 0.05,
         "ci_high": 0.15, "probability_best": 0.9, "test_mean": 0.11, "rank_position": 1, "is_recommended": True,
         "is_tied": False},
    ],
    "comparison": [
        {"study_id": 1, "candidate_id": 1, "against_id": 1, "difference": -0.2, "ci_low": -0.3, "ci_high": -0.1,
         "p_value": 0.01, "paired": True, "seeds": 5, "p_permutation": 0.0625},
    ],
    "answer": [
        {"study_id": 1, "question": "decay", "answer": "cosine", "candidate_id": 1, "phase": "confirm", "runs": 5,
         "mean": 0.1, "best_base_lr": 0.1, "is_chosen": True, "sentence": "Cosine."},
    ],
    "model_check": [{"study_id": 1, "runs": 8, "rank_agreement": 0.5}],
    "probe": [
        {"task_fingerprint": "f" * 64, "task": "digits", "task_options": {}, "total_updates": 100, "base_lr_low": 0.01,
         "base_lr_high": 1.0, "best_lr": 0.1, "edge_lr": 0.9, "warmup_matters": True, "sentence": "Look there.",
         "details": {}, "code_version": "0.1.0", "created_at": NOW},
    ],
}  # fmt: skip


def make_version(url: str, version: str) -> None:
    """A database as the code of this schema's time left it."""
    engine = make_engine(url)
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["configure_logger"] = False
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        fill(connection)
    engine.dispose()


def fill(connection: Connection) -> None:
    found = inspect(connection)
    for name, rows in ROWS.items():
        table = model_metadata().tables[f"schedsearch_{name}"]
        if found.has_table(table.name):
            there = {column["name"] for column in found.get_columns(table.name)}
            for one in rows:
                connection.execute(table.insert().values({key: one[key] for key in one if key in there}))
    if connection.dialect.name == "postgresql":  # whoever wrote these rows drew their numbers
        for name in ("study", "candidate", "run"):
            connection.execute(text(f"select setval('schedsearch_{name}_id_seq', 100)"))
    if not found.get_view_names():  # a view of the time, which the upgrade must replace
        connection.execute(text("create view schedsearch_answers as select question from schedsearch_answer"))


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def old(empty: str, version: str) -> Iterator[str]:
    make_version(empty, version)
    yield empty


def test_there_is_a_fixture_for_every_version_and_every_table() -> None:
    assert [f"{number:04d}" for number in range(1, int(HEAD) + 1)] == VERSIONS
    assert {f"schedsearch_{name}" for name in ROWS} == set(model_metadata().tables)


def test_a_store_of_every_version_is_refused_upgraded_read_and_goes_on(old: str, version: str) -> None:
    if version != HEAD:
        with pytest.raises(SchemaMismatch, match=rf"schema {version}, .* run `schedsearch db upgrade`\.$"):
            Store.open(old)
        assert check(old).found == version  # refused, not touched
    upgrade(old)
    assert check(old).fits
    with Store.open(old) as store:
        ended, going = store.studies()
        assert (ended.name, ended.state, going.state) == ("a-study", StudyState.FINISHED, StudyState.RUNNING)
        assert {name: getattr(ended, name) for name in vars(STUDY)} == vars(STUDY)
        assert [run.state for run in store.runs(1)] == [RunState.COMPLETED, RunState.DIVERGED, RunState.FAILED]
        assert store.runs(1)[2].reason == "ValueError: x."
        (measured,) = store.measurements(1)
        assert (measured.lr, measured.metrics) == (0.1 / 3, {"accuracy": 2 / 3})
        verdict = store.verdict(1)
        assert verdict is not None
        assert verdict.standings[0].mean == 0.1
        assert verdict.comparisons[0].difference == -0.2
        assert store.candidates(1)[0].schedule == searched().schedule
        assert store.model_checks(1)[0].rank_agreement == 0.5
    shown = query(old, "select question, answer, p_permutation from schedsearch_answers")
    assert shown == [{"question": "decay", "answer": "cosine", "p_permutation": None}]
    assert query(old, "select count(*) as n from schedsearch_comparisons") == [{"n": 1}]
    with Store.open(old) as store:  # and the unfinished study goes on
        claim = take(store, study_id=2)
        assert (claim.run_id, claim.attempt, claim.phase) == (4, 1, Phase.SEARCH)
        store.finish(claim, completed(), [row(1)])
        token = store.take_planner(2, "planner", 60.0)
        assert token is not None
        store.save_verdict(2, token, verdict_of(2, store.add_candidate(2, baseline())))
        assert store.study("b").state is StudyState.FINISHED
        queue_runs(store, make_study(store, "new").id, 1)
        assert take(store).attempt == 1


def test_a_newer_schema_is_refused_before_anything_is_claimed(empty: str) -> None:
    make_version(empty, HEAD)
    query(empty, f"update {VERSION_TABLE} set version_num = '9999'")
    before = query(empty, "select * from schedsearch_run order by id")
    with pytest.raises(SchemaMismatch, match="install the newer schedsearch"):
        Store.open(empty)
    assert query(empty, "select * from schedsearch_run order by id") == before
