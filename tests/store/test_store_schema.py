"""The migrations make what the code expects, beside Optuna's tables, and another version's schema is refused."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, inspect
from store_cases import UPDATES, baseline, completed, make_study, queue_runs, searched, take, verdict_of
from store_databases import query

from schedsearch.errors import SchemaMismatch
from schedsearch.store import NewRun, Phase, RunState, SchemaStatus, Store, check, tune_engine, upgrade
from schedsearch.store.migrations import HEAD, VERSION_TABLE, migrations_folder, model_metadata

VIEWS = {"schedsearch_leaderboard", "schedsearch_curves", "schedsearch_answers", "schedsearch_comparisons"}


def tables_and_views(url: str) -> tuple[set[str], set[str]]:
    engine = create_engine(url, poolclass=NullPool)
    found = inspect(engine)
    names = set(found.get_table_names()), set(found.get_view_names())
    engine.dispose()
    return names


def test_the_first_opening_makes_exactly_the_schema(empty: str) -> None:
    assert check(empty) == SchemaStatus(None, HEAD, fits=False)
    Store.open(empty).close()
    assert check(empty) == SchemaStatus(HEAD, HEAD, fits=True)
    tables, views = tables_and_views(empty)
    assert tables == {*model_metadata().tables, VERSION_TABLE}
    assert views == VIEWS
    assert all(name.startswith("schedsearch_") for name in tables | views)


def test_the_migrations_make_the_tables_of_the_code(url: str) -> None:
    def ours(name: str | None, kind: str, parents: Any) -> bool:
        return kind != "table" or str(name) in model_metadata().tables

    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": ours, "compare_type": True})
        assert compare_metadata(context, model_metadata()) == []
    engine.dispose()


def test_the_newest_migration_is_the_one_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


def test_upgrading_again_changes_nothing(url: str, store: Store, study_id: int) -> None:
    before = tables_and_views(url)
    upgrade(url)
    upgrade(url)
    assert tables_and_views(url) == before
    assert store.study("a-study").id == study_id


def test_an_upgrade_that_was_killed_half_way_can_be_done_again(empty: str) -> None:
    with Store.open(empty) as store:
        make_study(store)
    query(empty, f"delete from {VERSION_TABLE}")
    query(empty, "drop view schedsearch_curves")
    query(empty, "drop table schedsearch_model_check")
    assert not check(empty).fits
    with Store.open(empty) as store:
        assert [study.name for study in store.studies()] == ["a-study"]
    assert check(empty).fits
    tables, views = tables_and_views(empty)
    assert tables == {*model_metadata().tables, VERSION_TABLE}
    assert views == VIEWS


def test_an_older_schema_is_refused_with_the_command(empty: str) -> None:
    Store.open(empty).close()
    query(empty, f"update {VERSION_TABLE} set version_num = '0000'")
    with pytest.raises(SchemaMismatch, match=rf"has schema 0000, .* needs {HEAD}: run `schedsearch db upgrade`\."):
        Store.open(empty)
    assert check(empty) == SchemaStatus("0000", HEAD, fits=False)


def test_a_newer_schema_is_refused_and_never_changed(empty: str) -> None:
    Store.open(empty).close()
    query(empty, f"update {VERSION_TABLE} set version_num = '9999'")
    for attempt in (Store.open, upgrade):
        with pytest.raises(SchemaMismatch, match=rf"schema 9999, newer than .* {HEAD}: install the newer schedsearch"):
            attempt(empty)
    assert check(empty) == SchemaStatus("9999", HEAD, fits=False)


def test_alembic_is_imported_only_to_change_something(url: str) -> None:
    code = "import sys, schedsearch.store as it; it.Store.open(sys.argv[1]).close(); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"


@contextmanager
def optuna_study(url: str) -> Iterator[optuna.Study]:
    storage = optuna.storages.RDBStorage(url)
    tune_engine(storage.engine)
    yield optuna.create_study(storage=storage, study_name="a-study", load_if_exists=True)
    storage.remove_session()
    storage.engine.dispose()


def search_one(url: str) -> int:
    """One trial of Optuna's; how many there are then."""
    with optuna_study(url) as study:
        trial = study.ask()
        study.tell(trial, trial.suggest_float("base_lr", 1e-4, 1.0, log=True))
        return len(study.trials)


@pytest.mark.parametrize("optuna_first", [True, False])
def test_optuna_lives_in_the_same_database(empty: str, optuna_first: bool) -> None:
    if optuna_first:
        assert search_one(empty) == 1
    with Store.open(empty) as store:
        study_id = make_study(store).id
        queue_runs(store, study_id, 1)
        assert search_one(empty) == 1 + optuna_first
        store.finish(take(store), completed(), [])
        assert store.runs(study_id)[0].state is RunState.COMPLETED
    assert check(empty).fits
    tables, _ = tables_and_views(empty)
    assert {"studies", "trials", "alembic_version", *model_metadata().tables} < tables
    upgrade(empty)
    assert search_one(empty) == 2 + optuna_first
    Store.open(empty).close()


def test_a_store_of_the_first_schema_is_upgraded_with_its_studies(empty: str) -> None:
    with Store.open(empty) as store:
        make_study(store)
    query(empty, "drop table schedsearch_probe")
    query(empty, f"update {VERSION_TABLE} set version_num = '0001'")
    with pytest.raises(SchemaMismatch, match=r"has schema 0001, .* run `schedsearch db upgrade`"):
        Store.open(empty)
    upgrade(empty)
    with Store.open(empty) as store:
        assert [study.name for study in store.studies()] == ["a-study"]
        assert store.probe("a" * 64) is None


def test_a_store_from_before_copies_is_upgraded_and_its_runs_are_known(empty: str) -> None:
    with Store.open(empty) as store:
        queue_runs(store, make_study(store).id, 1)
        store.finish(take(store), completed(), [])
    for view in VIEWS:
        query(empty, f"drop view {view}")
    query(empty, "alter table schedsearch_run drop column copied_from")
    on_mysql = " on schedsearch_candidate" if empty.startswith("mysql") else ""
    query(empty, f"drop index ix_schedsearch_candidate_schedule_key{on_mysql}")
    query(empty, f"update {VERSION_TABLE} set version_num = '0006'")
    upgrade(empty)
    assert tables_and_views(empty)[1] == VIEWS
    with Store.open(empty) as store:
        again = make_study(store, "again").id
        queued = NewRun(store.add_candidate(again, searched()), Phase.SEARCH, 0, 0, UPDATES)
        assert store.add_runs(again, [queued], reuse=True) == 1
        assert [(run.state, run.score) for run in store.runs(again)] == [(RunState.COMPLETED, 0.25)]
    assert query(empty, "select study, copied from schedsearch_leaderboard order by study") == [
        {"study": "a-study", "copied": 0},
        {"study": "again", "copied": 1},
    ]


def test_a_store_from_before_permutation_tests_is_upgraded_with_its_verdict(empty: str) -> None:
    with Store.open(empty) as store:
        study_id = make_study(store).id
        winner, other = store.add_candidate(study_id, searched()), store.add_candidate(study_id, baseline())
        token = store.take_planner(study_id, "planner", 60.0)
        assert token is not None
        store.save_verdict(study_id, token, verdict_of(winner, other))
    for view in VIEWS:
        query(empty, f"drop view {view}")
    for table in ("comparison", "answer"):
        query(empty, f"alter table schedsearch_{table} drop column p_permutation")
    query(empty, f"update {VERSION_TABLE} set version_num = '0003'")
    upgrade(empty)
    assert tables_and_views(empty)[1] == VIEWS
    with Store.open(empty) as store:
        verdict = store.verdict(study_id)
    assert verdict is not None
    assert [(one.difference, one.p_permutation) for one in verdict.comparisons] == [(-0.2, None)]
