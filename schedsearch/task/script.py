"""A user's script, or training function, as a task: the command that runs it, as one reference. Never imports torch,
nor anything of the user's."""

from __future__ import annotations

import ast
import hashlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from itertools import pairwise
from pathlib import Path

from schedsearch.errors import InvalidTask
from schedsearch.task.sources import imported_files

PREFIX = "script:"
LRS, LRS_FILE = "{lrs}", "lrs.txt"
RUN_FUNCTION = ("{python}", "-m", "schedsearch.script")


@dataclass(frozen=True)
class Script:
    """The command of a script and the folder that it is run in."""

    command: tuple[str, ...]
    folder: str

    @property
    def is_told_by_file(self) -> bool:
        """Whether it takes its LRs from a file, named where `{lrs}` stands in its command, rather than attach."""
        return any(LRS in one for one in self.command)

    def command_of(self, folder: Path, seed: int, device: str) -> tuple[str, ...]:
        """The command of one run: `{lrs}`, `{seed}`, `{device}`, `{folder}` (of this run alone) and `{python}` (this
        interpreter) filled in."""
        places = {LRS: str(folder / LRS_FILE), "{folder}": str(folder), "{python}": sys.executable}
        values = {**places, "{seed}": str(seed), "{device}": device}
        return tuple(_filled(one, values) for one in self.command)

    @property
    def reference(self) -> str:
        """What a study names its task by."""
        return PREFIX + json.dumps({"command": list(self.command), "folder": self.folder})

    @property
    def shown(self) -> str:
        """The command, or the function, as a person types it."""
        return self.command[-1] if self.is_function else shlex.join(self.command)

    @property
    def is_function(self) -> bool:
        """Whether it calls a training function rather than run a script of the user's."""
        return self.command[:-1] == RUN_FUNCTION

    @property
    def name(self) -> str:
        """The script's file without its ending, else the program."""
        if self.is_function:
            return self.command[-1].rpartition(":")[2]
        files = [Path(one).stem for one in self.command if one.endswith(".py")]
        return files[0] if files else Path(self.command[0]).stem

    def fingerprint(self, **options: str) -> str:
        """sha256 of the command, the options, every file and module that the command names and what those import
        that is not installed, in hexadecimal."""
        digest = hashlib.sha256(json.dumps([self.command, sorted(options.items())]).encode())
        for path in self._files():
            digest.update(path.read_bytes())
            if path.suffix == ".py":
                digest.update(b"".join(one.read_bytes() for one in imported_files(path, self._folders)))
        return digest.hexdigest()

    @property
    def _folders(self) -> list[Path]:
        """Where modules are found beside the script's own folder."""
        return [Path(self.folder)] if "-m" in self.command else []

    def _files(self) -> list[Path]:
        if self.is_function:
            source = _source(self.command[-1].rpartition(":")[0], Path(self.folder))
            return [] if source is None else [source]
        paths = [Path(self.folder) / one for one in self.command]
        modules = [_source(name, Path(self.folder)) for flag, name in pairwise(self.command) if flag == "-m"]
        return [path for path in [*paths, *modules] if path is not None and path.is_file()]


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def is_script(reference: str) -> bool:
    """Whether this reference is a script's."""
    return reference.startswith(PREFIX)


def script_of(command: Sequence[str], folder: Path) -> Script:
    """The script of this command, run in this folder. Raises InvalidTask where there is no command."""
    if not command:
        raise InvalidTask("The command after `--` must name a program, but is empty.")
    return Script(tuple(command), str(folder.resolve()))


def function_script(reference: str, folder: Path) -> Script | None:
    """The script that calls the training function `train(run)` of `path/file.py:train` or `pkg.module:train`.

    None where the reference names no function. The source is parsed, not run.
    """
    place, _, name = reference.rpartition(":")
    source = _source(place, folder)
    if source is None or not name:
        return None
    try:
        parsed = ast.parse(source.read_text())
    except (SyntaxError, UnicodeDecodeError):
        return None
    is_there = any(isinstance(one, ast.FunctionDef) and one.name == name for one in parsed.body)
    return Script((*RUN_FUNCTION, reference), str(folder.resolve())) if is_there else None


def _source(place: str, folder: Path) -> Path | None:
    """The file of a path or of a module's name."""
    if place.endswith(".py"):
        return folder / place if (folder / place).is_file() else None
    spec, path = None, [str(folder), *sys.path]
    for part in place.split("."):
        spec = PathFinder.find_spec(part, path) if part else None
        if spec is None:
            return None
        path = list(spec.submodule_search_locations or [])
    origin = None if spec is None else spec.origin
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def read_script(reference: str) -> Script:
    """The script that `reference` names."""
    values = json.loads(reference.removeprefix(PREFIX))
    return Script(tuple(values["command"]), values["folder"])


def shown_task(reference: str) -> str:
    """A task for a person: a script by its command, every other one by its reference."""
    return read_script(reference).shown if is_script(reference) else reference
