"""`answers`: what a finished study says to each of the three questions."""

from __future__ import annotations

from schedsearch.commands.inspect import require_file_store
from schedsearch.errors import InvalidInput
from schedsearch.report.answers import Answers, answers_of_study
from schedsearch.report.data import read_rows
from schedsearch.store import Store


def answers(storage: str, name: str) -> Answers:
    """The stored answers of a finished study. Raises UnknownStudy, and InvalidInput while it has no verdict."""
    require_file_store(storage)
    with Store.open(storage) as store:
        rows = read_rows(store, name, with_curves=False)
    if rows.verdict is None:
        state = rows.study.state.value
        raise InvalidInput(f"The study {name!r} answers nothing before it has a verdict; it is {state} now.")
    return answers_of_study(rows, rows.verdict)
