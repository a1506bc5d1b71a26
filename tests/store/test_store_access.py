"""Who may do what: least privilege, passwords that are never shown, clocks of other time zones, bad addresses."""

import secrets
import sqlite3
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from store_cases import (
    baseline,
    completed,
    make_study,
    queue_runs,
    row,
    searched,
    take,
    verdict_of,
)
from store_databases import SERVERS, administer, fresh_database, query, require

from schedsearch.errors import InvalidInput, StoreError
from schedsearch.store import Store, StudyState, check, redact, upgrade
from schedsearch.store.migrations import migrations_folder

SECRET = "s3cr3t-MARK@/#%"  # noqa: S105 - looked for in every error
LOGIN = "only-for-this-test"
ON = {kind: pytest.mark.xdist_group(f"store-{kind}") for kind in ("SQLite", "PostgreSQL", "MariaDB")}


def whole_cycle(store: Store) -> None:
    """Everything that a launch and its workers do to a store."""
    study_id = make_study(store).id
    winner, other = store.add_candidate(study_id, searched()), store.add_candidate(study_id, baseline())
    queue_runs(store, study_id, 2)
    claim = take(store)
    store.write_measurements(claim, [row(1)])
    store.renew(claim, 60.0)
    store.finish(claim, completed(), [row(2)])
    store.release(take(store))
    token = store.take_planner(study_id, "planner", 60.0)
    assert token is not None
    store.add_model_check(study_id, 1, 0.5)
    store.mark_told([claim.run_id])
    store.mark_mirrored(claim.run_id, "abc")
    store.save_verdict(study_id, token, verdict_of(winner, other))
    store.save_verdict(study_id, token, verdict_of(winner, other))
    assert store.study("a-study").state is StudyState.FINISHED


def refused(url: str, statement: str) -> bool:
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text(statement))
    except DBAPIError as error:
        return "denied" in str(error.orig) or "must be owner" in str(error.orig)
    finally:
        engine.dispose()
    return False


class Logins:
    """The roles of db/roles_*.sql under names of this test's own, with one login each, and one without any role."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind, self.url = kind, make_url(url)
        self.mark = secrets.token_hex(3)
        name = "roles_postgresql.sql" if kind == "PostgreSQL" else "roles_mysql.sql"
        script = (migrations_folder() / name).read_text(encoding="utf-8")
        script = script.replace("`schedsearch`", f"`{self.url.database}`")
        for role in ("worker", "reader"):
            script = script.replace(f"schedsearch_{role}", self.role(role))
        self._script = script

    def role(self, role: str) -> str:
        return f"schedsearch_{role}_{self.mark}"

    def make(self) -> None:
        if self.kind == "PostgreSQL":
            self._run(self._script)
            self._run(self._script)
        else:
            self._run(*[one for one in self._script.split(";\n") if one.strip()])
        for role in ("worker", "reader"):
            user, group = f"{role}_{self.mark}", self.role(role)
            if self.kind == "PostgreSQL":
                self._run(f"create role {user} login password '{LOGIN}' in role {group}")
            else:
                self._run(f"create user '{user}'@'%' identified by '{LOGIN}'", f"grant {group} to '{user}'@'%'")
                self._run(f"set default role {group} for '{user}'@'%'")

    def remove(self) -> None:
        for role in ("worker", "reader"):
            user, group = f"{role}_{self.mark}", self.role(role)
            if self.kind == "PostgreSQL":
                self._run(f"drop owned by {group}", f"drop role {user}", f"drop role {group}")
            else:
                self._run(f"drop user '{user}'@'%'", f"drop role {group}")

    def login(self, role: str) -> str:
        user = self.url.set(username=f"{role}_{self.mark}", password=LOGIN)
        return user.render_as_string(hide_password=False)

    def _run(self, *statements: str) -> None:
        administer(self.kind, *statements, database=self.url.database)


@pytest.fixture(params=[pytest.param(kind, marks=ON[kind]) for kind in ("PostgreSQL", "MariaDB")])
def logins(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Logins]:
    with fresh_database(request.param, tmp_path) as url:
        upgrade(url)
        made = Logins(request.param, url)
        made.make()
        yield made
        made.remove()


def test_a_worker_needs_no_right_to_change_the_schema(logins: Logins) -> None:
    with Store.open(logins.login("worker")) as store:
        whole_cycle(store)
    assert check(logins.login("worker")).fits
    for statement in (
        "create table mine (id integer)",
        "drop table schedsearch_model_check",
        "alter table schedsearch_run add column mine integer",
        "truncate table schedsearch_model_check",
        "drop view schedsearch_curves",
    ):
        assert refused(logins.login("worker"), statement), statement


def test_a_reader_reads_and_changes_nothing(logins: Logins) -> None:
    with Store.open(logins.login("worker")) as store:
        whole_cycle(store)
    with Store.open(logins.login("reader")) as store:
        study = store.study("a-study")
        assert store.verdict(study.id) is not None
        assert len(store.runs(study.id)) == 2
        with pytest.raises(StoreError, match="denied"):
            store.set_study_state(study.id, StudyState.RUNNING)
    for view in ("leaderboard", "curves", "answers"):
        assert query(logins.login("reader"), f"select * from schedsearch_{view}")
    assert refused(logins.login("reader"), "delete from schedsearch_study")


def test_a_schema_that_may_not_be_made_is_one_sentence(logins: Logins) -> None:
    administer(logins.kind, *[f"drop view schedsearch_{one}" for one in ("leaderboard", "curves", "answers")],
               "drop table schedsearch_alembic_version", database=logins.url.database)  # fmt: skip
    with pytest.raises(StoreError, match=r"^The schema could not be made\. The store .* failed: .*denied"):
        Store.open(logins.login("worker"))


# ---- passwords


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=ON[kind]) for kind in ("PostgreSQL", "MariaDB")])
def test_no_error_shows_a_password(kind: str) -> None:
    require(kind)
    server = make_url(SERVERS[kind][1])
    nobody = server.set(username="nobody-here", password=SECRET, database="nothing-here")
    wrong = (
        nobody,
        nobody.set(port=1),
        nobody.set(password=None).update_query_dict({"passwd" if kind == "MariaDB" else "password": SECRET}),
    )
    for url in wrong:
        for attempt in (Store.open, check, upgrade):
            with pytest.raises(StoreError, match=r"The store .* failed: .+\.$") as told:
                attempt(url.render_as_string(hide_password=False))
            shown = "".join(traceback.format_exception(told.value))
            assert "s3cr3t" not in shown
            assert str(told.value).count("\n") == 0


def test_a_url_without_its_password() -> None:
    assert redact("postgresql+psycopg://me:s3cr3t@host/db") == "postgresql+psycopg://me:***@host/db"
    assert redact("mysql+pymysql://host/db?passwd=s3cr3t&charset=utf8mb4") == "mysql+pymysql://host/db?charset=utf8mb4"
    assert redact("sqlite:///study.db") == "sqlite:///study.db"
    assert "s3cr3t" not in redact("me:s3cr3t@host")


# ---- addresses


@pytest.mark.parametrize("url", ["", "study.db", "me:s3cr3t@host", "oracle://me:s3cr3t@host/db", "sqlite://", "sqlite:///:memory:"])  # fmt: skip # noqa: E501
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="`storage` must ") as told:
        Store.open(url)
    assert "s3cr3t" not in str(told.value)


def test_an_sqlite_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder.db").mkdir()
    for path in (tmp_path / "file" / "study.db", tmp_path / "folder.db"):
        with pytest.raises(StoreError, match=r"^The store .* cannot be written: .+\.$"):
            Store.open(f"sqlite:///{path}")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes\n" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        Store.open(f"sqlite:///{path}")
    assert path.read_text().startswith("these are my notes")


def test_an_sqlite_file_is_its_owners_alone(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/new/folder/study.db").close()
    assert (tmp_path / "new/folder/study.db").stat().st_mode & 0o777 == 0o600


def test_reading_sqlite_waits_for_no_writer(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with Store.open(f"sqlite:///{path}") as store:
        study = make_study(store)
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("begin immediate")
        writer.execute("update schedsearch_study set reason = 'half written'")
        assert store.study("a-study") == study
        assert store.runs(study.id) == []
        assert store.counts(study.id)
        writer.execute("rollback")
        writer.close()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        pytest.param("postgresql", "postgresql+psycopg", marks=ON["PostgreSQL"]),
        pytest.param("mysql", "mysql+pymysql", marks=ON["MariaDB"]),
        pytest.param("mariadb", "mysql+pymysql", marks=ON["MariaDB"]),
        pytest.param("mariadb+pymysql", "mysql+pymysql", marks=ON["MariaDB"]),
    ],
)
def test_an_address_without_a_driver_gets_ours(given: str, used: str, tmp_path: Path) -> None:
    kind = "PostgreSQL" if given == "postgresql" else "MariaDB"
    with fresh_database(kind, tmp_path) as url:
        full = make_url(url).set(drivername=given).render_as_string(hide_password=False)
        with Store.open(full) as store:
            assert make_url(store.url).drivername == used
            assert make_study(store).id == 1


# ---- clocks


def test_the_databases_clock_is_in_seconds_since_1970(store: Store) -> None:
    assert abs(make_study(store).created_at - time.time()) < 600


@pytest.mark.xdist_group("store-PostgreSQL")
def test_time_zones_expire_no_lease(tmp_path: Path) -> None:
    with fresh_database("PostgreSQL", tmp_path) as url:
        zones = [
            make_url(url).update_query_dict({"options": f"-c timezone={zone}"}).render_as_string(hide_password=False)
            for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles")
        ]
        for holder in zones:
            with Store.open(holder) as store:
                study_id = make_study(store, f"study-{zones.index(holder)}").id
                queue_runs(store, study_id, 1)
                claim = take(store, lease_s=60.0, study_id=study_id)
            for other in zones:
                with Store.open(other) as observer:
                    assert observer.claim("other", lease_s=60.0, device="cpu", study_id=study_id) is None
                    assert observer.take_planner(study_id, holder[-9:], 60.0) is not None
            with Store.open(zones[0]) as store:
                store.renew(claim, -1.0)
            with Store.open(zones[1]) as store:
                assert take(store, "other", study_id=study_id).attempt == 2
