"""The report's parts as the template draws them: texts, and places in percent."""

from __future__ import annotations

from dataclasses import dataclass
from math import log10
from statistics import median

from schedsearch.evidence.words import decimals_for
from schedsearch.report.scales import Scale, robust_scale, scale_of
from schedsearch.report.values import (
    ArmCurve,
    ArmFacts,
    DiagnosedRun,
    DiagnosisFacts,
    FinalistFacts,
    Interval,
    Line,
    ModelFacts,
    PhaseFacts,
    QuestionFacts,
    ReportData,
)
from schedsearch.search.importance import Importances

ASKED = {
    "Warm-up": "Does the start need protection?",
    "Decay": "How should the rate fall?",
    "Restarts": "One descent or several?",
}


@dataclass(frozen=True)
class Places:
    """How many decimals this study's scores and differences are shown with: two digits of a typical interval."""

    score: int
    gain: int


@dataclass(frozen=True)
class Bar:
    """An interval on a strip: left, right and middle in percent; zero: where 0 is, if it is on the strip."""

    left: float
    right: float
    middle: float
    zero: float | None = None


@dataclass(frozen=True)
class QuestionView:
    """A question's card. verdict: `clear`, `tie`, `diverged` (decided by divergence) or `unasked`."""

    facts: QuestionFacts
    number: int
    asked: str
    verdict: str
    bar: Bar | None
    scale: Scale | None


@dataclass(frozen=True)
class FinalistView:
    """A finalist's row: its interval, its seeds' dots and the recommended schedule's lead over it."""

    facts: FinalistFacts
    colour: int
    bar: Bar | None
    dots: tuple[float, ...]
    gain: Bar | None
    tied: bool


@dataclass(frozen=True)
class ArmView:
    """An arm's strip: one dot a searched run, how many lie beyond the bad end, the confirmed interval.

    cloud: the same runs as (base LR from the left, score from the top), in percent, and whether the run counts as lost
    (it diverged, or lies beyond the bad end).
    """

    facts: ArmFacts
    dots: tuple[tuple[float, float], ...]
    beyond: int
    bar: Bar | None
    cloud: tuple[tuple[float, float, bool], ...]


@dataclass(frozen=True)
class ShareView:
    """A choice's importance by both methods, and the widths of its bars in percent."""

    choice: str
    ped_anova: float
    fanova: float


@dataclass(frozen=True)
class PhaseView:
    """A phase's share of all device time, in percent."""

    facts: PhaseFacts
    share: float


@dataclass(frozen=True)
class Sparkline:
    """A schedule as an SVG path in a box of 100 by 30, its largest LR at the top."""

    facts: ArmCurve
    path: str


@dataclass(frozen=True)
class FeatureView:
    """A feature's share in the model's prediction, and the width of its bar in percent of the largest one's."""

    meaning: str
    share: float
    width: float


def sparklines(model: ModelFacts | None) -> list[Sparkline]:
    """The best schedule of every arm, drawn small."""
    return [] if model is None else [Sparkline(one, _path(one.lrs)) for one in model.arms]


def _path(line: Line) -> str:
    known = [(x, y) for x, y in zip(line.x, line.y, strict=True) if y is not None]
    last, top = max(1.0, known[-1][0]), max(y for _, y in known) or 1.0
    return "M" + "L".join(f"{100 * x / last:.1f} {29 - 28 * y / top:.1f}" for x, y in known)


def feature_views(model: ModelFacts | None) -> list[FeatureView]:
    """Bars, the largest first; none where nothing varies."""
    if model is None or not model.features or model.features[0][1] <= 0:
        return []
    largest = model.features[0][1]
    return [FeatureView(meaning, share, round(100 * share / largest, 1)) for meaning, share in model.features]


@dataclass(frozen=True)
class RunView:
    """A diagnosed run: its loss and its LR as SVG paths in a box of 100 by 30."""

    facts: DiagnosedRun
    loss: str
    lr: str


def run_views(diagnosis: DiagnosisFacts) -> list[RunView]:
    """Every run, the troubled first; losses far above the start are cut at half as much again."""
    return [RunView(one, _loss_path(one.losses), _loss_path(one.lrs)) for one in diagnosis.runs]


def _loss_path(line: Line) -> str:
    known = [(x, y) for x, y in zip(line.x, line.y, strict=True) if y is not None]
    if len(known) < 2:
        return ""
    top = 1.5 * max(abs(known[0][1]), 1e-300)
    low = min(0.0, *(y for _, y in known))
    return _path(Line(tuple(x for x, _ in known), tuple(min(y, top) - low for _, y in known)))


def places_of(data: ReportData) -> Places:
    """Decimals for scores and for leads."""
    scores, gains = [one.score for one in data.finalists], [one.gain for one in data.finalists if one.gain is not None]
    known = [abs(one.best) for one in data.searched if one.best is not None]
    return Places(_decimals(scores, known), _decimals(gains, known))


def _decimals(intervals: list[Interval], fallback: list[float]) -> int:
    widths = [(one.high - one.low) / 2 for one in intervals if one.low is not None and one.high is not None]
    positive = [width for width in widths if width > 0]
    if positive:
        return decimals_for(median(positive), 1.0)
    return decimals_for(None, fallback[-1]) if fallback else 3


def bar(interval: Interval | None, scale: Scale | None) -> Bar | None:
    """The interval on the scale; a mean without an interval is a point."""
    if interval is None or interval.value is None or scale is None:
        return None
    low = interval.value if interval.low is None else interval.low
    high = interval.value if interval.high is None else interval.high
    zero = scale.at(0.0) if scale.holds(0.0) else None
    return Bar(scale.at(low), scale.at(high), scale.at(interval.value), zero)


def question_views(data: ReportData) -> list[QuestionView]:
    """The three cards."""
    return [_question(number, one) for number, one in enumerate(data.questions, start=1)]


def _question(number: int, facts: QuestionFacts) -> QuestionView:
    gain = facts.gain
    scale = None if gain is None else scale_of([gain.value, gain.low, gain.high, 0.0])
    return QuestionView(facts, number, ASKED[facts.title], _verdict(facts), bar(gain, scale), scale)


def _verdict(facts: QuestionFacts) -> str:
    confirmed = [one for one in facts.answers if one.confirmed]
    if len(confirmed) < 2:
        return "unasked"
    if facts.gain is None:
        return "diverged"
    return "tie" if facts.is_tie else "clear"


def score_scale(data: ReportData) -> Scale | None:
    """One scale for the scores of all finalists; an erratic one's interval is cut at its ends."""
    steady = [one.score for one in data.finalists if not one.is_erratic]
    values = [value for one in steady for value in (one.low, one.high, one.value)]
    dots = [score for one in data.finalists for _, score in one.scores]
    return robust_scale(dots, _sign(data), keep=values)


def gain_scale(data: ReportData) -> Scale | None:
    """One scale, 0 on it, for the leads over all finalists; over an erratic one it is cut at the ends."""
    gains = [one.gain for one in data.finalists if one.gain is not None and not one.is_erratic]
    values = [value for one in gains for value in (one.value, one.low, one.high)]
    return scale_of([*values, 0.0]) if gains else None


def finalist_views(data: ReportData, scores: Scale | None, gains: Scale | None) -> list[FinalistView]:
    """A row for every finalist, best first. Colours: 0 is the recommended one's, the others count from 1."""
    others = iter(range(1, len(data.finalists) + 1))
    return [
        FinalistView(
            facts=one,
            colour=0 if one.is_recommended else next(others),
            bar=bar(one.score, scores),
            dots=() if scores is None else tuple(scores.at(score) for _, score in one.scores if score is not None),
            gain=bar(one.gain, gains),
            tied=one.gain is not None and one.gain.value is not None and one.gain.holds_zero and not one.is_erratic,
        )
        for one in data.finalists
    ]


def arm_scale(data: ReportData) -> Scale | None:
    """One scale for all arms: the good end of the searched scores, and every confirmed interval."""
    erratic = {one.score for one in data.finalists if one.is_erratic}
    confirmed = [one.confirmed for one in data.arms if one.confirmed is not None and one.confirmed not in erratic]
    kept = [value for one in confirmed for value in (one.low, one.high, one.value)]
    return robust_scale([score for one in data.arms for score in one.scores], _sign(data), keep=kept)


def base_lr_scale(data: ReportData) -> Scale | None:
    """One scale of log10 base LR for all arms."""
    return scale_of([log10(lr) for one in data.arms for lr, _ in one.by_base_lr])


def arm_views(data: ReportData, scale: Scale | None) -> list[ArmView]:
    """A strip and a cloud for every arm, best first."""
    lrs = base_lr_scale(data)
    return [_arm(one, scale, _cloud(one, lrs, scale, _sign(data))) for one in data.arms]


def _cloud(
    facts: ArmFacts, lrs: Scale | None, scores: Scale | None, sign: float
) -> tuple[tuple[float, float, bool], ...]:
    """Good scores are drawn low where low is good; lost runs stand at the bad edge."""
    if lrs is None or scores is None:
        return ()
    bad = scores.high if sign > 0 else scores.low
    placed = [(lr, bad if score is None or not scores.holds(score) else score) for lr, score in facts.by_base_lr]
    return tuple((lrs.at(log10(lr)), round(100 - scores.at(score), 2), score == bad) for lr, score in placed)


def share_views(importances: Importances) -> list[ShareView]:
    """Shares in percent, the most important choice first."""
    return [
        ShareView(one.choice, round(100 * one.ped_anova, 1), round(100 * one.fanova, 1)) for one in importances.choices
    ]


def phase_views(data: ReportData) -> list[PhaseView]:
    """Every phase with its share of the time spent."""
    whole = sum(one.hours for one in data.phases)
    return [PhaseView(one, round(100 * one.hours / whole, 1) if whole > 0 else 0.0) for one in data.phases]


def _arm(facts: ArmFacts, scale: Scale | None, cloud: tuple[tuple[float, float, bool], ...]) -> ArmView:
    shown = [score for score in facts.scores if scale is not None and scale.holds(score)]
    dots = () if scale is None else tuple((scale.at(score), score) for score in shown)
    return ArmView(facts, dots, len(facts.scores) - len(shown), bar(facts.confirmed, scale), cloud)


def _sign(data: ReportData) -> float:
    return 1.0 if data.study.direction == "minimize" else -1.0
