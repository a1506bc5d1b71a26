"""A user's script as a task: the command that runs it, as one reference. Never imports torch."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schedsearch.errors import InvalidTask

PREFIX = "script:"
LRS, LRS_FILE = "{lrs}", "lrs.txt"
RUNNER = "schedsearch.script"


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
        """The command of one run: `{lrs}`, `{seed}`, `{device}` and `{folder}` (of this run alone) filled in."""
        values = {LRS: str(folder / LRS_FILE), "{seed}": str(seed), "{device}": device, "{folder}": str(folder)}
        return tuple(_filled(one, values) for one in self.command)

    @property
    def reference(self) -> str:
        """What a study names its task by."""
        return PREFIX + json.dumps({"command": list(self.command), "folder": self.folder})

    @property
    def shown(self) -> str:
        """The command as a person types it."""
        return shlex.join(self.command)

    @property
    def name(self) -> str:
        """The script's file without its ending, else the program."""
        files = [Path(one).stem for one in self.command if one.endswith(".py")]
        return files[0] if files else Path(self.command[0]).stem

    def fingerprint(self, **options: str) -> str:
        """sha256 of the command, the options and every file that the command names, in hexadecimal."""
        digest = hashlib.sha256(json.dumps([self.command, sorted(options.items())]).encode())
        for one in self.command:
            path = Path(self.folder) / (one.rpartition(":")[0] if RUNNER in self.command and ":" in one else one)
            if path.is_file():
                digest.update(path.read_bytes())
        return digest.hexdigest()


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


def read_script(reference: str) -> Script:
    """The script that `reference` names."""
    values = json.loads(reference.removeprefix(PREFIX))
    return Script(tuple(values["command"]), values["folder"])


def shown_task(reference: str) -> str:
    """A task for a person: a script by its command, every other one by its reference."""
    return read_script(reference).shown if is_script(reference) else reference
