"""`compare`: finished studies of one task side by side."""

from __future__ import annotations

from collections.abc import Sequence

from schedsearch.commands.inspect import require_file_store
from schedsearch.report.compare import Comparison, compare_studies
from schedsearch.report.data import read_rows
from schedsearch.store import Store


def compare(storage: str, names: Sequence[str]) -> Comparison:
    """The studies of these names. Raises UnknownStudy, and InvalidInput where they cannot be compared."""
    require_file_store(storage)
    with Store.open(storage) as store:
        return compare_studies([read_rows(store, name, with_curves=False) for name in names])
