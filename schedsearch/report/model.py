"""The curve model and the free shape as the report shows them: read from what the verdict kept of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schedsearch.report.finalists import thinned_lrs
from schedsearch.report.rows import StudyRows, short_arm
from schedsearch.report.values import ArmCurve, FinalistFacts, Interval, Line, ModelFacts, ShapeFacts
from schedsearch.schedule import Schedule
from schedsearch.store import Verdict

MEANINGS = {
    "log_sum": "sum of all LRs: how far training can travel",
    "log_max": "largest LR: stability",
}
ARRIVAL, MEMORY = "log_arrival_", "log_memory_"


def shape_facts(verdict: Verdict, finalists: Mapping[int, FinalistFacts]) -> ShapeFacts | None:
    """The free shape beside the best named schedule; None where none was confirmed.

    `details["shape"]`: {"named_id", "free_id", "value", "low", "high", "sentence"}, in percent.
    """
    given = verdict.details.get("shape")
    if not given or not {given["named_id"], given["free_id"]} <= finalists.keys():
        return None
    gap = Interval(given["value"], given["low"], given["high"])
    return ShapeFacts(given["sentence"], gap, finalists[given["named_id"]], finalists[given["free_id"]])


def model_facts(rows: StudyRows, verdict: Verdict) -> ModelFacts | None:
    """The model's picture; None where the verdict kept none.

    `details["model"]`: {"sentence", "points": [[measured, predicted, low, high], ..], "features": {name: share},
    "arms": [{"arm", "schedule", "mean", "low", "high"}, ..], "earlier": {study: agreement}}.
    """
    given = verdict.details.get("model")
    if not given:
        return None
    checks = [one for one in rows.model_checks if one.rank_agreement is not None]
    features = sorted(given["features"].items(), key=lambda pair: -pair[1])
    return ModelFacts(
        sentence=given["sentence"],
        points=tuple((row[0], Interval(*row[1:])) for row in given["points"]),
        agreement=Line(tuple(float(one.runs) for one in checks), tuple(one.rank_agreement for one in checks)),
        features=tuple((meaning_of(name), share) for name, share in features),
        arms=tuple(_arm(rows, one) for one in given["arms"]),
        earlier=tuple(given["earlier"].items()),
    )


def meaning_of(feature: str) -> str:
    """A feature of a curve in words."""
    if feature.startswith(MEMORY):
        share = feature.removeprefix(MEMORY)
        return f"LR remembered at the end, over 1/{share} of the travel"
    if feature.startswith(ARRIVAL):
        share = feature.removeprefix(ARRIVAL)
        return f"LR met at the start, over 1/{share} of the travel"
    return MEANINGS.get(feature, feature.replace("_", " "))


def _arm(rows: StudyRows, given: Mapping[str, Any]) -> ArmCurve:
    schedule = Schedule.from_dict(given["schedule"])
    return ArmCurve(
        arm=short_arm(given["arm"]),
        description=schedule.describe(),
        base_lr=schedule.base_lr,
        expected=Interval(given["mean"], given["low"], given["high"]),
        lrs=thinned_lrs(schedule, rows.study.total_updates, rows.study.updates_per_epoch),
    )
