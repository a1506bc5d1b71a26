"""One database of each kind (one test process has it); every test finds it without rows."""

from collections.abc import Iterator

import pytest
from store_cases import make_study
from store_databases import KINDS, fresh_database, query

from schedsearch.store import Store


@pytest.fixture(
    scope="session", params=[pytest.param(kind, marks=pytest.mark.xdist_group(f"store-{kind}")) for kind in KINDS]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def database(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a store that may hold other tests' rows already."""
    with fresh_database(kind, tmp_path_factory.mktemp("store")) as url:
        Store.open(url).close()
        yield url


@pytest.fixture
def url(database: str) -> str:
    """The URL of a store without a row in it."""
    query(database, "delete from schedsearch_study")
    return database


@pytest.fixture
def empty(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a database without a table in it."""
    with fresh_database(kind, tmp_path_factory.mktemp("empty")) as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def study_id(store: Store) -> int:
    return make_study(store).id
