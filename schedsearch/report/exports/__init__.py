"""A schedule handed over: as JSON, CSV, or a Python file for plain loops and for frameworks; one module a framework.

No exporter imports its framework: what a framework computes is computed here as it does, and tests hold it against the
framework itself.
"""

from schedsearch.report.exports.keras import export_keras
from schedsearch.report.exports.lightning import export_lightning
from schedsearch.report.exports.optax import export_optax
from schedsearch.report.exports.plain import export_csv, export_json, export_python
from schedsearch.report.exports.pytorch import export_torch
from schedsearch.report.exports.table import EXPORTERS
from schedsearch.report.exports.text import sample_values
from schedsearch.report.exports.timm import export_timm
from schedsearch.report.exports.torchtitan import export_torchtitan
from schedsearch.report.exports.transformers import export_transformers

__all__ = [
    "EXPORTERS",
    "export_csv",
    "export_json",
    "export_keras",
    "export_lightning",
    "export_optax",
    "export_python",
    "export_timm",
    "export_torch",
    "export_torchtitan",
    "export_transformers",
    "sample_values",
]
