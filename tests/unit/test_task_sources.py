"""Which files of the user's a Python file is made of, and that a change of one changes the fingerprint."""

import sys
from pathlib import Path

import optuna
import pytest

from schedsearch.task import load_task
from schedsearch.task.script import Script
from schedsearch.task.sources import imported_files

FILES = {
    "train.py": "import numpy, torch\nimport parts\nfrom tools.data import rows\n\ndef late():\n    import seldom\n",
    "parts.py": "import train\nfrom tools import *\n",
    "tools/__init__.py": "",
    "tools/data.py": "from . import files\nfrom .files import read\nfrom ..parts import x\nimport tools.more.deep\n",
    "tools/files.py": "def read(:\n",
    "tools/more/deep.py": "from schedsearch.task import Task\nimport missing\n",
    "seldom.py": "",
    "never.py": "",
}
MINE = """
from schedsearch.task.builtin.digits import Digits
import helping

class Mine(Digits):
    width = helping.WIDTH
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(folder: Path, found: list[Path]) -> list[str]:
    return sorted(str(one.relative_to(folder.resolve())) for one in found)


def test_what_lies_beside_a_file_is_found_and_nothing_that_is_installed(folder: Path) -> None:
    whole = set(FILES) - {"train.py", "never.py"}
    assert names(folder, imported_files(folder / "train.py")) == sorted(whole)
    assert imported_files(folder / "never.py") == []


def test_what_is_installed_is_not_followed_at_all() -> None:
    assert imported_files(Path(optuna.__file__)) == []


def test_the_order_is_that_in_which_they_are_met(folder: Path) -> None:
    found = imported_files(folder / "train.py")
    assert [one.name for one in found[:2]] == ["parts.py", "__init__.py"]
    assert found == imported_files(folder / "train.py")


def test_a_module_of_a_package_finds_its_package_from_any_depth(folder: Path) -> None:
    found = names(folder, imported_files(folder / "tools" / "data.py"))
    assert found == ["parts.py", "seldom.py", "tools/__init__.py", "tools/files.py", "tools/more/deep.py", "train.py"]


def test_other_folders_are_searched_when_they_are_named_or_on_the_path(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path_factory.mktemp("scripts") / "run.py"
    script.write_text("import never\n")
    assert imported_files(script) == []
    assert names(folder, imported_files(script, [folder])) == ["never.py"]
    monkeypatch.setattr(sys, "path", [sys.path[0], *sys.path[1:], str(folder)])
    assert names(folder, imported_files(script)) == ["never.py"]


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "train.py"),
        (sys.executable, "-m", "train"),
        (sys.executable, "-m", "tools.more.deep", "train.py"),
        ("{python}", "-m", "schedsearch.script", "train.py:late"),
    ],
)
def test_a_script_s_fingerprint_follows_what_it_imports(folder: Path, command: tuple[str, ...]) -> None:
    script = Script(command, str(folder))
    before = script.fingerprint()
    (folder / "never.py").write_text("x = 1\n")
    assert script.fingerprint() == before
    for name in ("tools/files.py", "seldom.py", "train.py"):
        (folder / name).write_text((folder / name).read_text() + "# more\n")
        assert script.fingerprint() != before
        before = script.fingerprint()


def test_a_task_s_fingerprint_follows_what_its_file_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "helping.py").write_text("WIDTH = 8\n")
    (tmp_path / "mine.py").write_text(MINE)
    task = load_task(f"{tmp_path / 'mine.py'}:Mine")
    before = task.fingerprint()
    (tmp_path / "helping.py").write_text("WIDTH = 8  # the same\n")
    assert task.fingerprint() != before
