"""The user's own files that a Python file is made of: what it imports that is not installed, read and never run."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

OURS = Path(__file__).resolve().parent.parent
INSTALLED = ("site-packages", "dist-packages")


def imported_files(first: Path, folders: Sequence[Path] = ()) -> list[Path]:
    """The files that `first` imports, and those that these import, in the order in which they are met; without itself.

    They are looked for beside a file, in its own package, in `folders`, and where Python looks for modules that are not
    installed. What is installed, and schedsearch, have versions instead. An import of a name that is made while the
    program runs is not seen.
    """
    found: dict[Path, None] = {}
    left = [first.resolve()]
    while left:
        path = left.pop(0)
        if path not in found and not _has_a_version(path):
            found[path] = None
            left += _imports_of(path, folders)
    return [path for path in found if path != first.resolve()]


def _has_a_version(path: Path) -> bool:
    return path.is_relative_to(OURS) or not set(INSTALLED).isdisjoint(path.parts)


def _imports_of(path: Path, folders: Sequence[Path]) -> Iterator[Path]:
    try:
        parsed = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    package = _top_package(path)
    for node in ast.walk(parsed):
        for level, name in _names(node):
            if level:
                roots = list(path.parents[level - 1 : level])
            elif package is not None and name.split(".")[0] == package.name:
                roots = [package.parent]
            else:
                roots = [one for one in (path.parent, *folders, *_own_folders()) if one.name not in INSTALLED]
            yield from next(filter(None, (_files(root, name) for root in roots)), [])


def _own_folders() -> list[Path]:
    """Where Python looks for modules, beside this process's own folder, the standard library and what is installed."""
    installed = [Path(one).resolve() for one in (sys.prefix, sys.base_prefix)]
    places = [Path(one).resolve() for one in sys.path[1:] if one]
    return [one for one in places if not any(one.is_relative_to(prefix) for prefix in installed)]


def _names(node: ast.AST) -> list[tuple[int, str]]:
    """What a statement imports: the dots before the name, and the name; `a.b` for `from a import b`."""
    if isinstance(node, ast.Import):
        return [(0, one.name) for one in node.names]
    if isinstance(node, ast.ImportFrom):
        module = [node.module] if node.module else []
        return [(node.level, ".".join([*module, one.name])) for one in node.names]
    return []


def _files(root: Path, name: str) -> list[Path]:
    """The files of a dotted name below a folder: of each package on the way, and of the module."""
    found: list[Path] = []
    place = root.resolve()
    for part in name.split("."):
        place = place / part
        found += [one for one in (place.with_name(f"{part}.py"), place / "__init__.py") if one.is_file()]
    return found


def _top_package(path: Path) -> Path | None:
    """The folder of the outermost package that the file belongs to; None where it belongs to none."""
    top = None
    for folder in path.parents:
        if not (folder / "__init__.py").is_file():
            break
        top = folder
    return top
