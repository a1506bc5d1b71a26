"""The report as one HTML file: nothing is fetched, nothing but its own scripts may run."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from schedsearch.evidence import words
from schedsearch.report import views
from schedsearch.report.charts import chart_data
from schedsearch.report.queries import query_of
from schedsearch.report.rows import better_by
from schedsearch.report.values import Interval, ReportData
from schedsearch.search.importance import QUESTIONS

TEMPLATES = Path(__file__).parent / "templates"
UNKNOWN = "–"
HTML_IN_JSON = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render_report(data: ReportData) -> str:
    """The whole report. Every text of the study is escaped; scripts run by their hash only (CSP)."""
    scores, gains, arms = views.score_scale(data), views.gain_scale(data), views.arm_scale(data)
    finalists = views.finalist_views(data, scores, gains)
    scripts = [_plotly(), (TEMPLATES / "report.js").read_text(encoding="utf-8")]
    return (
        _environment(views.places_of(data))
        .get_template("report.html.j2")
        .render(
            data=data,
            study=data.study,
            verdict=data.verdict,
            best=data.recommended,
            questions=views.question_views(data),
            finalists=finalists,
            score_scale=scores,
            gain_scale=gains,
            arms=views.arm_views(data, arms),
            arm_scale=arms,
            base_lr_scale=views.base_lr_scale(data),
            shares=views.share_views(data.importances),
            methods=QUESTIONS,
            phases=views.phase_views(data),
            query=lambda figure: query_of(figure, data.study.name),
            sparklines=views.sparklines(data.model),
            runs=views.run_views(data.diagnosis),
            features=views.feature_views(data.model),
            styles=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
            scripts=[Markup(one) for one in scripts],  # noqa: S704 - plotly's and our own file
            policy=_policy(scripts),
            charts=_json(chart_data(data, finalists)),
        )
    )


def _policy(scripts: list[str]) -> str:
    hashes = " ".join(f"'sha256-{b64encode(sha256(one.encode()).digest()).decode()}'" for one in scripts)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _json(values: Any) -> Markup:
    """JSON for a data block: no character that could end the block."""
    text = json.dumps(_finite(values), allow_nan=False)
    for character, escaped in HTML_IN_JSON.items():
        text = text.replace(character, escaped)
    return Markup(text)  # noqa: S704 - escaped just above


def _finite(value: Any) -> Any:
    """The same values, numbers that JSON does not have as null."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


@lru_cache(maxsize=1)
def _plotly() -> str:
    """The text of plotly.js, from the plotly package."""
    from plotly.offline import get_plotlyjs  # half a second, and only for the report

    return str(get_plotlyjs())


def _environment(places: views.Places) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "score": lambda value: number(value, places.score),
        "gain": lambda value: signed(value, places.gain),
        "score_range": lambda interval: span(interval, places.score),
        "gain_range": lambda interval: span(interval, places.gain),
        "turned": lambda interval: better_by(interval.value, interval.low, interval.high, 1.0),
        "gain_with_range": lambda interval: f"{signed(interval.value, places.gain)} ({span(interval, places.gain)})",
        "prose": prose,
        "lr": lambda value: UNKNOWN if value is None else f"{value:.3g}",
        "percent": lambda share: UNKNOWN if share is None else f"{100 * share:.0f} %",
        "percent_one": lambda value: UNKNOWN if value is None else f"{value:.2g} %".replace("-", "−"),
        "p": lambda value: UNKNOWN if value is None else words.p_value(value),
        "two": lambda value: number(value, 2),
        "thousands": lambda count: f"{count:,}".replace(",", "\u2009"),
        "duration": duration,
    }
    return environment


def number(value: float | None, places: int) -> str:
    """With a real minus sign; an unknown one is a dash."""
    return UNKNOWN if value is None or not isfinite(value) else words.number(value, places).replace("-", "−")


def signed(value: float | None, places: int) -> str:
    """With its sign, also where it is plus; what rounds to zero has none."""
    if value is None or not isfinite(value):
        return UNKNOWN
    text = number(value, places)
    return text if text.startswith("−") or float(text) == 0 else f"+{text}"


def span(interval: Interval, places: int) -> str:
    """`1.818 to 1.853`; empty where there is no interval."""
    if interval.low is None or interval.high is None:
        return ""
    return f"{number(interval.low, places)} to {number(interval.high, places)}"


def prose(text: str) -> str:
    """A sentence of the evidence, its ranges and minus signs set for reading."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text).replace(" .. ", " to ")


def duration(hours: float) -> str:
    """Hours as a person would say them."""
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.0f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"
