"""Checkpoints: a run stopped anywhere ends as if it never was, and what is wrong with a file never ends a run."""

import os
import pickle
import random
from dataclasses import asdict

import numpy as np
import pytest
import torch
from task_examples import Plane, never, rows, spec
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from schedsearch.errors import RunInterrupted
from schedsearch.schedule import Cosine, Exponential, Linear, Restarts, Schedule, Step, Warmup, Wsd
from schedsearch.task import Splits
from schedsearch.task.task import OPTIMIZERS
from schedsearch.training import loop
from schedsearch.training.checkpoints import DIGEST_BYTES, Checkpoints, from_bytes, to_bytes, training_key
from schedsearch.training.course import evaluation_updates
from schedsearch.training.loop import train
from schedsearch.training.places import MARK_DIGITS, STALE_S, Folder, open_place, training_mark
from schedsearch.training.spec import RunSpec

MARK = training_mark("plane", {"base_lr": 0.1}, 1, 100)
KEY = training_key(MARK, device="cpu", version="1")
HOUR_S = 3600.0


class Noisy(Plane):
    """Draws from every generator while it trains: dropout, and noise from Python and NumPy in the loss."""

    total_updates = 24
    batch_size = 8

    def model(self):
        return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1))

    def loss(self, output, batch):
        scale = 1 + 0.1 * random.random() + 0.1 * np.random.random()  # noqa: S311
        return super().loss(output, batch) * (scale if torch.is_grad_enabled() else 1)


class Loaded(Noisy):
    """Batches of a shuffling loader whose data set draws noise of its own."""

    def data(self):
        x, y = rows(50, 1)

        def noisy(batch):
            xs, ys = zip(*batch, strict=True)
            return torch.stack(xs) + 0.1 * torch.randn(len(xs), 3), torch.stack(ys)

        loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True, drop_last=True, collate_fn=noisy)
        return Splits(loader, rows(30, 2), rows(20, 3))


def at(folder, attempt=1, every_s=HOUR_S):
    return Checkpoints(Folder(folder), KEY, attempt, every_s)


def whole(task, given):
    """Result, measurements and final weights of a run that nobody stops."""
    return trained(task, given, None)


def trained(task, given, checkpoints, should_stop=never):
    measured, weights = [], []
    made = task.model

    def model():
        weights.append(made())
        return weights[-1]

    task.model = model
    outcome = train(task, given, measured.extend, should_stop, checkpoints)
    return {**asdict(outcome), "duration_s": 0}, measured, [one.detach().clone() for one in weights[-1].parameters()]


def after(updates):
    """Stops a run before this update."""
    polls = []

    def should_stop():
        polls.append(None)
        return len(polls) == updates + 1

    return should_stop


def stopped(task, given, folder, updates, attempt=1):
    with pytest.raises(RunInterrupted):
        trained(task, given, at(folder, attempt), after(updates))


def assert_same(one, other):
    assert one[0] == other[0]
    assert one[1] == other[1]
    assert all(torch.equal(a, b) for a, b in zip(one[2], other[2], strict=True))


@pytest.mark.parametrize("task", [Noisy, Loaded])
@pytest.mark.parametrize("updates", range(1, 24))
def test_stopped_before_any_update_it_ends_to_the_last_bit_as_if_it_never_was(tmp_path, task, updates):
    given = spec(0.05, total=24, decay=Cosine(), with_test=True)
    stopped(task(), given, tmp_path, updates)
    assert_same(trained(task(), given, at(tmp_path, 2)), whole(task(), given))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_exactly(tmp_path, optimizer):
    given = spec(0.01, total=24, decay=Linear())
    stopped(Noisy(optimizer=optimizer), given, tmp_path, 11)
    assert_same(
        trained(Noisy(optimizer=optimizer), given, at(tmp_path, 2)), whole(Noisy(optimizer=optimizer), given)
    )


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(0.05, Step(3, 0.5), Warmup("linear", 0.2, 0.01)),
        Schedule(0.05, Exponential(0.05)),
        Schedule(0.05, Wsd(0.2, "sqrt"), Warmup("cosine", 0.1, 0.01)),
        Schedule(0.05, Cosine(), None, Restarts(3, 1.5, 0.8)),
    ],
    ids=["step", "exponential", "wsd", "restarts"],
)
def test_the_learning_rates_go_on_where_they_were(tmp_path, schedule):
    given = RunSpec(schedule, 1, 24)
    for updates, attempt in ((5, 1), (4, 2), (9, 3)):
        stopped(Noisy(), given, tmp_path, updates, attempt)
    _, measured, _ = trained(Noisy(), given, at(tmp_path, 4))
    lrs = schedule.lrs(24)
    assert [one.lr for one in measured] == [lrs[one.update] for one in measured]
    assert [one.update for one in measured] == evaluation_updates(24)


def test_a_killed_run_goes_on_from_the_newest_that_was_due(tmp_path):
    given = spec(0.05, total=24)

    class Killed(BaseException):
        pass

    def kill():
        kill.polls += 1
        if kill.polls == 15:
            raise Killed

    kill.polls = 0
    with pytest.raises(Killed):
        trained(Noisy(), given, at(tmp_path, every_s=0.0), kill)
    assert sorted(one.name.split("-")[1] for one in tmp_path.iterdir()) == ["0000000012", "0000000013"]
    seen = []
    outcome = train(Noisy(), given, seen.extend, never, at(tmp_path, 2))
    assert outcome.score == whole(Noisy(), given)[0]["score"]


def test_a_finished_run_leaves_nothing_behind(tmp_path):
    given = spec(0.05, total=24)
    stopped(Noisy(), given, tmp_path, 5)
    assert len(list(tmp_path.iterdir())) == 1
    trained(Noisy(), given, at(tmp_path, 2))
    assert list(tmp_path.iterdir()) == []


def test_a_divergence_seen_while_stopping_is_the_result(tmp_path, monkeypatch):
    """As on an accelerator, where losses are read now and then."""
    monkeypatch.setitem(loop.UPDATES_BETWEEN_LOOKS, "cpu", 16)

    class Explodes(Noisy):
        def loss(self, output, batch):
            return super().loss(output, batch) * float("nan")

    outcome, _, _ = trained(Explodes(), spec(0.05, total=24), at(tmp_path), after(1))
    assert (outcome["status"], outcome["diverged_at"]) == ("diverged", 0)
    assert list(tmp_path.iterdir()) == []


# ---- files


def damaged(path, how):
    content = path.read_bytes()
    path.write_bytes(how(content))


FLIPPED = lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:]  # noqa: E731


@pytest.mark.parametrize(
    "how", [lambda content: b"", lambda content: content[: len(content) // 2], lambda content: content[:-1], FLIPPED],
    ids=["empty", "half", "a byte short", "a bit flipped"],
)  # fmt: skip
def test_a_damaged_file_is_passed_over_for_the_one_before(tmp_path, caplog, how):
    kept = at(tmp_path)
    kept.save({"value": 1}, 10)
    kept.save({"value": 2}, 20)
    damaged(max(tmp_path.iterdir()), how)
    assert at(tmp_path).newest() == {"value": 1}
    assert "is damaged and passed over" in caplog.text
    damaged(min(tmp_path.iterdir()), how)
    assert at(tmp_path).newest() is None


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def test_a_file_never_runs_code(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    kept = at(tmp_path)
    kept.save({"value": 1}, 10)
    name = min(tmp_path.iterdir()).name.replace("0000000010", "0000000020")
    Folder(tmp_path).write(name, to_bytes({"value": Evil()}))
    assert kept.newest() == {"value": 1}
    assert not (tmp_path / "evil").exists()
    with pytest.raises(pickle.UnpicklingError):
        from_bytes(to_bytes({"value": Evil()}))


def test_a_state_that_cannot_be_read_back_is_never_written(tmp_path, caplog):
    assert not at(tmp_path).save({"value": Evil()}, 10)
    assert list(tmp_path.iterdir()) == []
    assert "no checkpoint after 10 updates, training goes on" in caplog.text


def test_trainings_that_differ_do_not_meet(tmp_path):
    at(tmp_path).save({"value": 1}, 10)
    seed_2 = training_key(training_mark("plane", {"base_lr": 0.1}, 2, 100), device="cpu", version="1")
    other = Checkpoints(Folder(tmp_path), seed_2, 1, HOUR_S)
    assert other.newest() is None
    other.save({"value": 2}, 10)
    other.clear()
    assert other.newest() is None
    assert at(tmp_path).newest() == {"value": 1}


def test_a_name_tells_the_run_and_keeps_devices_and_versions_apart():
    others = [training_key(MARK, device="cuda", version="1"), training_key(MARK, device="cpu", version="2")]
    assert len({KEY, *others}) == 3
    assert {one[:MARK_DIGITS] for one in (KEY, *others)} == {MARK}
    assert training_mark("plane", {"base_lr": 0.2}, 1, 100) != MARK


def test_what_a_killed_writer_left_is_swept_and_what_is_being_written_is_not(tmp_path):
    place = Folder(tmp_path)
    place.sweep()
    at(tmp_path).save({"value": 1}, 10)
    for name, age_s in ((".dead.part", STALE_S + 60), (".alive.part", STALE_S - 60)):
        (tmp_path / name).write_bytes(b"half")
        then = (tmp_path / name).stat().st_mtime - age_s
        os.utime(tmp_path / name, (then, then))
    place.sweep()
    assert sorted(one.name for one in tmp_path.iterdir() if one.suffix == ".part") == [".alive.part"]
    assert at(tmp_path).newest() == {"value": 1}


def test_a_worker_that_lost_the_run_does_not_write_over_the_others_file(tmp_path):
    at(tmp_path, attempt=1).save({"value": "old"}, 10)
    at(tmp_path, attempt=2).save({"value": "new"}, 10)
    assert at(tmp_path).newest() == {"value": "new"}
    assert len(list(tmp_path.iterdir())) == 2


def test_files_are_their_owners_alone(tmp_path):
    old = os.umask(0)
    try:
        at(tmp_path / "new").save({"value": 1}, 10)
    finally:
        os.umask(old)
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert min((tmp_path / "new").iterdir()).stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_does_not_end_the_run(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    given = spec(0.05, total=24)
    outcome, _, _ = trained(Noisy(), given, at(tmp_path / "file" / "folder", every_s=0.0))
    assert outcome == whole(Noisy(), given)[0]
    assert "training goes on" in caplog.text


def test_a_url_of_fsspec_keeps_them_too():
    place = open_place("memory://checkpoints/of-a-test")
    kept = Checkpoints(place, KEY, 1, HOUR_S)
    assert kept.newest() is None
    for updates in (10, 20, 30):
        assert kept.save({"value": torch.tensor([1.5]), "updates": updates}, updates)
    assert len(place.names(KEY)) == 2
    assert kept.newest()["updates"] == 30
    kept.clear()
    assert place.names(KEY) == []


def test_the_digest_stands_behind_what_torch_wrote():
    content = to_bytes({"value": 1})
    assert from_bytes(content) == {"value": 1}
    assert len(content[-DIGEST_BYTES:].decode()) == DIGEST_BYTES
