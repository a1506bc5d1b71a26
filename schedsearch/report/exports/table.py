"""Every kind of file that a schedule can be handed over as."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schedsearch.report.exports.keras import export_keras
from schedsearch.report.exports.lightning import export_lightning
from schedsearch.report.exports.optax import export_optax
from schedsearch.report.exports.plain import export_csv, export_json, export_python
from schedsearch.report.exports.pytorch import export_torch
from schedsearch.report.exports.timm import export_timm
from schedsearch.report.exports.torchtitan import export_torchtitan
from schedsearch.report.exports.transformers import export_transformers
from schedsearch.schedule import Schedule

Exporter = Callable[[Schedule, int, int | None, Mapping[str, Any]], str]

# schedule, total_updates, updates_per_epoch (None where it is not stepped by epochs), provenance -> the file's text
EXPORTERS: dict[str, Exporter] = {
    "json": export_json,
    "csv": export_csv,
    "python": export_python,
    "torch": export_torch,
    "lightning": export_lightning,
    "transformers": export_transformers,
    "timm": export_timm,
    "torchtitan": export_torchtitan,
    "optax": export_optax,
    "keras": export_keras,
}
