"""Runs trained together are the runs trained alone: every built-in task, optimizer and kind of layer; or a refusal.

Tolerances are relative and for float32 on a CPU, where a run's own rounding grows with its updates; in float64 whole
runs agree to 1e-9.
"""

import math
import random
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from task_examples import Plane, never, rows
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from schedsearch.errors import InvalidInput, InvalidSchedule, NotBatchable, RunInterrupted
from schedsearch.schedule import Constant, Cosine, Linear, Schedule, Warmup
from schedsearch.task import Splits, load_task
from schedsearch.task.task import OPTIMIZERS
from schedsearch.training.array import train_array
from schedsearch.training.checkpoints import Checkpoints
from schedsearch.training.loop import train
from schedsearch.training.places import Folder
from schedsearch.training.spec import RunSpec

TOTAL = 12
SHAPES = (Cosine(), Linear(), Constant())
FLOAT32, FLOAT64 = 1e-4, 1e-9
BUILTIN = ("digits", "mnist1d", "mnist5k", "charlm")


def specs_of(base_lrs, seeds=(5, 5, 5), total=TOTAL, **other):
    """One run a base LR, each with another shape."""
    return [
        RunSpec(Schedule(lr, SHAPES[k % 3], Warmup("linear", 0.25, 0.5)), seed, total, **other)
        for k, (lr, seed) in enumerate(zip(base_lrs, seeds, strict=True))
    ]


def together(task, specs, should_stop=never):
    """Outcomes and every run's measurements."""
    measured = [[] for _ in specs]
    return train_array(task, specs, lambda run, new: measured[run].extend(new), should_stop), measured


def alone(task, specs):
    measured = [[] for _ in specs]
    return [train(task, one, measured[k].extend, never) for k, one in enumerate(specs)], measured


def numbers_of(outcome, measured):
    """Everything a run says but its time, as one flat mapping."""
    told = {name: value for name, value in vars(outcome).items() if name != "duration_s"}
    for one in measured:
        values = {**vars(one), **one.metrics}
        told |= {f"{one.update} {name}": value for name, value in values.items() if not isinstance(value, Mapping)}
    return told


def only(values, names):
    return {name: values[name] for name in names}


def assert_equal(task, specs, tolerance=FLOAT32):
    array, single = together(task, specs), alone(task, specs)
    for k in range(len(specs)):
        assert_alike(numbers_of(array[0][k], array[1][k]), numbers_of(single[0][k], single[1][k]), tolerance)
    return array


def assert_alike(mine, other, tolerance):
    floats = {name for name, value in other.items() if isinstance(value, float)}
    assert only(mine, mine.keys() - floats) == only(other, other.keys() - floats)
    assert only(mine, floats) == pytest.approx(only(other, floats), rel=tolerance, abs=tolerance)


# ---- the built-in tasks


def built_in(name, **options):
    """A built-in task that looks at 100 examples only."""
    task = load_task(name, {"batch_size": 16, "total_updates": 4, **options})
    whole = task.splits
    few = [tuple(part[:100] for part in split) for split in (whole.validation, whole.test)]
    task.splits = Splits(whole.train, *few)
    return task


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", BUILTIN)
def test_every_built_in_task_with_every_optimizer(name, optimizer):
    task = built_in(name, optimizer=optimizer, weight_decay=0.01)
    low, high = task.lr_range()
    middle = math.sqrt(low * high)
    outcomes, measured = assert_equal(task, specs_of((low, middle / 3, middle), total=4, with_test=True))
    assert {one.status for one in outcomes} == {"completed"}
    assert None not in {one.test_score for one in outcomes}
    assert [len(one) for one in measured] == [4, 4, 4]
    assert len({one.score for one in outcomes}) == 3


@pytest.mark.parametrize("name", BUILTIN)
def test_every_built_in_task_on_mixed_seeds_and_clipped(name):
    task = built_in(name, clip_grad_norm=0.25)
    low, high = task.lr_range()
    outcomes, _ = assert_equal(task, specs_of((low, math.sqrt(low * high), low), seeds=(1, 2, 1), total=4))
    assert outcomes[0].initial_loss == outcomes[2].initial_loss != outcomes[1].initial_loss


# ---- a small task of which anything can be changed


class Net(Plane):
    """The plane, or classes cut from it, with any model."""

    total_updates = TOTAL
    dtype = torch.float32

    def model(self):
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).to(self.dtype)

    def data(self):
        return Splits(*(tuple(part.to(self.dtype) for part in rows(*size)) for size in ((50, 1), (30, 2), (20, 3))))


class Double(Net):
    dtype = torch.float64


def net(build, **options):
    """A task of a model that `build()` makes."""

    class Built(Double):
        def model(self):
            return build().double()

    return Built(**options)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("seeds", [(3, 3, 3, 3), (3, 4, 3, 5)])
def test_whole_runs_in_float64(optimizer, seeds):
    task = Double(total_updates=60, optimizer=optimizer, weight_decay=0.03, clip_grad_norm=1.0)
    low, high = task.lr_range()
    lrs = (low, math.sqrt(low * high), high / 4, 0.9 * low)
    specs = [RunSpec(Schedule(lr, Cosine()), seed, 60, with_test=True) for lr, seed in zip(lrs, seeds, strict=True)]
    assert_equal(task, specs, FLOAT64)


OTHER_OPTIMIZERS = {
    "amsgrad": lambda given: torch.optim.Adam(given, lr=1.0, amsgrad=True),
    "fused adamw": lambda given: torch.optim.AdamW(given, lr=1.0, weight_decay=0.1, fused=True),
    "foreach": lambda given: torch.optim.Adam(given, lr=1.0, foreach=True),
    "dampened": lambda given: torch.optim.SGD(given, lr=1.0, momentum=0.5, dampening=0.5, weight_decay=0.1),
    "rmsprop": lambda given: torch.optim.RMSprop(given, lr=1.0, momentum=0.5, centered=True),
    "adadelta": lambda given: torch.optim.Adadelta(given, lr=1.0),
    "adagrad": lambda given: torch.optim.Adagrad(given, lr=1.0, lr_decay=0.1, initial_accumulator_value=0.1),
    "adamax": lambda given: torch.optim.Adamax(given, lr=1.0),
    "nadam": lambda given: torch.optim.NAdam(given, lr=1.0, weight_decay=0.1, decoupled_weight_decay=True),
    "radam": lambda given: torch.optim.RAdam(given, lr=1.0),
}


@pytest.mark.parametrize("name", OTHER_OPTIMIZERS)
def test_optimizers_of_a_tasks_own(name):
    class Own(Net):
        def make_optimizer(self, model):
            return OTHER_OPTIMIZERS[name](model.parameters())

    assert_equal(Own(), specs_of((0.001, 0.01, 0.03)))


def test_parameter_groups_keep_their_ratios_and_their_own_weight_decay():
    class Groups(Net):
        def make_optimizer(self, model):
            first = {"params": model[0].parameters(), "weight_decay": 0.3}
            second = {"params": model[2].parameters(), "lr": 0.05, "betas": (0.5, 0.9)}
            return torch.optim.AdamW([first, second], lr=0.5)

    outcomes, _ = assert_equal(Groups(), specs_of((0.001, 0.01, 0.03)))
    plain, _ = together(Net(optimizer="adamw"), specs_of((0.001, 0.01, 0.03)))
    assert outcomes[0].score != pytest.approx(plain[0].score)


# ---- kinds of layers


class Apart(nn.Module):
    """Points (batch, 3) as a sequence of 3 numbers through any layer, then a sum."""

    def __init__(self, layer, channels=4):
        super().__init__()
        self.lift = nn.Linear(1, channels)
        self.layer = layer
        self.out = nn.Linear(channels, 1)

    def forward(self, x):
        return self.out(self.between(self.lift(x[..., None]))).sum(1)

    def between(self, x):
        return self.layer(x)


class Channels(Apart):
    def between(self, x):
        return self.layer(x.transpose(1, 2)).transpose(1, 2)


class Attention(Apart):
    def between(self, x):
        return self.layer(x, x, x, need_weights=False)[0]


class Tied(nn.Module):
    """The last layer's weight is the first one's."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 3), nn.Linear(3, 3)
        self.last.weight = self.first.weight

    def forward(self, x):
        return self.last(torch.tanh(self.first(x))).sum(1, keepdim=True)


class Moving(nn.Module):
    """Divides by a running scale: a buffer that is replaced, or one that is changed in place."""

    def __init__(self, in_place):
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.in_place = in_place
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x):
        found = self.linear(x)
        if self.training and self.in_place:
            self.scale.mul_(0.9).add_(0.1 * found.detach().abs().mean())
        elif self.training:
            self.scale = 0.9 * self.scale + 0.1 * found.detach().abs().mean()
        return found / self.scale


class Tokens(nn.Module):
    def __init__(self, embedding):
        super().__init__()
        self.embedding, self.out = embedding, nn.Linear(4, 1)

    def forward(self, x):
        return self.out(self.embedding((x.clamp(-1.9, 1.9) + 2).long()).mean(1))


class Scaled(nn.Module):
    """One of its parameters is a scalar."""

    def __init__(self):
        super().__init__()
        self.linear, self.scale = nn.Linear(3, 1), nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return self.scale * self.linear(x)


def frozen():
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    model[0].requires_grad_(False)
    return model


LAYERS = {
    "linear": lambda: nn.Sequential(nn.Linear(3, 8), nn.ReLU(inplace=True), nn.Linear(8, 1)),
    "convolution": lambda: Channels(nn.Conv1d(4, 4, 3, padding=1)),
    "grouped convolution": lambda: Channels(nn.Conv1d(4, 4, 3, padding=1, groups=2)),
    "transposed convolution": lambda: Channels(nn.ConvTranspose1d(4, 4, 3, padding=1)),
    "pooling": lambda: Channels(nn.AvgPool1d(3, 1, 1)),
    "batch norm": lambda: Channels(nn.BatchNorm1d(4)),
    "batch norm without statistics": lambda: Channels(nn.BatchNorm1d(4, track_running_stats=False)),
    "group norm": lambda: Channels(nn.GroupNorm(2, 4)),
    "instance norm": lambda: Channels(nn.InstanceNorm1d(4, affine=True)),
    "layer norm": lambda: Apart(nn.LayerNorm(4)),
    "rms norm": lambda: Apart(nn.RMSNorm(4)),
    "attention": lambda: Attention(nn.MultiheadAttention(4, 2, batch_first=True)),
    "transformer": lambda: Apart(nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)),
    "embedding": lambda: Tokens(nn.Embedding(4, 4)),
    "weight norm": lambda: Apart(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))),
    "dropout": lambda: nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.5), nn.Linear(16, 1)),
    "tied weights": Tied,
    "a buffer replaced": lambda: Moving(in_place=False),
    "a buffer changed in place": lambda: Moving(in_place=True),
    "frozen parameters": frozen,
    "a scalar": Scaled,
}


@pytest.mark.parametrize("kind", LAYERS)
def test_kinds_of_layers(kind):
    assert_equal(net(LAYERS[kind], optimizer="adam"), specs_of((0.003, 0.03, 0.01)), FLOAT64)


@pytest.mark.parametrize("kind", sorted(set(LAYERS) - {"dropout"}))
def test_kinds_of_layers_on_mixed_seeds(kind):
    task = net(LAYERS[kind], optimizer="momentum", clip_grad_norm=0.5)
    assert_equal(task, specs_of((0.003, 0.01, 0.01), seeds=(1, 2, 3)), FLOAT64)


def test_a_bias_before_a_normalisation_whose_gradient_is_rounding_is_no_reason_to_refuse():
    class Single(Net):
        def model(self):
            return Channels(nn.InstanceNorm1d(4, affine=True))

    outcomes, _ = together(Single(optimizer="adam"), specs_of((0.003, 0.03, 0.01)))
    assert {one.status for one in outcomes} == {"completed"}


# ---- data, and whatever else is random


class Loaded(Net):
    """Batches of the user's own, shuffled by the general generators, the last one smaller."""

    def data(self):
        return Splits(DataLoader(TensorDataset(*rows(50, 1)), 8, shuffle=True), [rows(30, 2)])


def test_batches_of_the_users_own_shuffled_by_the_general_generators():
    assert_equal(Loaded(), specs_of((0.003, 0.03, 0.01)))


def test_noise_that_the_task_draws_from_every_generator():
    class Noisy(Net):
        def forward(self, model, batch):
            strength = random.gauss(0, 1) + float(np.random.random())
            return model(batch[0] + strength * torch.randn_like(batch[0]))

    assert_equal(Noisy(), specs_of((0.003, 0.03, 0.01)))


def test_every_generator_is_afterwards_as_it_was():
    def drawn():
        return random.getstate(), float(np.random.random()), float(torch.rand(1))

    def seed_all():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed_all()
    expected = drawn()
    seed_all()
    together(net(LAYERS["dropout"]), specs_of((0.01, 0.02, 0.03)))
    assert drawn() == expected


def test_the_same_array_twice_is_the_same_to_the_last_bit():
    specs = specs_of((0.003, 0.03, 0.01), seeds=(1, 2, 3))
    assert together(Net(), specs)[1] == together(Net(), specs)[1]


# ---- metrics


def test_metrics_that_leave_torch_are_asked_row_by_row():
    class Counted(Net):
        metric = "worst"

        def metrics(self, output, batch):
            return {"worst": float(np.abs((output - batch[1]).numpy()).max()), "half": 0.5}

    assert_equal(Counted(), specs_of((0.003, 0.03, 0.01)))


def test_a_metric_that_is_not_finite_is_left_out_and_as_the_score_is_a_divergence():
    class Blind(Net):
        metric = "blind"

        def metrics(self, output, batch):
            return {"blind": torch.where(output.mean() > -100, torch.nan, 0.0), "other": 2.0}

    outcomes, measured = assert_equal(Blind(), specs_of((0.003, 0.03, 0.01)))
    assert {one.status for one in outcomes} == {"diverged"}
    assert {one.reason for one in outcomes} == {"The validation blind was not finite at the end."}
    assert measured[0][-1].metrics == {"other": 2.0}


# ---- divergence, stopping, what each run gets


def test_a_run_that_diverges_is_recorded_as_alone_and_leaves_the_others_as_they_are_to_the_last_bit():
    lrs, total = (0.05, 0.02, 0.1, 0.03), 150
    task = Plane(total_updates=total)
    calm = [RunSpec(Schedule(lr, Linear()), seed, total) for lr, seed in zip(lrs, (1, 2, 3, 4), strict=True)]
    wild = [*calm[:2], RunSpec(Schedule(3.0, Constant()), 3, total), calm[3]]
    outcomes, measured = assert_equal(task, wild)
    assert [one.status for one in outcomes] == ["completed", "completed", "diverged", "completed"]
    assert 0 < outcomes[2].diverged_at < outcomes[2].updates_done < total
    assert measured[2][-1].val_loss is None
    beside = together(task, calm)[1]
    assert [measured[k] for k in (0, 1, 3)] == [beside[k] for k in (0, 1, 3)]


def test_runs_that_overflow_one_after_the_other_down_to_the_last_one():
    total = 120
    lrs = (30.0, 5.0, 300.0, 0.05, 8.0, 1e5)
    specs = [RunSpec(Schedule(lr, Constant()), 1, total, with_test=True) for lr in lrs]
    outcomes, _ = assert_equal(Plane(total_updates=total, optimizer="momentum", scale=100.0), specs)
    assert [one.status for one in outcomes].count("completed") == 0
    outcomes, _ = assert_equal(Plane(total_updates=total, optimizer="momentum"), specs)
    assert [one.status == "completed" for one in outcomes] == [False, False, False, True, False, False]
    assert len({one.updates_done for one in outcomes}) > 3
    assert outcomes[3].test_score is not None


def test_an_array_whose_runs_all_diverge_ends_early():
    polls = []

    def counted():
        polls.append(None)
        return False

    outcomes, _ = together(Plane(total_updates=400), specs_of((1e6, 1e7, 1e8), total=400), counted)
    assert {one.status for one in outcomes} == {"diverged"}
    assert len(polls) == max(one.updates_done for one in outcomes) < 100


def test_only_runs_that_ask_for_it_get_a_test_score():
    specs = [*specs_of((0.01,), seeds=(1,)), *specs_of((0.01,), seeds=(1,), with_test=True)]
    outcomes, _ = together(Net(), specs)
    assert outcomes[0].test_score is None
    assert outcomes[1].test_score not in (None, outcomes[1].score)


def test_times_are_shares_of_the_arrays_time():
    polls = []

    def counted():
        polls.append(None)
        return False

    outcomes, _ = together(Net(), specs_of((0.003, 0.03, 0.01)), counted)
    assert len(polls) == TOTAL
    assert max(one.duration_s for one in outcomes) == pytest.approx(min(one.duration_s for one in outcomes), rel=0.05)
    assert outcomes[0].duration_s > 0


def test_it_stops_before_the_next_update_when_asked_to():
    polls = []

    def third():
        polls.append(None)
        return len(polls) == 3

    with pytest.raises(RunInterrupted, match=r"^The runs were asked to stop before update 2.$"):
        together(Net(), specs_of((0.003, 0.03, 0.01)), third)
    assert len(polls) == 3


def test_measurements_are_handed_over_while_the_array_goes_on():
    seen = []
    with pytest.raises(RunInterrupted):
        train_array(Net(), specs_of((0.003, 0.03, 0.01)), lambda run, new: seen.append(run), lambda: len(seen) >= 6)
    assert seen == [0, 1, 2, 0, 1, 2]


def test_an_array_of_one_and_of_two_updates():
    assert_equal(Net(), specs_of((0.01,), seeds=(4,)))
    assert_equal(Net(), [RunSpec(Schedule(lr, Constant()), 1, 2) for lr in (0.01, 0.02)])


# ---- checkpoints

HOUR_S = 3600.0


def places(folder, count, every_s=HOUR_S):
    return [Checkpoints(Folder(folder), f"run-{run}", 1, every_s) for run in range(count)]


class Dropped(Double):
    def model(self):
        return LAYERS["dropout"]().double()


class Normed(Double):
    def model(self):
        return nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)).double()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("kind", "seeds"), [(Dropped, (5, 5, 5)), (Normed, (1, 2, 1))])
def test_a_stopped_array_leaves_checkpoints_from_which_each_run_goes_on_alone(kind, seeds, optimizer, tmp_path):
    task, specs = kind(optimizer=optimizer), specs_of((0.003, 0.02, 0.01), seeds=seeds)
    polls = []

    def later():
        polls.append(None)
        return len(polls) > 7

    with pytest.raises(RunInterrupted, match="before update 7"):
        train_array(task, specs, lambda *_: None, later, places(tmp_path, 3))
    expected = alone(task, specs)
    for run, one in enumerate(places(tmp_path, 3)):
        assert one.newest()["trainer"]["updates_done"] == 7
        measured = []
        outcome = train(task, specs[run], measured.extend, never, one)
        assert_alike(numbers_of(outcome, measured), numbers_of(expected[0][run], expected[1][run]), FLOAT64)
    assert list(tmp_path.iterdir()) == []


def test_runs_with_a_checkpoint_are_not_trained_together(tmp_path):
    specs = specs_of((0.003, 0.02, 0.01))
    places(tmp_path, 3)[1].save({"trainer": {}}, 3)
    with pytest.raises(NotBatchable, match="have a checkpoint to go on from: train run by run"):
        train_array(Net(), specs, lambda *_: None, never, places(tmp_path, 3))


def test_checkpoints_are_written_when_they_are_due_and_are_gone_after_the_last_update(tmp_path):
    seen = set()

    def looking():
        seen.update(one.name for one in tmp_path.iterdir())
        return False

    train_array(Net(), specs_of((0.003, 0.02, 1e9)), lambda *_: None, looking, places(tmp_path, 3, every_s=0.0))
    assert {name.split("-")[1] for name in seen} == {"0", "1", "2"}
    assert any(f"-{TOTAL - 2:010d}-" in name for name in seen)
    assert list(tmp_path.iterdir()) == []


# ---- what is refused


@pytest.mark.parametrize(
    ("specs", "sentence"),
    [
        ([], "`specs` must be at least one run, but is empty instead"),
        ([*specs_of((0.1,), (1,)), *specs_of((0.1,), (1,), total=8)], r"`total_updates` must be the same .* \[8, 12\]"),
        ([*specs_of((0.1,), (1,)), *specs_of((0.1,), (1,), device="cuda:7")], "`device` must be the same"),
        (specs_of((0.1, 0.2), (1, 1), device="abacus"), "`device` must be one of"),
    ],
)
def test_runs_that_do_not_belong_together(specs, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        together(Net(), specs)


def test_an_impossible_schedule():
    with pytest.raises(InvalidSchedule, match="`total_updates` must be an integer of at least 2"):
        together(Net(), specs_of((0.1, 0.2), (1, 1), total=1))


class Last(nn.Module):
    """The last state of a recurrent layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.out = layer, nn.Linear(4, 1)

    def forward(self, x):
        return self.out(self.layer(x[..., None])[0][:, -1])


class Cell(Last):
    def forward(self, x):
        return self.out(self.layer(x))


class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        found = self.linear(x)
        return -found if found.mean() > 0 else found


class Masked(Branch):
    def forward(self, x):
        found = self.linear(x)
        return found * found[found > -1e6].mean()


REFUSED = {
    "LSTM": (lambda: Last(nn.LSTM(1, 4, batch_first=True)), r"`layer` \(LSTM\) is recurrent"),
    "GRU cell": (lambda: Cell(nn.GRUCell(3, 4)), r"`layer` \(GRUCell\) is recurrent"),
    "sparse": (lambda: Tokens(nn.Embedding(4, 4, sparse=True)), r"`embedding` \(Embedding\) has sparse gradients"),
    "transformer with dropout": (
        lambda: Apart(nn.TransformerEncoderLayer(4, 2, 8, dropout=0.5, batch_first=True)),
        r"`layer` \(TransformerEncoderLayer\) draws other dropout masks",
    ),
    "a branch": (lambda: nn.Sequential(Branch()), r"^The layer `0` \(Branch\) cannot be batched over models: Runtime"),
    "a mask": (lambda: nn.Sequential(Masked()), r"^The layer `0` \(Masked\) cannot be batched over models: Runtime"),
}


def refused(task, specs, sentence):
    """The refusal comes before anything is recorded, and the runs train alone."""
    measured = []
    with pytest.raises(NotBatchable, match=sentence):
        train_array(task, specs, lambda run, new: measured.append(new), never)
    assert measured == []
    assert alone(task, specs[:1])[0][0].status == "completed"


@pytest.mark.parametrize("kind", REFUSED)
def test_layers_that_cannot_be_batched_are_named(kind):
    build, sentence = REFUSED[kind]
    refused(net(build), specs_of((0.001, 0.002, 0.003)), sentence)


def test_optimizers_whose_step_is_not_the_rate_times_a_direction():
    class Own(Net):
        def make_optimizer(self, model):
            return torch.optim.Rprop(model.parameters(), lr=0.01)

    refused(Own(), specs_of((0.001, 0.002, 0.003)), "is exact for SGD, .* but the optimizer is Rprop: train run by run")


def test_lower_precision():
    task = built_in("digits", precision="bfloat16")
    refused(task, specs_of((0.01, 0.02, 0.03)), "With `precision` = bfloat16 the rounding of one batched model is too")


def test_dropout_on_mixed_seeds():
    refused(net(LAYERS["dropout"]), specs_of((0.01, 0.02, 0.03), seeds=(1, 2, 1)), r"The layer `1` \(Dropout\) cannot")


def test_batches_of_the_users_own_on_mixed_seeds():
    refused(Loaded(), specs_of((0.01, 0.02, 0.03), seeds=(1, 2, 1)), "only on data in memory")


def test_noise_of_numpy_on_mixed_seeds_is_seen_by_the_guard():
    class Noisy(Net):
        def forward(self, model, batch):
            return model(batch[0] * float(np.random.random()))

    refused(Noisy(), specs_of((0.01, 0.02, 0.03), seeds=(1, 2, 1)), "The loss differs by")


# ---- the guard


class Doubled(torch.autograd.Function):
    """Equal to the identity, but batched over models every row gets the first row's values."""

    @staticmethod
    def forward(x):
        return x.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient

    @staticmethod
    def vmap(info, dims, x):
        rows = x.movedim(dims[0], 0)
        return rows[:1].expand_as(rows).clone(), 0


class Planted(nn.Module):
    """A model that is silently wrong in an array, in training or in evaluation only."""

    def __init__(self, wrong_in):
        super().__init__()
        self.linear = nn.Linear(3, 1)
        self.wrong_in = wrong_in

    def forward(self, x):
        found = self.linear(x)
        return Doubled.apply(found) if self.training == (self.wrong_in == "training") else found


@pytest.mark.parametrize(
    ("wrong_in", "sentence"),
    [("training", "The (loss|gradient of `linear.weight`) differs by"), ("evaluation", "The validation loss differs")],
)
def test_the_guard_sees_a_model_that_is_silently_wrong(wrong_in, sentence):
    refused(net(lambda: Planted(wrong_in)), specs_of((0.01, 0.02, 0.03)), sentence)


def test_the_guard_sees_gradients_that_are_changed_behind_the_batched_models_back():
    def hooked():
        model = nn.Linear(3, 1)
        model.weight.register_hook(lambda gradient: 0.5 * gradient)
        return model

    refused(net(hooked), specs_of((0.01, 0.02, 0.03)), "The gradient of `weight` differs by .* at update 0, but may by")


def test_the_guard_sees_an_optimizer_that_does_more_than_its_class():
    class Own(Net):
        def make_optimizer(self, model):
            optimizer = torch.optim.SGD(model.parameters(), lr=1.0)

            def clamp(*_):
                for one in model.parameters():
                    one.grad.clamp_(-0.01, 0.01)

            optimizer.register_step_pre_hook(clamp)
            return optimizer

    refused(Own(), specs_of((0.01, 0.02, 0.03)), "The step of `0.weight` differs by .* at update 0")


def test_the_guard_sees_weights_that_decay_though_the_loss_does_not_know_them():
    def unused():
        model = nn.Linear(3, 1)
        model.register_parameter("idle", nn.Parameter(torch.ones(2)))
        return model

    specs = specs_of((0.01, 0.02, 0.03))
    assert_equal(net(unused), specs)
    refused(net(unused, weight_decay=0.1), specs, "The step of `idle` differs")


def test_the_guard_sees_a_task_that_uses_another_model_than_the_one_it_is_given():
    class Own(Net):
        def model(self):
            self.kept = super().model()
            return self.kept

        def forward(self, model, batch):
            return self.kept(batch[0]) if model.training else model(batch[0])

    refused(Own(), specs_of((0.01, 0.02, 0.03), seeds=(1, 2, 3)), "differs|cannot be batched")


def test_the_guard_sees_a_counter_that_single_runs_would_not_share():
    class Counting(Net):
        calls = 0

        def loss(self, output, batch):
            type(self).calls += 1
            return super().loss(output, batch) * self.calls

    refused(Counting(), specs_of((1e-4, 1e-4, 1e-4)), "The loss differs by")


def test_what_the_users_code_raises_in_a_single_run_comes_through():
    class Broken(Net):
        def loss(self, output, batch):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        together(Broken(), specs_of((0.01, 0.02, 0.03)))
