"""Finished studies of one task side by side, for the terminal and as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from schedsearch.errors import InvalidInput
from schedsearch.evidence import words
from schedsearch.evidence.intervals import Estimate, difference
from schedsearch.report.answers import table
from schedsearch.report.data import assemble
from schedsearch.report.rows import StudyRows, better_by
from schedsearch.report.values import FinalistFacts, Interval, QuestionFacts, ReportData

FIXED_KINDS = ("baseline", "incumbent")


@dataclass(frozen=True)
class Side:
    """One study of a comparison. setting: what was held fixed in it. lead: of its recommended schedule over the first
    study's, positive is better (None: of the first itself, or where a seed diverged)."""

    study: str
    setting: dict[str, str]
    recommended: FinalistFacts
    is_tie: bool
    questions: tuple[QuestionFacts, ...]
    baselines: dict[str, FinalistFacts]
    lead: Interval | None


@dataclass(frozen=True)
class Comparison:
    """Studies of one task and one metric, in the order in which they were named."""

    task: str
    metric: str
    direction: str
    sides: tuple[Side, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the finalists' curves."""
        return {
            "task": self.task,
            "metric": self.metric,
            "direction": self.direction,
            "studies": list(map(_plain, self.sides)),
        }


def _plain(side: Side) -> dict[str, Any]:
    values = asdict(side)
    for one in [values["recommended"], *values["baselines"].values()]:
        del one["lrs"], one["learning"]
    return values


def compare_studies(studies: Sequence[StudyRows]) -> Comparison:
    """The studies side by side. Raises InvalidInput with one sentence a reason why they cannot be compared."""
    faults = [*_too_few(studies), *(fault for one in studies for fault in _no_verdict(one))]
    faults += [fault for one in studies[1:] for fault in _differs(studies[0], one)]
    if faults:
        raise InvalidInput(faults)
    told = [assemble(one) for one in studies]
    sides = [_side(rows, data, told[0]) for rows, data in zip(studies, told, strict=True)]
    first = studies[0].study
    return Comparison(first.task, first.metric, first.direction, tuple(sides))


def _too_few(studies: Sequence[StudyRows]) -> list[str]:
    names = [one.study.name for one in studies]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        return [f"`studies` must be different ones, but {twice[0]!r} is named twice."]
    return ["`studies` must be two or more, but one was named."] if len(studies) < 2 else []


def _no_verdict(one: StudyRows) -> list[str]:
    if one.verdict is not None:
        return []
    return [
        f"The study {one.study.name!r} cannot be compared before it has a verdict; it is {one.study.state.value} now."
    ]


def _differs(first: StudyRows, other: StudyRows) -> list[str]:
    a, b = first.study, other.study
    pair = f"{a.name!r} and {b.name!r} cannot be compared"
    if a.task != b.task:
        return [f"{pair}: one trains {a.task}, the other {b.task}."]
    if (a.metric, a.direction) != (b.metric, b.direction):
        return [f"{pair}: one would {a.direction} {a.metric}, the other {b.direction} {b.metric}."]
    if a.task_options == b.task_options and a.task_fingerprint != b.task_fingerprint:
        return [f"{pair}: the task {a.task} or its data changed between them."]
    return []


def _side(rows: StudyRows, data: ReportData, first: ReportData) -> Side:
    recommended = _recommended(data)
    return Side(
        study=rows.study.name,
        setting=_setting(data),
        recommended=recommended,
        is_tie=data.verdict is not None and data.verdict.is_tie,
        questions=data.questions,
        baselines={one.name: one for one in data.finalists if rows.by_id[one.candidate_id].kind in FIXED_KINDS},
        lead=None if data is first else _lead(_recommended(first), recommended, rows.sign),
    )


def _recommended(data: ReportData) -> FinalistFacts:
    found = data.recommended
    if found is None:
        raise InvalidInput(f"The study {data.study.name!r} recommends no schedule.")
    return found


def _lead(first: FinalistFacts, other: FinalistFacts, sign: float) -> Interval | None:
    """Unpaired: seeds of two studies share nothing but their number."""
    gap = difference(dict(other.scores), dict(first.scores), use_pairing=False)
    return None if gap is None else better_by(gap.value, gap.low, gap.high, sign)


def _setting(data: ReportData) -> dict[str, str]:
    study = data.study
    span = "" if study.base_lr_range is None else " .. ".join(map(words.lr, study.base_lr_range))
    runs = sum(one.runs for one in data.phases)
    return {
        **dict(study.held_fixed),
        "horizon": f"{study.total_updates} updates",
        "space": study.space,
        "base LR searched": span,
        "strategy": f"{study.strategy}, seed {study.seed}",
        "budget": f"{study.budget}; {runs} runs",
        "schedsearch": dict(study.versions).get("schedsearch", ""),
    }


def comparison_text(found: Comparison) -> str:
    """Settings that differ first, those that do not in one line; recommendations, answers, baselines; who is ahead."""
    sides = found.sides
    better = "lower" if found.direction == "minimize" else "higher"
    keys = list(dict.fromkeys(key for side in sides for key in side.setting))
    differing = [key for key in keys if len({side.setting.get(key, "") for side in sides}) > 1]
    same = ", ".join(f"{key} {sides[0].setting[key]}" for key in keys if key not in differing)
    names = dict.fromkeys(name for side in sides for name in side.baselines)
    rows = [
        ["", *(side.study for side in sides)],
        *([key, *(side.setting.get(key, "") for side in sides)] for key in differing),
        ["recommended", *(side.recommended.name + (" (a tie)" if side.is_tie else "") for side in sides)],
        ["  base LR", *(words.lr(side.recommended.base_lr) for side in sides)],
        [f"  {found.metric}", *(_score(side.recommended) for side in sides)],
        *([title, *(_answer(side, title) for side in sides)] for title in _titles(found)),
        *([name, *(_baseline(side, name) for side in sides)] for name in names),
    ]
    head = f"{found.task}: {found.metric}, {better} is better. The same in all: {same}."
    schedules = [f"{side.study}: {side.recommended.description}" for side in sides]
    leads = [_lead_sentence(sides[0], side, found.metric) for side in sides[1:]]
    return "\n".join([head, "", *table(rows), "", *schedules, "", *leads])


def _titles(found: Comparison) -> Iterable[str]:
    return dict.fromkeys(one.title for side in found.sides for one in side.questions)


def _score(one: FinalistFacts) -> str:
    return "diverged" if one.score.value is None else _with_interval(one.score)


def _with_interval(interval: Interval) -> str:
    return words.with_interval(Estimate(interval.value or 0.0, interval.low, interval.high))


def _answer(side: Side, title: str) -> str:
    """`yes, by 0.020 (95 % 0.008 .. 0.032)`; `cosine, a tie`."""
    one = next((question for question in side.questions if question.title == title), None)
    if one is None:
        return ""
    if not one.is_asked:
        return f"{one.chosen} (not asked)"
    if one.is_tie or one.gain is None or one.gain.value is None:
        return f"{one.chosen}, a tie" if one.is_tie else one.chosen
    return f"{one.chosen}, by {_with_interval(one.gain)}"


def _baseline(side: Side, name: str) -> str:
    one = side.baselines.get(name)
    return "" if one is None else f"{_score(one)} at {words.lr(one.base_lr)}"


def _lead_sentence(first: Side, other: Side, metric: str) -> str:
    lead, pair = other.lead, f"{other.study} and {first.study}"
    if lead is None or lead.value is None:
        return f"What {pair} recommend cannot be compared: one of the two diverged on a seed."
    ahead, behind = (other, first) if lead.value > 0 else (first, other)
    size = _with_interval(lead if lead.value > 0 else better_by(lead.value, lead.low, lead.high, 1.0))
    if lead.holds_zero:
        return f"What {pair} recommend cannot be told apart: {ahead.study} leads by {size} of {metric}."
    return f"What {ahead.study} recommends is better than what {behind.study} does, by {size} of {metric}."
