"""Ready-made views of a finished study in MLflow's Views menu: who won, and how the families compare.

MLflow keeps a saved view as a tag of its experiment: an envelope with the state of the runs page as JSON. That is an
internal format of its page (read off MLflow 3.17); an MLflow that does not know it ignores the tag.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from schedsearch.store import Study
from schedsearch.tracking import facts

TAG = "mlflow.sharedViewState."
PARAMS = ("schedule", "base_lr", "seed", "decay.kind", "warmup.kind", "restarts.cycles")
SHOWN = ("attributes.`Source`", f"metrics.`{facts.OBJECTIVE}`", *(f"params.`{name}`" for name in PARAMS))
BARS = (facts.OBJECTIVE, f"test/{facts.OBJECTIVE}")
CURVES = ("lr", "val/loss")
MOST_BARS = 40
LINE = {
    "xAxisKey": "step",
    "xAxisScaleType": "linear",
    "scaleType": "linear",
    "yAxisKey": "metric",
    "yAxisExpressions": [],
    "selectedXAxisMetricKey": "",
    "lineSmoothness": 0,
    "range": {},
    "ignoreOutliers": False,
    "useGlobalXaxisKey": True,
    "useGlobalLineSmoothing": True,
}


@dataclass(frozen=True)
class View:
    """One saved view. phase: whose runs are shown; group_by: the param by which they are grouped; of_best: a group is
    shown by its best run, not by its mean."""

    title: str
    phase: str
    group_by: str
    of_best: bool

    def aggregate(self, study: Study) -> str:
        """What MLflow makes of a group's values."""
        best = "min" if study.direction == "minimize" else "max"
        return best if self.of_best else "average"

    def key(self, study: Study) -> str:
        """Names this view of this study; the same at every sync."""
        return hashlib.sha256(f"{facts.study_key(study)}|{self.title}".encode()).hexdigest()[:32]


WHO_WON = View("who won", "confirm", "schedule", of_best=False)
BY_FAMILY = View("by family", "search", "decay.kind", of_best=True)
VIEWS = (WHO_WON, BY_FAMILY)


def view_tags(study: Study, parent_id: str) -> dict[str, str]:
    """The experiment's tags with the saved views of this study."""
    return {f"{TAG}{view.key(study)}": json.dumps(_envelope(view, study, parent_id)) for view in VIEWS}


def view_links(study: Study, experiment_id: str) -> list[str]:
    """Markdown links to the views, within MLflow."""
    return [f"[{view.title.capitalize()}]({_link(view, study, experiment_id)})" for view in VIEWS]


def _link(view: View, study: Study, experiment_id: str) -> str:
    query = {"workflowType": "machine_learning", "viewStateShareKey": view.key(study), "compareRunsMode": "CHART"}
    return f"#/experiments/{experiment_id}/runs?{urlencode(query, quote_via=quote)}"


def _envelope(view: View, study: Study, parent_id: str) -> Mapping[str, Any]:
    at = facts.milliseconds(study.finished_at or study.created_at)
    return {
        "name": f"{study.name}: {view.title}",
        "createdAt": at,
        "updatedAt": at,
        "state": json.dumps(_state(view, study, parent_id)),
    }


def _charts(section: str) -> list[Mapping[str, Any]]:
    """What the page shows first: the scores as bars, one a group, then learning rates and losses as curves."""
    bars = [{"type": "BAR", "metricKey": key, "runsCountToCompare": MOST_BARS} for key in BARS]
    lines = [{"type": "LINE", "metricKey": key, "selectedMetricKeys": [key], **LINE} for key in CURVES]
    common = {"metricSectionId": section, "deleted": False, "isGenerated": False}
    return [{**chart, **common, "uuid": f"{section}-{chart['metricKey']}"} for chart in (*bars, *lines)]


def _section(section: str, title: str) -> Mapping[str, Any]:
    return {
        "uuid": section, "name": title, "display": True, "isReordered": False, "deleted": False, "isGenerated": False
    }  # fmt: skip


def _state(view: View, study: Study, parent_id: str) -> Mapping[str, Any]:
    return {
        "searchFilter": f"tags.`{facts.PARENT}` = '{parent_id}' AND params.`phase` = '{view.phase}'",
        "orderByKey": f"metrics.`{facts.OBJECTIVE}`",
        "orderByAsc": study.direction == "minimize",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(SHOWN),
        "runsHiddenMode": "SHOW_ALL",
        "compareRunsMode": "CHART",
        "isAccordionReordered": True,
        "compareRunCharts": _charts(view.key(study)),
        "compareRunSections": [_section(view.key(study), view.title)],
        "groupBy": {
            "aggregateFunction": view.aggregate(study),
            "groupByKeys": [{"groupByData": view.group_by, "mode": "param"}],
        },
    }
