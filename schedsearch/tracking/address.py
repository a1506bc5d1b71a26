"""Tracking addresses: which kinds there are, how they are shown, and which page of MLflow to open."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from schedsearch.errors import InvalidInput
from schedsearch.privacy import redact

SQLITE = "sqlite:///"
SERVERS = ("http", "https")
DATABASES = ("sqlite", "postgresql", "mysql", "mariadb")
DEFAULT_PAGE = "http://127.0.0.1:5000"


def check_tracking_uri(tracking_uri: str, storage: str) -> None:
    """Refuse what cannot work: an unknown kind of address, or the results store's own database.

    MLflow and Optuna both own a table named `alembic_version`, so that one SQLite file cannot hold both.
    Raises InvalidInput.
    """
    kind = tracking_uri.partition(":")[0].partition("+")[0]
    if "://" not in tracking_uri or kind not in (*SERVERS, *DATABASES):
        raise InvalidInput(
            "`mlflow` must be the URL of an MLflow server (http://host:5000), a database for MLflow alone "
            f"(sqlite:///mlflow.db) or `none`, but is {redact(tracking_uri)!r} instead."
        )
    if _database(tracking_uri) == _database(storage):
        raise InvalidInput("`mlflow` must be another database than `storage`: their tables would collide.")


def _database(url: str) -> object:
    path = sqlite_path(url)
    if path is not None:
        return path.resolve()
    parts = urlsplit(url)
    return parts.scheme.partition("+")[0], parts.hostname, parts.port, parts.path, parts.query


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite address, or None for another kind."""
    return Path(url.removeprefix(SQLITE).partition("?")[0]) if url.startswith(SQLITE) else None


def is_server(tracking_uri: str) -> bool:
    """Whether the address is an MLflow server (and not a database that this process writes itself)."""
    return urlsplit(tracking_uri).scheme in SERVERS


def serve_command(tracking_uri: str) -> str | None:
    """What to type to look at a mirror in an SQLite file; None for other kinds, which somebody serves already."""
    path = sqlite_path(tracking_uri)
    return None if path is None else f"mlflow server --workers 1 --backend-store-uri {shlex.quote(SQLITE + str(path))}"


def run_page(tracking_uri: str, experiment_id: str, run_id: str) -> str:
    """The page of a run. Without the workflow type a fresh browser would open a page that shows no runs."""
    base = redact(tracking_uri).rstrip("/") if is_server(tracking_uri) else DEFAULT_PAGE
    return f"{base}/#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def charts_link(experiment_id: str, parent_id: str, *, ascending: bool) -> str:
    """A link within MLflow, whatever its host: a study's runs as charts, the best objective first."""
    query = {
        "workflowType": "machine_learning",
        "searchFilter": f"tags.`mlflow.parentRunId` = '{parent_id}'",
        "orderByKey": "metrics.`objective`",
        "orderByAsc": str(ascending).lower(),
        "compareRunsMode": "CHART",
    }
    return f"#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"
