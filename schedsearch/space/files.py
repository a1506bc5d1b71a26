"""Space files: found, read with a safe loader that repairs nothing, and validated with every fault in one message."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from schedsearch.errors import InvalidSpace
from schedsearch.space.document import Document
from schedsearch.space.space import SearchSpace

LARGEST_FILE = 1_000_000
PACKAGE = Path(__file__).resolve().parent.parent


@cache
def spaces_folder() -> Path:
    """Where the built-in spaces are: inside an installed package, or beside it in a checkout."""
    installed = PACKAGE / "_search_spaces"
    return installed if installed.is_dir() else PACKAGE.parent / "search_spaces"


def builtin_spaces() -> tuple[SearchSpace, ...]:
    """The spaces that ship with the project, sorted by name."""
    return tuple(read_space(path) for path in sorted(spaces_folder().glob("*.yaml")))


def load_space(name_or_path: str) -> SearchSpace:
    """A built-in space by name, or a user's own file by path. Raises InvalidSpace listing every fault.

    A name wins over a file of the same name; write `./name` for the file.
    """
    builtin = {path.stem: path for path in spaces_folder().glob("*.yaml")}
    if name_or_path in builtin:
        return read_space(builtin[name_or_path])
    path = Path(name_or_path)
    if path.is_file():
        return read_space(path)
    names = ", ".join(sorted(builtin))
    raise InvalidSpace(f"There is no search space {name_or_path!r}: give the path of a YAML file or one of {names}.")


def read_space(path: Path) -> SearchSpace:
    """The space in this file. Raises InvalidSpace; every fault names the file and the key's path in it."""
    content = read_yaml(path)
    try:
        return SearchSpace.from_dict(content)
    except InvalidSpace as error:
        raise InvalidSpace([f"{path}: {fault}" for fault in error.faults]) from error


def space_json_schema() -> dict[str, Any]:
    """The JSON schema of space files, for editors."""
    return Document.model_json_schema()


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, refusing what it would settle silently: a key given twice (the last would win). Aliases are
    refused too: a space has no use for them, and a few nested ones can unfold to gigabytes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed here", self.get_mark())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, read safely and strictly, values as YAML gives them. Raises InvalidSpace."""
    try:
        content = yaml.load(_text(path), Loader=_StrictLoader)  # noqa: S506 - a safe loader
    except RecursionError as error:
        raise InvalidSpace(f"{path} is nested too deeply.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidSpace(f"{path} is not valid YAML: {_fault(error)}.") from None
    if not isinstance(content, Mapping):
        raise InvalidSpace(f"{path} must hold `key: value` pairs, but holds {type(content).__name__}.")
    return {str(key): value for key, value in content.items()}


def _fault(error: Exception) -> str:
    """What is wrong and where, without the line itself: a study file may hold a password."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    mark = error.problem_mark or error.context_mark
    where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
    return " ".join(f"{error.context or ''} {error.problem or ''}".split()) + where


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise InvalidSpace(f"{path} must be at most {LARGEST_FILE} bytes, but has {size}.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSpace(f"{path} cannot be read: {error}.") from error
