"""The schema's version: checked by one query on every open; Alembic is imported only to change something."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Engine, MetaData, inspect, select, table
from sqlalchemy import column as sql_column
from sqlalchemy.exc import SQLAlchemyError

from schedsearch.errors import SchemaMismatch, StoreError
from schedsearch.store.engine import make_engine
from schedsearch.store.records import SchemaStatus

VERSION_TABLE = "schedsearch_alembic_version"
HEAD = "0001"
PACKAGE = Path(__file__).resolve().parent.parent


@cache
def migrations_folder() -> Path:
    """Inside an installed package, or beside it in a checkout."""
    installed = PACKAGE / "_db"
    return installed if installed.is_dir() else PACKAGE.parent / "db"


def status(engine: Engine) -> SchemaStatus:
    """What is there and what this code expects."""
    found = None
    if inspect(engine).has_table(VERSION_TABLE):
        with engine.connect() as connection:
            found = connection.scalar(select(sql_column("version_num")).select_from(table(VERSION_TABLE)))
    return SchemaStatus(found, HEAD, found == HEAD)


def ensure(engine: Engine) -> None:
    """Make the schema in an empty database; refuse any other version. Raises SchemaMismatch naming the command."""
    now = status(engine)
    if now.found is None:
        migrate(engine)
    elif now.found < HEAD:
        raise SchemaMismatch(
            f"The store has schema {now.found}, this schedsearch needs {HEAD}: run `schedsearch db upgrade`."
        )
    elif now.found > HEAD:
        raise SchemaMismatch(
            f"The store has schema {now.found}, newer than this schedsearch's {HEAD}: install the newer schedsearch."
        )


def migrate(engine: Engine) -> None:
    """Bring the schema to HEAD; safe to run from several processes at once (the others wait or find it done)."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        if not status(engine).fits:  # another process did not do it meanwhile either
            raise StoreError(f"The schema could not be made: {_first_line(error)}") from error


def upgrade(url: str) -> None:
    """`schedsearch db upgrade`."""
    engine = make_engine(url)
    try:
        migrate(engine)
    finally:
        engine.dispose()


def check(url: str) -> SchemaStatus:
    """`schedsearch db check`."""
    engine = make_engine(url)
    try:
        return status(engine)
    finally:
        engine.dispose()


def model_metadata() -> MetaData:
    """The tables that the migrations must produce."""
    from schedsearch.store.tables import metadata

    return metadata


def _first_line(error: Exception) -> str:
    return str(error.__cause__ or error).strip().splitlines()[0]
