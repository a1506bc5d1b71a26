"""The report in a real browser: drawn without a network, light and dark, wide and narrow, and nothing is injected."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from browser import CHROMIUM, Page, browser_page
from report_example import Example, example_rows

from schedsearch.report.data import assemble
from schedsearch.report.html import render_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

CHARTS = ("shape", "lr-chart", "learning-chart", "shape-chart", "search-chart", "left-out-chart", "prediction-chart",
          "agreement-chart", "diagnosis-chart",
          "question-warmup", "question-decay", "question-restarts")  # fmt: skip
WICKED = "</script><script>window.pwned=1</script><img src=x onerror='window.pwned=2'>%{x}<b>"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser_page() as opened:
        yield opened


def saved(folder: Path, given: Example, *, finished: bool = True) -> Path:
    path = folder / "report.html"
    path.write_text(render_report(assemble(example_rows(given, finished=finished))), encoding="utf-8")
    return path


def lines(page: Page, chart: str) -> int:
    return int(page.evaluate(f"document.querySelectorAll('#{chart} .scatterlayer .trace').length"))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_every_chart_is_drawn_and_nothing_overflows_or_complains(
    page: Page, tmp_path: Path, width: int, dark: bool
) -> None:
    page.logged.clear()
    page.open(saved(tmp_path, Example()), width, dark=dark)
    assert {chart: lines(page, chart) > 0 for chart in CHARTS} == dict.fromkeys(CHARTS, True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(18, 20, 25)" if dark else "rgb(246, 245, 241)")
    assert page.logged == []


def test_the_winner_is_the_boldest_curve(page: Page, tmp_path: Path) -> None:
    page.open(saved(tmp_path, Example()), 1280)
    widths = page.evaluate(
        "[...document.querySelectorAll('#lr-chart .scatterlayer path.js-line')]"
        ".map(one => parseFloat(getComputedStyle(one).strokeWidth)).sort((a, b) => b - a)"
    )
    assert len(widths) == 9
    assert widths[0] > 2 * widths[1]


def test_a_click_in_the_legend_hides_a_curve_and_a_click_on_a_head_sorts(page: Page, tmp_path: Path) -> None:
    page.open(saved(tmp_path, Example()), 1280)
    before = lines(page, "lr-chart")
    page.evaluate("document.querySelector('#legend button:nth-child(2)').click()")
    assert lines(page, "lr-chart") == before - 1
    page.evaluate("document.querySelector('#candidates details').open = true")
    head = "document.querySelectorAll('#candidates th')[3]"
    column = "[...document.querySelectorAll('#candidates tbody tr')].map(row => parseFloat(row.cells[3].dataset.value))"
    page.evaluate(f"{head}.click()")
    values = page.evaluate(column)
    assert values == sorted(values)
    page.evaluate(f"{head}.click()")
    assert page.evaluate(column) == sorted(values, reverse=True)


def test_names_with_markup_stay_text(page: Page, tmp_path: Path) -> None:
    page.logged.clear()
    given = Example(name=WICKED, task=WICKED, metric=WICKED, warnings=[WICKED], held_fixed={WICKED: WICKED})
    page.open(saved(tmp_path, given), 1280)
    page.evaluate("document.querySelectorAll('#legend button').forEach(one => one.click())")
    assert page.evaluate("window.pwned === undefined")
    assert page.evaluate("document.images.length") == 0
    assert page.evaluate("document.querySelector('.study b').textContent") == WICKED
    assert page.evaluate("document.title").startswith(WICKED)
    assert page.logged == []


def test_a_script_that_is_not_the_report_s_own_may_not_run(page: Page, tmp_path: Path) -> None:
    path = saved(tmp_path, Example())
    path.write_text(path.read_text(encoding="utf-8").replace("</main>", "</main><script>window.pwned=1</script>"))
    page.logged.clear()
    page.open(path, 1280)
    assert page.evaluate("window.pwned === undefined")
    assert any("Content Security Policy" in line for line in page.logged)


def test_an_unfinished_study_is_drawn_too(page: Page, tmp_path: Path) -> None:
    page.logged.clear()
    page.open(saved(tmp_path, Example(), finished=False), 390)
    assert lines(page, "search-chart") > 0
    assert page.logged == []


def test_a_reason_from_a_users_code_stays_text_and_no_link_runs_anything(page: Page, tmp_path: Path) -> None:
    page.logged.clear()
    rows = example_rows(Example(), finished=False)
    reason = f"{WICKED} javascript:window.pwned=3 <a href=javascript:window.pwned=4>x</a>"
    path = tmp_path / "report.html"
    text = render_report(assemble(replace(rows, study=replace(rows.study, reason=reason))))
    path.write_text(text, encoding="utf-8")
    page.open(path, 1280)
    page.evaluate("document.querySelectorAll('a').forEach(one => one.click())")
    assert page.evaluate("window.pwned === undefined")
    assert page.evaluate("document.body.innerText").count("window.pwned=4") == 1
    assert page.evaluate("[...document.links].filter(one => !one.getAttribute('href').startsWith('#')).length") == 0
    assert page.logged == []
