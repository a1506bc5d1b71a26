"""The report as text: what stands where, what is escaped, what it never imports."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from report_example import Example, example_rows

from schedsearch.report.data import assemble
from schedsearch.report.html import render_report
from schedsearch.report.values import Interval

WICKED = "</script><script>document.title='pwned'</script><img src=x onerror=alert(1)>"


def rendered(given: Example | None = None, *, finished: bool = True) -> str:
    return render_report(assemble(example_rows(given or Example(), finished=finished)))


@pytest.fixture(scope="module")
def clear() -> str:
    return rendered()


def visible(html: str) -> str:
    """The page's text: scripts, styles and tags taken out."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", bare))


def chart_values(html: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.S)
    assert found is not None
    return dict(json.loads(found.group(1)))


def test_the_verdict_comes_first(clear: str) -> None:
    text = visible(clear)
    order = [
        "Clear: better than every other finalist",
        "linear warm-up 5 %, hold, then linear cooldown",
        "Loss lower than the baselines, each at its own tuned base LR, by",
        "Three questions, three answers",
        "The confirmation: finalists and baselines",
        "Learning rates and what came of them",
        "How far from the best shape",
        "Score by arm",
        "The search",
        "The model",
        "Diagnosis of every run",
        "What this holds for",
        "Every candidate",
    ]
    places = [text.index(one) for one in order]
    assert places == sorted(places)


def test_an_answer_reads_under_its_title_and_names_the_base_lr_it_makes_possible(clear: str) -> None:
    text = visible(clear)
    assert re.search(r"Warm-up: yes clear .* It lowers the loss by .* makes a base LR of 0\.021 possible", text)
    assert "without it the best is 0.008, 2.6x lower" in text
    assert "Warm-up: yes." not in text


def test_what_was_held_fixed_and_the_noise_are_shown(clear: str) -> None:
    text = visible(clear)
    assert "optimizer adamw batch size 32" in text
    assert "noise between seeds sd 0.0" in text
    assert "search space framework (" in text
    assert "torch 2.13.0" in text
    assert "With 6 seeds a finalist, differences of about 0.02 show." in text


def test_warnings_stand_right_below_the_verdict() -> None:
    text = visible(rendered(Example(warnings=["Seeds 1 .. 3 were used twice."])))
    assert text.index("Before you believe it Seeds 1 to 3 were used twice.") < text.index("Three questions")


def test_the_model_section_says_what_the_model_is_worth(clear: str) -> None:
    text = visible(clear)
    assert "It explains the results about as well as a second training would" in text
    assert "What of a curve matters largest LR: stability 31 %" in text
    assert "The best curve of every arm, as the model sees it" in text
    values = chart_values(clear)["model"]
    assert len(values["points"]) > 30
    assert {"measured", "predicted"} == values["points"][0].keys()
    assert values["agreement"]["y"][-1] == pytest.approx(0.93, abs=0.02)


def test_every_run_has_a_diagnosis_and_the_arms_are_counted(clear: str) -> None:
    text = visible(clear)
    told = re.search(r"Without warm-up (\d+) of (\d+) runs at base LR 0\.0\d+ or more started unstable", text)
    assert told is not None
    assert 0 < int(told[1]) <= int(told[2])
    runs = chart_values(clear)["diagnosis"]["runs"]
    assert len(runs) == clear.count('<tr id="run-')
    assert sum(one["kind"] == "unstable start" for one in runs) >= int(told[1])
    assert "It diverged at update 57, 14 % of the way" in text


def test_each_question_has_a_section_with_a_picture_of_score_against_base_lr(clear: str) -> None:
    assert re.findall(r'<section class="pair answer" id="answer-(\w+)"', clear) == ["warmup", "decay", "restarts"]
    values = chart_values(clear)
    assert [one["key"] for one in values["questions"]] == ["warmup", "decay", "restarts"]
    warmup = values["questions"][0]
    assert [one["answer"] for one in warmup["confirmed"]] == ["yes", "no"]
    assert len(warmup["runs"]) == sum(1 for one in values["searched"])
    assert {one["score"] is None for one in warmup["runs"]} == {True, False}
    text = visible(clear)
    assert "Its answers like different base LRs: from 0.008 (no) to 0.021 (yes), 2.6x apart." in text
    assert re.search(r"What mattered in the search PED-ANOVA fANOVA base LR 62 % 81 % warm-up 21 % 11 %", text)


def test_every_arm_has_its_runs_against_base_lr_and_the_budget_is_told(clear: str) -> None:
    arms = re.findall(r'<svg class="cloud" role="img" aria-label="(\d+) runs', clear)
    assert sum(map(int, arms)) == len(chart_values(clear)["searched"])
    assert clear.count('class="lost"') >= 4
    assert re.search(r"Asked for: 40 trials\. Spent: 119 runs, [\d ]+ updates, \d+ min of training", visible(clear))


def test_both_shapes_are_drawn_and_the_free_one_is_a_yardstick(clear: str) -> None:
    values = chart_values(clear)
    named, free = values["shape"]
    roles = {one["id"]: one["role"] for one in values["series"]}
    assert (roles[named], roles[free]) == ("winner", "free shape")
    text = visible(clear)
    assert "free shape yardstick" in text
    assert "The best named family is within" in text
    assert "linear warm-up + spline" not in text  # no arm of this space


def test_without_a_free_shape_nothing_is_said_of_it() -> None:
    html = rendered(Example(with_free_shape=False))
    assert "free shape" not in visible(html)
    assert "How far from the best shape" not in visible(html)
    assert chart_values(html)["shape"] is None


def test_a_verdict_that_kept_no_picture_of_the_model_has_no_section() -> None:
    rows = example_rows(Example())
    assert rows.verdict is not None
    old = replace(rows.verdict, details={"warnings": []})
    text = visible(render_report(assemble(replace(rows, verdict=old))))
    assert "The model" not in text
    assert "The search" in text


def test_a_tie_says_so_and_a_baseline_that_diverged_is_not_compared() -> None:
    given = Example(effect=0.02, noise=0.05, diverging=("cosine",), metric="accuracy", direction="maximize")
    text = visible(rendered(given))
    assert re.search(r"Tie: \d of \d cannot be told apart Use the simplest of them constant; base LR 0.006", text)
    assert "cosine not comparable (3 of 6 seeds diverged)" in text
    assert "Accuracy higher than the baselines" in text


def test_an_unfinished_study_has_no_verdict_and_says_so() -> None:
    text = visible(rendered(finished=False))
    assert "No verdict yet This study is running in its search phase." in text
    assert "Score by arm" in text
    assert "P(best)" not in text


@pytest.mark.parametrize("field", ["name", "task", "metric"])
def test_names_are_escaped_wherever_they_stand(field: str) -> None:
    html = rendered(Example(**{field: WICKED}))
    assert WICKED not in html
    assert "<img" not in html
    assert html.count("<script") == html.count("</script>") == 3
    assert "&lt;img src=x" in html


def test_texts_of_the_verdict_are_escaped() -> None:
    html = rendered(Example(warnings=[WICKED], held_fixed={WICKED: WICKED}))
    assert WICKED not in html
    assert html.count("<script") == 3


def test_the_page_may_fetch_nothing_and_run_only_its_own_scripts(clear: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', clear)
    assert policy is not None
    parts = policy.group(1).replace("&#39;", "'").split("; ")
    assert parts[0] == "default-src 'none'"
    assert re.fullmatch(r"script-src( 'sha256-[A-Za-z0-9+/=]+'){2}", parts[1])
    assert not re.search(r'(?:src|href)="', clear.partition("<script")[0])


def test_numbers_that_json_does_not_have_become_null() -> None:
    data = assemble(example_rows(Example()))
    broken = replace(data.predictions[0], predicted=Interval(float("nan"), float("-inf"), None))
    html = render_report(replace(data, predictions=(broken,)))
    assert chart_values(html)["predictions"][0]["predicted"] == {"value": None, "low": None, "high": None}


def test_rendering_imports_no_engine() -> None:
    code = (
        "import sys, schedsearch.report.html, schedsearch.report.data, schedsearch.report.exports;"
        "found = {'torch', 'optuna', 'mlflow', 'botorch'} & sys.modules.keys(); sys.exit(str(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
