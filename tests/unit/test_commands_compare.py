"""`schedsearch compare`: studies of one task side by side, and one sentence where they cannot stand so."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from report_example import Example, example_rows
from stored_example import put, stored

from schedsearch.cli import cli
from schedsearch.commands.compare import compare
from schedsearch.errors import InvalidInput, UnknownStudy
from schedsearch.report.compare import Comparison, compare_studies, comparison_text
from schedsearch.report.rows import StudyRows
from schedsearch.store import Store

ADAMW = Example(name="adamw-study")
MOMENTUM = Example(name="momentum-study", effect=0.1, seed=8, held_fixed={"optimizer": "momentum", "batch_size": "32"})


def rows(given: Example, **changed: object) -> StudyRows:
    found = example_rows(given)
    return replace(found, study=replace(found.study, **changed))  # type: ignore[arg-type]


def both(**changed: object) -> Comparison:
    return compare_studies([rows(ADAMW), rows(MOMENTUM, task_options={"optimizer": "momentum"}, **changed)])


def line(text: str, start: str) -> list[str]:
    """The cells of the row that begins like this."""
    found = next(one for one in text.splitlines() if one.strip().startswith(start))
    return [cell.strip() for cell in found.strip().split("  ") if cell.strip()]


def test_settings_answers_and_baselines_stand_side_by_side() -> None:
    text = comparison_text(both(total_updates=800))
    assert text.startswith("charlm: loss, lower is better. The same in all: batch size 32, space framework (")
    assert line(text, "adamw-study") == ["adamw-study", "momentum-study"]
    assert line(text, "optimizer") == ["optimizer", "adamw", "momentum"]
    assert line(text, "horizon") == ["horizon", "400 updates", "800 updates"]
    assert line(text, "Warm-up")[1].startswith("yes, by 0.023 (95 % 0.004 .. 0.042)")
    assert line(text, "Restarts")[0] == "Restarts"
    assert len(line(text, "warm-up + cosine")) == 3
    assert line(text, "warm-up + cosine")[1].endswith(" at 0.015")
    assert "adamw-study: linear warm-up 5 %, hold, then linear cooldown over the last 27 % to 0; base LR 0.021" in text


def test_who_is_ahead_is_told_with_an_interval_or_that_nobody_is() -> None:
    first, other = rows(ADAMW), rows(replace(ADAMW, name="worse", seed=9), total_updates=200)
    level = comparison_text(compare_studies([first, other])).splitlines()[-1]
    assert level.startswith("What worse and adamw-study recommend cannot be told apart: ")
    assert other.verdict is not None
    runs = [replace(one, score=None if one.score is None else one.score + 1) for one in other.runs]
    found = compare_studies([first, replace(other, runs=runs)])
    ahead = comparison_text(found).splitlines()[-1]
    assert ahead.startswith("What adamw-study recommends is better than what worse does, by 0.997 (95 % ")
    lead = found.sides[1].lead
    assert lead is not None and lead.value is not None and lead.high is not None
    assert lead.value < lead.high < 0
    turned = compare_studies([replace(other, runs=runs), first]).sides[1].lead
    assert turned is not None and turned.value == pytest.approx(-lead.value)


def test_a_question_that_one_study_did_not_ask_is_marked() -> None:
    from schedsearch.space import load_space

    quick = load_space("quick").with_base_lr(0.0005, 0.1).to_dict()
    assert line(comparison_text(both(space=quick)), "Restarts")[2].endswith("(not asked)")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"task": "digits"},
            "'adamw-study' and 'momentum-study' cannot be compared: one trains charlm, the other digits.",
        ),
        ({"metric": "accuracy", "direction": "maximize"}, "one would minimize loss, the other maximize accuracy."),
        ({"task_options": {}, "task_fingerprint": "e" * 16}, "the task charlm or its data changed between them."),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(changed: dict[str, object], sentence: str) -> None:
    given = {"task_options": {"optimizer": "momentum"}, **changed}
    with pytest.raises(InvalidInput) as caught:
        compare_studies([rows(ADAMW), rows(MOMENTUM, **given)])
    assert len(caught.value.faults) == 1
    assert str(caught.value).endswith(sentence)


def test_the_same_study_twice_one_alone_and_an_unfinished_one_are_refused() -> None:
    with pytest.raises(InvalidInput, match="`studies` must be different ones, but 'adamw-study' is named twice"):
        compare_studies([rows(ADAMW), rows(ADAMW)])
    with pytest.raises(InvalidInput, match="`studies` must be two or more, but one was named"):
        compare_studies([rows(ADAMW)])
    with pytest.raises(
        InvalidInput, match="'momentum-study' cannot be compared before it has a verdict; it is running"
    ):
        compare_studies([rows(ADAMW), example_rows(MOMENTUM, finished=False)])


def test_the_command_reads_the_store_and_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = stored(tmp_path, ADAMW)
    with Store.open(url) as store:
        put(store, rows(MOMENTUM, task_options={"optimizer": "momentum"}))
    cli.main(["compare", "adamw-study", "momentum-study", "--storage", url, "--json"], standalone_mode=False)
    values = json.loads(capsys.readouterr().out)
    assert [one["study"] for one in values["studies"]] == ["adamw-study", "momentum-study"]
    assert values["studies"][0]["lead"] is None
    assert values["studies"][1]["lead"].keys() == {"value", "low", "high"}
    assert "lrs" not in values["studies"][0]["recommended"]
    cli.main(["compare", "adamw-study", "momentum-study", "--storage", url], standalone_mode=False)
    assert "recommended" in capsys.readouterr().out
    with pytest.raises(UnknownStudy):
        compare(url, ["adamw-study", "other"])
