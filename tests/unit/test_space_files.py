"""Space files: the four that ship, users' own, and files that try to be clever."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schedsearch.errors import InvalidSpace
from schedsearch.space import Arm, builtin_spaces, files, load_space, space_json_schema

SMALL = "name: small\ndecay:\n  linear:\n"
ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def refusal(name_or_path: str) -> str:
    with pytest.raises(InvalidSpace) as caught:
        load_space(name_or_path)
    return str(caught.value)


def test_the_spaces_that_ship() -> None:
    arms = {space.name: len(space.arms) for space in builtin_spaces()}
    assert arms == {"classic": 12, "framework": 28, "modern": 15, "quick": 8}


@pytest.mark.parametrize("name", ["classic", "framework", "modern", "quick"])
def test_a_shipped_space_is_found_by_name_and_explains_itself(name: str) -> None:
    space = load_space(name)
    assert space.name == name
    assert space.title
    assert len(space.description.split("\n\n")) >= 2
    assert space.base_lr is None


def test_framework_is_the_cross_product_of_the_three_questions() -> None:
    decays = ("step", "exponential", "cosine", "linear", "polynomial", "rex", "wsd")
    expected = {
        Arm(warmup, decay, trajectory)
        for warmup in ("none", "linear")
        for decay in decays
        for trajectory in ("single", "restarts")
    }
    assert set(load_space("framework").arms) == expected


def test_quick_carries_three_baselines_and_the_others_the_standard_five() -> None:
    assert [one.name for one in load_space("quick").baselines] == ["constant", "cosine", "warmup_cosine"]
    for name in ("classic", "framework", "modern"):
        names = [one.name for one in load_space(name).baselines]
        assert names == ["constant", "linear", "cosine", "warmup_cosine", "step"]


def test_the_committed_schema_is_the_schema_of_the_code() -> None:
    committed = json.loads((ROOT / "search_spaces" / "schema.json").read_text(encoding="utf-8"))
    assert committed == space_json_schema()


def test_a_file_of_ones_own_is_found_by_path(tmp_path: Path) -> None:
    assert load_space(write(tmp_path, SMALL)).name == "small"


def test_text_numbers_mean_numbers(tmp_path: Path) -> None:
    space = load_space(write(tmp_path, SMALL + "base_lr: {low: 1e-3, high: 1e0}\n"))
    assert space.base_lr == (0.001, 1.0)


def test_a_word_that_yaml_takes_for_a_truth_value_is_named(tmp_path: Path) -> None:
    said = refusal(write(tmp_path, SMALL + "warmup: {kinds: [no, linear], fraction: 0.1}\n"))
    assert "`warmup.kinds.0` must be" in said
    assert "but is False instead." in said


def test_aliases_that_would_unfold_to_gigabytes_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    started = time.monotonic()
    assert "aliases are not allowed here" in refusal(write(tmp_path, "\n".join(lines)))
    assert time.monotonic() - started < 1.0


def test_no_fault_repeats_a_line_that_may_hold_a_password(tmp_path: Path) -> None:
    for text in ("storage: pg://me:s3cr3t@host/db: x\n", "storage: 's3cr3t\n", "storage: s3cr3t\n  - x: [\n"):
        assert "s3cr3t" not in refusal(write(tmp_path, text))


def test_an_unknown_name_lists_the_known_ones() -> None:
    assert refusal("framwork") == (
        "There is no search space 'framwork': give the path of a YAML file or one of classic, framework, modern, quick."
    )


def test_every_fault_names_the_file_and_the_key(tmp_path: Path) -> None:
    path = write(tmp_path, "name: small\ndecay:\n  linear: {final: 0}\nwarmup: {kinds: [none], fraction: 2}\n")
    assert refusal(path).split("\n") == [
        f"{path}: `warmup.fraction` must be in (0, 1), but is 2 instead.",
        f"{path}: `decay.linear` has no key 'final'; valid keys: final_factor.",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: [", "is not valid YAML"),
        ("- a\n- b\n", "must hold `key: value` pairs, but holds list"),
        ("", "must hold `key: value` pairs, but holds NoneType"),
        (SMALL + "name: other\n", "the key 'name' is given twice"),
        (SMALL + "title: &one x\ndescription: *one\n", "aliases are not allowed here"),
        (SMALL + "title: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        (SMALL + "title: 2026-13-45\n", "is not valid YAML"),
        ("[" * 200_000, "is nested too deeply"),
        (SMALL + "#" * 1_000_000, "must be at most 1000000 bytes, but has "),
        (SMALL + "3: x\n", "The file has no key '3'"),
    ],
)
def test_files_that_are_no_plain_space_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = write(tmp_path, text)
    message = refusal(path)
    assert message.startswith(path)
    assert sentence in message


def test_the_place_of_a_fault_in_the_yaml_is_told(tmp_path: Path) -> None:
    assert "line 4, column 1" in refusal(write(tmp_path, SMALL + "name: other\n"))
    assert "line 5" in refusal(write(tmp_path, SMALL + "title: &one x\ndescription: *one\n"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_bytes(b"\xff\xfe\x00name")
    assert "cannot be read" in refusal(str(path))


def test_inside_an_installed_package_its_own_spaces_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "schedsearch"
    (installed / "_search_spaces").mkdir(parents=True)
    (installed / "_search_spaces" / "mine.yaml").write_text(SMALL.replace("small", "mine"))
    monkeypatch.setattr(files, "PACKAGE", installed)
    files.spaces_folder.cache_clear()
    try:
        assert [space.name for space in builtin_spaces()] == ["mine"]
    finally:
        files.spaces_folder.cache_clear()


def test_the_room_imports_no_engine() -> None:
    script = (
        "import sys, schedsearch.space; "
        "print([name for name in ('torch', 'optuna', 'sqlalchemy', 'mlflow', 'click') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
