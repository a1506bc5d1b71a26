"""Probes in every database: one a task and its options, the newest."""

from dataclasses import replace

import pytest
from store_databases import query

from schedsearch.errors import InvalidInput
from schedsearch.store import Probe, Store

FOUND = Probe(
    task_fingerprint="a" * 64,
    task="digits",
    task_options={"width": 64, "name": "Übung 🔥"},
    total_updates=400,
    base_lr_low=0.0031,
    base_lr_high=1 / 3,
    best_lr=0.0625,
    edge_lr=0.15594895040582832,
    warmup_matters=True,
    sentence="Look for the base LR between 0.0031 and 0.33.",
    details={"seed": 0, "startup": [{"base_lr": 0.1, "loss": None}]},
    code_version="0.1.0",
)


@pytest.fixture(autouse=True)
def no_probes(url: str) -> None:
    query(url, "delete from schedsearch_probe")


def test_a_probe_is_read_back_as_it_was_written(store: Store) -> None:
    assert store.probe("a" * 64) is None
    store.save_probe(FOUND)
    assert store.probe("a" * 64) == FOUND
    assert store.probe("b" * 64) is None
    assert FOUND.base_lr == (0.0031, 1 / 3)


def test_a_later_probe_replaces_the_earlier_one(url: str, store: Store) -> None:
    store.save_probe(FOUND)
    store.save_probe(replace(FOUND, base_lr_low=0.01, warmup_matters=False))
    found = store.probe("a" * 64)
    assert found is not None
    assert (found.base_lr_low, found.warmup_matters) == (0.01, False)
    rows = query(url, "select created_at > 1700000000 as recent from schedsearch_probe")
    assert [bool(one["recent"]) for one in rows] == [True]


def test_what_no_database_holds_is_refused_and_not_finite_is_not_known(store: Store) -> None:
    with pytest.raises(InvalidInput, match="`task_fingerprint` must have at most 64 characters"):
        store.save_probe(replace(FOUND, task_fingerprint="a" * 65))
    store.save_probe(replace(FOUND, details={"loss": float("nan")}))
    found = store.probe("a" * 64)
    assert found is not None
    assert found.details == {"loss": None}
