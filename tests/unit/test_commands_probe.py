"""`schedsearch probe` on a real task: what it trains, stores and tells, and what `launch` reads of it."""

from pathlib import Path

import pytest

from schedsearch.commands.probe import ProbeOptions, probe, probed_range
from schedsearch.errors import InvalidInput, InvalidTask, SchedsearchError
from schedsearch.store import Probe, Store
from schedsearch.task import load_task

SMALL = {"total_updates": 80, "width": 16}
FLAT = """
import torch
from schedsearch.task import Splits, Task

class Flat(Task):
    total_updates = 40
    batch_size = 4

    def data(self):
        part = torch.ones(8, 2), torch.ones(8, 1)
        return Splits(part, part, part)

    def model(self):
        return torch.nn.Linear(2, 1)

    def loss(self, output, batch):
        {loss}
"""


def options(folder: Path, **more: object) -> ProbeOptions:
    given = {"task": "digits", "task_options": SMALL, "storage": f"sqlite:///{folder / 'schedsearch.db'}"}
    return ProbeOptions(**{**given, **more})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Probe, list[str]]:
    folder = tmp_path_factory.mktemp("probe")
    lines: list[str] = []
    return folder, probe(options(folder), lines.append), lines


def test_the_range_holds_the_best_base_lr_and_ends_where_training_explodes(
    probed: tuple[Path, Probe, list[str]],
) -> None:
    _, found, lines = probed
    assert 0.005 < found.base_lr_low < 0.1 < found.best_lr < 1.2 < found.base_lr_high < 10
    runs = {(round(one["base_lr"] / found.edge_lr, 3), one["has_warmup"]): one for one in found.details["startup"]}
    assert len(runs) == 14
    assert runs[2.5, False]["kind"] == "unstable start"
    assert runs[0.16, True]["kind"] == "healthy"
    assert found.sentence.startswith("Look for the base LR between ")
    assert lines[0] == "range test: 100 updates, LR 1e-06 to 100"
    assert len(lines) == 15


def test_it_is_found_again_for_the_same_task_and_options_only(probed: tuple[Path, Probe, list[str]]) -> None:
    folder, found, _ = probed
    url = options(folder).storage
    assert probed_range(url, load_task("digits", SMALL).fingerprint()) == (found.base_lr_low, found.base_lr_high)
    assert probed_range(url, load_task("digits", {**SMALL, "width": 17}).fingerprint()) is None
    assert probed_range(f"sqlite:///{folder / 'none.db'}", "a" * 64) is None
    assert not (folder / "none.db").exists()
    with Store.open(url) as store:
        assert store.probe(found.task_fingerprint) == found


def test_a_horizon_that_is_given_is_an_option_of_the_task(tmp_path: Path) -> None:
    lines: list[str] = []
    given = options(tmp_path, task_options={"width": 16}, total_updates=80)
    found = probe(given, lines.append)
    assert found.task_options == SMALL
    assert found.task_fingerprint == load_task("digits", SMALL).fingerprint()


def test_what_cannot_be_probed_is_told_in_a_sentence_and_nothing_is_stored(tmp_path: Path) -> None:
    with pytest.raises(InvalidTask, match="There is no task 'digit'"):
        probe(options(tmp_path, task="digit"), print)
    with pytest.raises(InvalidInput, match="`device` must be one of"):
        probe(options(tmp_path, device="cuda:9"), print)
    broken, still = tmp_path / "broken.py", tmp_path / "still.py"
    broken.write_text(FLAT.format(loss="raise ValueError('no such thing')"))
    still.write_text(FLAT.format(loss="return output.mean() * 0 + 1"))
    with pytest.raises(InvalidTask, match=r"failed in training: ValueError: no such thing \(broken\.py:"):
        probe(options(tmp_path, task=f"{broken}:Flat", task_options={}), print)
    with pytest.raises(SchedsearchError, match=r"The loss fell at no LR between .*; the task does not train"):
        probe(options(tmp_path, task=f"{still}:Flat", task_options={}), print)
    assert not (tmp_path / "schedsearch.db").exists()
