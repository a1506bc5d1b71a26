"""The SQL that stands under each figure runs, and gives the numbers that the figure draws."""

from collections.abc import Iterator
from typing import Any

import pytest
from report_example import Example
from sqlalchemy import create_engine, text
from stored_example import stored

from schedsearch.report.data import load_report_data
from schedsearch.report.html import render_report
from schedsearch.report.queries import QUERIES, query_of
from schedsearch.report.values import ReportData
from schedsearch.store import Store

STUDY = "charlm-framework"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return stored(tmp_path_factory.mktemp("store"), Example(name="another", seed=9, trials=12), Example())


@pytest.fixture(scope="module")
def data(url: str) -> ReportData:
    with Store.open(url) as store:
        return load_report_data(store, STUDY)


@pytest.fixture(scope="module")
def ask(url: str) -> Iterator[Any]:
    engine = create_engine(url)

    def answers(figure: str) -> list[list[dict[str, Any]]]:
        with engine.connect() as connection:
            parts = [one for one in query_of(figure, STUDY).split(";") if one.strip()]
            return [[dict(row) for row in connection.execute(text(one)).mappings()] for one in parts]

    yield answers
    engine.dispose()


@pytest.mark.parametrize("figure", QUERIES)
def test_every_statement_runs_and_finds_something(ask: Any, figure: str) -> None:
    for rows in ask(figure):
        assert rows


@pytest.mark.parametrize("key", ["warmup", "decay", "restarts"])
def test_a_question_s_numbers_are_those_of_its_section(ask: Any, data: ReportData, key: str) -> None:
    runs, answers = ask(f"question-{key}")
    drawn = [one for one in data.searched if one.kind != "freeform"]
    assert [(one["answer"], one["base_lr"], one["score"]) for one in runs] == [
        (one.answers[key], one.base_lr, one.score) for one in drawn
    ]
    question = next(one for one in data.questions if one.key == key)
    assert {one["answer"]: one["score"] for one in answers} == {one.answer: one.score.value for one in question.answers}


def test_the_finalists_the_budget_and_the_diagnosis_are_the_figures_own(ask: Any, data: ReportData) -> None:
    seeds, leads = ask("finalists")
    assert len(seeds) == sum(len(one.scores) for one in data.finalists)
    assert len(leads) == len(data.finalists) - 1
    (phases,) = ask("budget")
    assert {one["phase"]: (one["runs"], one["updates"]) for one in phases} == {
        one.name: (one.runs, one.updates) for one in data.phases
    }
    rows, runs = ask("diagnosis")
    assert len(runs) == len(data.diagnosis.runs)
    measured = sum(len(one.lrs.x) for one in data.diagnosis.runs)
    assert len(rows) == measured


def test_each_figure_of_the_page_has_its_sql(data: ReportData) -> None:
    html = render_report(data)
    for figure in QUERIES.keys() - {"shapes"}:  # the stored example keeps no free shape
        first = query_of(figure, STUDY).splitlines()[0]
        assert first.replace("'", "&#39;") in html, figure
    assert html.count('<details class="sql">') >= len(QUERIES) - 1


def test_a_quote_in_a_name_stays_inside_its_text() -> None:
    assert "where s.name = 'a''; drop table x; --'" in query_of("budget", "a'; drop table x; --").replace(";\n", "; ")
