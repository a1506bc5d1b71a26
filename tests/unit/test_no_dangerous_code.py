"""What must never stand in the code: ways in which data becomes code, and servers without their guards."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("schedsearch", "db", "examples") for path in (ROOT / folder).rglob("*.py"))
PICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
RUNNERS = {"eval", "exec", "compile", "__import__"}
UNSAFE = {"unsafe_load", "unsafe_load_all", "full_load", "full_load_all", "UnsafeLoader", "FullLoader"}


def faults(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"{node.lineno}: {one.name}" for one in node.names if one.name.partition(".")[0] in PICKLERS)
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PICKLERS:
            yield f"{node.lineno}: {node.module}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RUNNERS:
            yield f"{node.lineno}: {node.func.id}()"
        if isinstance(node, ast.Attribute) and node.attr in (*UNSAFE, "read_pickle"):
            yield f"{node.lineno}: {node.attr}"
        if isinstance(node, ast.keyword):
            value = getattr(node.value, "value", None)
            if (node.arg, value) in (("weights_only", False), ("shell", True), ("autoescape", False)):
                yield f"{node.lineno}: {node.arg}={value}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from of_loader(node, node.func)


def of_loader(node: ast.Call, called: ast.Attribute) -> Iterator[str]:
    """`torch.load` must say weights_only=True, `yaml.load` must name a loader that is a safe one."""
    owner = called.value.id if isinstance(called.value, ast.Name) else ""
    given = {one.arg: one.value for one in node.keywords}
    if (owner, called.attr) == ("torch", "load") and getattr(given.get("weights_only"), "value", None) is not True:
        yield f"{node.lineno}: torch.load"
    if owner == "yaml" and called.attr in ("load", "load_all"):
        loader = given.get("Loader")
        if not (isinstance(loader, ast.Name) and loader.id == "_StrictLoader"):
            yield f"{node.lineno}: yaml.load"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_data_becomes_code(path: Path) -> None:
    assert list(faults(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from joblib import load", "eval('1')", "torch.load(x)", "torch.load(x, weights_only=False)",
        "yaml.load(x)", "yaml.unsafe_load(x)", "run('x', shell=True)", "pandas.read_pickle(x)",
        "yaml.load(x, Loader=yaml.UnsafeLoader)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(code: str) -> None:
    assert list(faults(ast.parse(code)))


def test_the_one_yaml_loader_is_a_safe_one() -> None:
    import yaml

    from schedsearch.space.files import _StrictLoader

    assert issubclass(_StrictLoader, yaml.SafeLoader)


def test_no_page_tells_anybody_to_switch_mlflows_guards_off() -> None:
    pages = [one for one in ROOT.rglob("*") if one.suffix in (".md", ".yml", ".yaml", ".toml", ".sql", ".sh")]
    pages = [one for one in pages if not {".venv", ".git"} & set(one.relative_to(ROOT).parts)]
    assert len(pages) > 10
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "disable-security-middleware" not in text, page
        assert not re.search(r"allowed-hosts[= ]['\"]?\*", text), page
