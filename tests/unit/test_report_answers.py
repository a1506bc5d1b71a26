"""The three answers of a study as text and as values: nothing is computed anew, what cannot be said is said."""

import json
from dataclasses import replace

import pytest
from report_example import Example, example_rows

from schedsearch.evidence import liked_base_lrs
from schedsearch.report.answers import Answers, answers_of_study, answers_text
from schedsearch.search.importance import Importances
from schedsearch.space import load_space


def answers(given: Example | None = None) -> Answers:
    rows = example_rows(given or Example())
    assert rows.verdict is not None
    return answers_of_study(rows, rows.verdict)


@pytest.fixture(scope="module")
def clear() -> Answers:
    return answers()


def test_every_question_has_its_sentence_and_its_answers_side_by_side(clear: Answers) -> None:
    text = answers_text(clear)
    assert text.startswith("charlm-framework: loss on charlm, lower is better, 6 seeds a finalist\n")
    places = [text.index(one) for one in ("Warm-up: yes. It lowers the loss by", "Decay: wsd. It", "Restarts: no. One")]
    assert places == sorted(places)
    lines = text.splitlines()
    chosen = next(line for line in lines if line.startswith("  * yes"))
    assert chosen.split()[-3:] == ["0.021", "6", "runs"]
    assert "What mattered in the search (44 runs, one seed each):" in text
    assert "  base LR   62 %       81 %" in lines
    assert "  PED-ANOVA: in what do the best quarter of the searched runs differ from all?" in lines


def test_the_numbers_are_those_of_the_verdict(clear: Answers) -> None:
    rows = example_rows(Example())
    assert rows.verdict is not None
    stored = {(one.question, one.answer): one for one in rows.verdict.answers}
    for question in clear.questions:
        for one in question.answers:
            row = stored[question.key, one.answer]
            assert (one.score.value, one.score.low, one.base_lr) == (row.mean, row.ci_low, row.best_base_lr)
            assert one.lead is None or one.lead.value == pytest.approx(-(row.difference or 0.0))


def test_a_lead_is_positive_where_the_answer_is_better_in_both_directions() -> None:
    for direction, metric in (("minimize", "loss"), ("maximize", "accuracy")):
        warmup = answers(Example(direction=direction, metric=metric)).questions[0]
        leads = {one.answer: one.lead for one in warmup.answers}
        assert leads["yes"] is not None and leads["no"] is not None
        assert leads["yes"].value is not None and leads["yes"].value > 0
        assert leads["no"].value == pytest.approx(-leads["yes"].value)


def test_an_answer_that_was_not_confirmed_says_so_and_has_no_lead(clear: Answers) -> None:
    decay = clear.questions[1]
    rest = [one for one in decay.answers if not one.confirmed]
    assert rest
    assert all(one.lead is None and one.score.low is None for one in rest)
    assert answers_text(clear).count("not confirmed") >= len(rest)


def test_one_that_diverged_is_no_number() -> None:
    text = answers_text(answers(Example(diverging=("cosine", "constant", "warmup_cosine", "step"))))
    assert "diverged" in text


def test_a_question_that_the_space_does_not_ask_is_told_so() -> None:
    rows = example_rows(Example())
    assert rows.verdict is not None
    quick = load_space("quick").with_base_lr(0.0005, 0.1)
    assert len([one for one in quick.answers if one.question == "restarts"]) == 1
    narrow = replace(rows, study=replace(rows.study, space=quick.to_dict()))
    found = answers_of_study(narrow, rows.verdict)
    assert "Restarts: no. The space of this study has no other answer." in answers_text(found)


def test_too_few_runs_for_importances_are_told_instead(clear: Answers) -> None:
    few = replace(clear, importances=Importances(11, (), "Importances need 20 searched runs or more; this has 11."))
    assert answers_text(few).endswith("Importances need 20 searched runs or more; this has 11.")


def test_the_values_are_plain_and_name_what_each_importance_answers(clear: Answers) -> None:
    values = json.loads(json.dumps(clear.to_dict()))
    assert [one["key"] for one in values["questions"]] == ["warmup", "decay", "restarts"]
    assert values["questions"][0]["answers"][0]["lead"].keys() == {"value", "low", "high"}
    assert values["importances"]["choices"][0] == {"choice": "base LR", "ped_anova": 0.62, "fanova": 0.81}
    assert values["importances"]["answers"].keys() == {"ped_anova", "fanova"}


def test_the_base_lrs_that_answers_like() -> None:
    assert liked_base_lrs({"yes": 0.021}) == ""
    assert liked_base_lrs({"yes": 0.021, "no": 0.02}) == (
        "All its answers like about the same base LR (0.02 to 0.021)."
    )
    assert liked_base_lrs({"yes": 0.021, "no": 0.007}) == (
        "Its answers like different base LRs: from 0.007 (no) to 0.021 (yes), 3x apart."
    )
