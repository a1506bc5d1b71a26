"""The wheel carries everything that a study needs, outside of any checkout."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
QUIET = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONWARNINGS")}


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, env=QUIET, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("schedsearch-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; what the wheel needs is lent from this one, the package itself not."""
    home = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", "--without-pip", home / "venv", cwd=home)
    python = home / "venv" / "bin" / "python"
    purelib = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip())
    (purelib / "lent.pth").write_text(sysconfig.get_path("purelib"))
    run(
        sys.executable, "-m", "pip", "--quiet", "--python", python, "install",
        "--no-deps", "--no-index", "--force-reinstall", wheel, cwd=home,
    )  # fmt: skip
    return home


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_it_carries_the_search_spaces(wheel: Path) -> None:
    shipped = {f"schedsearch/_search_spaces/{path.name}" for path in (ROOT / "search_spaces").glob("*.*")}
    assert len(shipped) >= 4
    assert shipped <= names(wheel)


def test_it_carries_the_migrations(wheel: Path) -> None:
    inside = {name for name in names(wheel) if name.startswith("schedsearch/_db/")}
    assert any(name.startswith("schedsearch/_db/versions/") and name.endswith(".py") for name in inside)
    own = {path.relative_to(ROOT / "db").as_posix() for path in (ROOT / "db").rglob("*.py")}
    assert {f"schedsearch/_db/{name}" for name in own} <= inside


def test_it_carries_every_module_the_types_and_the_licence(wheel: Path) -> None:
    inside = names(wheel)
    own = {path.relative_to(ROOT).as_posix() for path in (ROOT / "schedsearch").rglob("*.py")}
    assert own <= inside
    assert "schedsearch/py.typed" in inside
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in inside)


def test_it_carries_nothing_else(wheel: Path) -> None:
    assert {name.partition("/")[0].partition("-")[0] for name in names(wheel)} == {"schedsearch"}


def test_it_is_the_wheel_that_runs_and_not_the_checkout(installed: Path) -> None:
    python = installed / "venv" / "bin" / "python"
    where = run(python, "-c", "import schedsearch; print(schedsearch.__file__)", cwd=installed).strip()
    assert Path(where).is_relative_to(installed)


def test_the_command_line_runs_anywhere(installed: Path) -> None:
    assert "launch" in run(installed / "venv" / "bin" / "schedsearch", "--help", cwd=installed)


def test_the_shipped_search_spaces_are_found(installed: Path) -> None:
    listed = run(installed / "venv" / "bin" / "schedsearch", "spaces", "--json", cwd=installed)
    assert '"quick"' in listed
    assert '"framework"' in listed


def test_the_shipped_migrations_make_a_store(installed: Path) -> None:
    schedsearch = installed / "venv" / "bin" / "schedsearch"
    run(schedsearch, "db", "upgrade", "--storage", "sqlite:///new.db", cwd=installed)
    assert '"fits": true' in run(schedsearch, "db", "check", "--storage", "sqlite:///new.db", cwd=installed)


def test_a_study_runs_to_its_verdict(installed: Path) -> None:
    launch = ("launch", "--task", "digits", "--space", "quick", "--trials", "4", "--total-updates", "40")
    few = ("--noise-seeds", "2", "--confirm-seeds", "2", "--study", "wheel", "--mlflow", "none")
    said = run(installed / "venv" / "bin" / "schedsearch", *launch, *few, cwd=installed)
    assert "loss" in said
    assert (installed / "schedsearch-results" / "wheel" / "winner_torch.py").exists()
