"""From a reference (`digits`, `pkg.module:Name`, `path/file.py:Name`) to a task."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, TypeGuard

from schedsearch.errors import InvalidTask, SchedsearchError
from schedsearch.task.registry import builtin_reference, builtin_tasks
from schedsearch.task.task import Task

MODULE_REFERENCE = re.compile(r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
FILE_REFERENCE = re.compile(r"^.+\.py:[A-Za-z_]\w*$")
ALLOWED = "SCHEDSEARCH_ALLOWED_TASKS"


def allow_only(prefixes: Sequence[str]) -> None:
    """From here on, this process and those it starts refuse tasks whose reference begins with none of these."""
    os.environ[ALLOWED] = json.dumps(list(prefixes))


def refuse_unallowed(reference: str) -> None:
    """Raises InvalidTask, before anything of it is imported or run, for a task outside what `allow_only` named."""
    given = os.environ.get(ALLOWED)
    prefixes = None if given is None else json.loads(given)
    if prefixes is not None and not reference.startswith(tuple(prefixes)):
        raise InvalidTask(
            f"The task {reference!r} is not allowed here: `allow_task` must be among its beginnings, "
            f"but is {', '.join(prefixes)}."
        )


def load_task(reference: str, options: Mapping[str, Any] | None = None) -> Task:
    """The task of a reference with its options set. A file's folder joins the end of the import path.

    Raises InvalidTask: no such task, file, module or class; a class that is no Task; code that raises; bad options.
    """
    found = task_class(reference)
    with blamed(reference, "__init__()"):
        return found(**dict(options or {}))


def task_class(reference: str) -> type[Task]:
    """The class of a reference. Raises InvalidTask."""
    return _class_in(*_found(reference))


def training_function(reference: str) -> Callable[[Any], object]:
    """The function `train(run)` of a reference. Raises InvalidTask."""
    module, place, name = _found(reference)
    found = getattr(module, name, None)
    if not callable(found):
        raise InvalidTask(f"{place} has no function {name!r}.")
    function: Callable[[Any], object] = found
    return function


def _found(reference: str) -> tuple[ModuleType, str, str]:
    """The module, its place and the name in it."""
    target = builtin_reference(reference) or reference
    place, _, name = target.rpartition(":")
    if FILE_REFERENCE.match(target):
        module = _module_of_file(reference, Path(place))
    elif MODULE_REFERENCE.match(target):
        module = _module(reference, place)
    else:
        names = ", ".join(one.name for one in builtin_tasks())
        raise InvalidTask(
            f"There is no task {reference!r}: give one of {names}, or `pkg.module:Name`, or `path/file.py:Name`."
        )
    return module, place, name


@contextmanager
def blamed(task: str, where: str) -> Iterator[None]:
    """Turns whatever the user's code raises into InvalidTask: the method, the error, its message, file and line."""
    try:
        yield
    except SchedsearchError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise InvalidTask(f"The task {task!r} failed in {where}: {told(error)}") from error


def told(error: BaseException) -> str:
    """Type, message, file and line of an error, in one line: `ValueError: no such layer (task.py:12)`."""
    message = " ".join(str(error).split())
    place = _place(error)
    return f"{type(error).__name__}: {message} ({place})." if place else f"{type(error).__name__}: {message}."


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}:{error.lineno}"
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not _is_machinery(one.filename)]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def _is_machinery(filename: str) -> bool:
    """Frames that tell a user nothing: the import system, torch, and this package but for its built-in tasks."""
    path = Path(filename)
    package = Path(__file__).parents[1]
    ours = package in path.parents and "builtin" not in path.parts
    return filename.startswith("<frozen") or "site-packages" in path.parts or ours


def _module(reference: str, name: str) -> ModuleType:
    with blamed(reference, f"the import of {name}"):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
                raise InvalidTask(f"There is no module {name!r}, which the task {reference!r} names.") from error
            raise


def _module_of_file(reference: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise InvalidTask(f"There is no file {str(path)!r}, which the task {reference!r} names.")
    name = f"schedsearch_task_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidTask(f"The file {str(path)!r} cannot be imported as Python.")
    if str(path.resolve().parent) not in sys.path:
        sys.path.append(str(path.resolve().parent))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with blamed(reference, f"the import of {path.name}"):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _class_in(module: ModuleType, place: str, name: str) -> type[Task]:
    found = getattr(module, name, None)
    if _is_task(found):
        return found
    there = [key for key, one in vars(module).items() if _is_task(one)]
    valid = f"tasks there: {', '.join(sorted(there))}" if there else "there is no task in it"
    what = f"has no {name!r}" if found is None else f"has {name!r}, which is no subclass of schedsearch.task.Task"
    raise InvalidTask(f"{place} {what}; {valid}.")


def _is_task(value: Any) -> TypeGuard[type[Task]]:
    return isinstance(value, type) and issubclass(value, Task) and value is not Task
