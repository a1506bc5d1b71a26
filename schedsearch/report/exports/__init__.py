"""A schedule handed over: as JSON, CSV, or a Python file for plain loops and for frameworks; one module a framework."""

from schedsearch.report.exports.plain import export_csv, export_json, export_python
from schedsearch.report.exports.pytorch import export_torch
from schedsearch.report.exports.text import sample_values

__all__ = ["export_csv", "export_json", "export_python", "export_torch", "sample_values"]
