"""The interactive charts' data, as plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from schedsearch.report.rows import FREEFORM
from schedsearch.report.values import DiagnosedRun, Interval, Line, ModelFacts, QuestionFacts, ReportData
from schedsearch.report.views import FinalistView


def chart_data(data: ReportData, finalists: Sequence[FinalistView]) -> dict[str, Any]:
    """Everything report.js draws."""
    recommended = data.recommended
    return {
        "metric": data.study.metric,
        "minimize": data.study.direction == "minimize",
        "totalUpdates": data.study.total_updates,
        "series": [_series(one) for one in finalists],
        "questions": [_question(data, one) for one in data.questions if one.is_asked],
        "searched": [
            {"n": one.number, "score": one.score, "best": one.best, "schedule": one.schedule} for one in data.searched
        ],
        "confirmed": None if recommended is None else _interval(recommended.score),
        "predictions": [
            {
                "name": one.name,
                "erratic": one.is_erratic,
                "predicted": _interval(one.predicted),
                "measured": _interval(one.measured),
            }
            for one in data.predictions
        ],
        "shape": None if data.shape is None else [data.shape.named.candidate_id, data.shape.free.candidate_id],
        "diagnosis": {
            "kinds": [name for name, _ in data.diagnosis.kinds],
            "runs": [_diagnosed(one) for one in data.diagnosis.runs],
        },
        "model": None if data.model is None else _model(data.model),
    }


def _question(data: ReportData, facts: QuestionFacts) -> dict[str, Any]:
    """Searched runs by base LR and answer; the confirmed answers with their intervals, the chosen one first."""
    runs = [one for one in data.searched if one.kind != FREEFORM]
    return {
        "key": facts.key,
        "confirmed": [
            {"answer": one.answer, "baseLr": one.base_lr, **_interval(one.score)}
            for one in facts.answers
            if one.confirmed
        ],
        "runs": [
            {"answer": one.answers[facts.key], "baseLr": one.base_lr, "score": one.score, "schedule": one.schedule}
            for one in runs
        ],
    }


def _diagnosed(one: DiagnosedRun) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "baseLr": one.base_lr,
        "warm": one.has_warmup,
        "text": f"run {one.run_id}, {one.schedule}",
    }


def _model(model: ModelFacts) -> dict[str, Any]:
    return {
        "points": [{"measured": measured, "predicted": _interval(interval)} for measured, interval in model.points],
        "agreement": _line(model.agreement),
    }


def _series(one: FinalistView) -> dict[str, Any]:
    return {
        "id": one.facts.candidate_id,
        "name": one.facts.name,
        "baseLr": one.facts.base_lr,
        "role": one.facts.role,
        "recommended": one.facts.is_recommended,
        "colour": one.colour,
        "lr": _line(one.facts.lrs),
        "learning": _line(one.facts.learning),
    }


def _line(line: Line) -> dict[str, list[float | None]]:
    return {"x": list(line.x), "y": list(line.y)}


def _interval(interval: Interval) -> dict[str, float | None]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}
