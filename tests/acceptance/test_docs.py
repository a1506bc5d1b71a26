"""The pages: every command parses, every query runs, every snippet is Python, every link leads somewhere."""

import ast
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import click
import pytest
from command_line import ONE_WORKER, SMALL, schedsearch

from schedsearch.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / name).read_text() for name in ("README.md", "docs/guide.md", "docs/recipes.md")}


def blocks(language: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"```{language}\n(.*?)```", re.DOTALL)
    found = [(page, block) for page, text in PAGES.items() for block in pattern.findall(text)]
    assert found
    return found


def commands() -> list[tuple[str, str]]:
    """Every indented line that begins with the command, with its continuation lines, without its comment."""
    found = []
    for page, text in PAGES.items():
        joined = re.sub(r"\\\n\s+", " ", text)
        lines = re.findall(r"^ {4,}(schedsearch [a-z].*?)(?:  +#.*)?$", joined, re.M)
        found += [(page, line.strip()) for line in lines]
    assert len(found) > 25
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_parses(page: str, line: str) -> None:
    _, verb, *given = shlex.split(line.replace("...", "sqlite:///x.db") if "--storage ..." in line else line)
    command = cli.commands[verb]
    if isinstance(command, click.Group):
        verb, *given = given
        command = command.commands[verb]
    names = {name for parameter in command.params for name in parameter.opts}
    own = given[: given.index("--")] if "--" in given else given
    assert {one for one in own if one.startswith("--")} <= names, f"{page}: {line}"
    command.make_context(verb, list(own), resilient_parsing=True)


@pytest.mark.parametrize(("page", "block"), blocks("python"))
def test_every_snippet_is_python(page: str, block: str) -> None:
    lines = [line for line in block.splitlines() if line.strip() != "..."]
    text = "\n".join(lines)
    try:
        ast.parse(text)
    except IndentationError:  # the inside of a loop, shown without it
        ast.parse("\n".join(line.lstrip() for line in lines))


def test_every_query_runs_on_a_finished_study(tmp_path: Path) -> None:
    few = (*SMALL, *ONE_WORKER, "--trials", "4", "--mlflow", "none")
    done = schedsearch("launch", *few, "--study", "charlm-48-0", cwd=tmp_path)
    assert done.code == 0, done.err
    queries = [one.strip() for _, block in blocks("sql") for one in block.split(";") if one.strip()]
    assert len(queries) >= 6
    with closing(sqlite3.connect(tmp_path / "schedsearch.db")) as connection:
        found = [connection.execute(query).fetchall() for query in queries]
    assert sum(bool(rows) for rows in found) >= len(queries) - 1  # nothing failed, so one of them is empty


def test_every_link_leads_somewhere() -> None:
    for page, text in PAGES.items():
        titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in titles}
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith("#"):
                assert target[1:] in anchors, f"{page}: {target}"
            elif "://" not in target:
                assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"
