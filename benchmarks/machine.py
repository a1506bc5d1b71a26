"""The machine and the versions that a result was made with."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("numpy", "scipy", "torch", "botorch", "optuna", "smac", "ConfigSpace", "mlflow", "ray")


def about_machine() -> str:
    """One sentence: processor, cores, Python and packages."""
    packages = ", ".join(f"{name} {known}" for name in PACKAGES if (known := _version(name)))
    return f"{_processor()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}."


@cache
def code_version() -> str:
    """8 hexadecimal digits of everything that decides what our search asks for."""
    package = Path(__file__).parent.parent / "schedsearch"
    paths = [path for room in ("schedule", "space", "search") for path in sorted((package / room).glob("*.[pj]*"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:8]


def about_code() -> str:
    """The version of the package, and the commit where the sources are under version control."""
    from schedsearch import __version__

    asked = ["git", "describe", "--always", "--dirty"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=Path(__file__).parent).stdout.strip()
    return f"schedsearch {__version__} ({said})" if said else f"schedsearch {__version__}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or "unknown processor"
