"""One run: what is measured when, what a seed decides, how a run ends, and that every optimizer really is used."""

import math
import random

import numpy as np
import pytest
import torch
from task_examples import TOTAL, Plane, never, nothing, rows, scripted, spec
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from schedsearch.errors import InvalidInput, InvalidSchedule, InvalidTask, RunInterrupted, SchedsearchError
from schedsearch.schedule import Cosine, Linear, Schedule, Warmup
from schedsearch.task import Splits
from schedsearch.task.randomness import seeded
from schedsearch.task.task import OPTIMIZERS, USUAL_BASE_LRS
from schedsearch.training.course import evaluation_updates
from schedsearch.training.loop import train
from schedsearch.training.spec import RunSpec
from schedsearch.training.trainer import Trainer

CPU = torch.device("cpu")
CLASSES = {
    "sgd": torch.optim.SGD,
    "momentum": torch.optim.SGD,
    "nesterov": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def run(task, given=None, should_stop=never):
    """The outcome and every measurement."""
    measured = []
    return train(task, given or spec(), measured.extend, should_stop), measured


def by_hand(lrs, seed=1):
    """The last validation loss of plain SGD on the plane, without the trainer: initialisation, order, update."""
    task = Plane()
    validation = task.splits.validation
    with seeded(seed, CPU):
        model = nn.Linear(3, 1)
    batches = Trainer(task, seed, CPU)._batches
    for lr in lrs:
        a, b = next(batches)
        loss = ((model(a) - b) ** 2).mean()
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for one, gradient in zip(model.parameters(), gradients, strict=True):
                one.sub_(lr * gradient)
    return float(((model(validation[0]) - validation[1]) ** 2).mean().detach())


def test_a_run_is_plain_sgd_at_the_schedules_rates():
    given = spec(0.1, decay=Cosine())
    outcome, _ = run(Plane(), given)
    assert outcome.score == pytest.approx(by_hand(given.schedule.lrs(TOTAL)), rel=1e-5)
    assert outcome.score < 0.1
    assert (outcome.status, outcome.updates_done) == ("completed", TOTAL)
    assert (outcome.diverged_at, outcome.reason) == (None, None)
    assert outcome.initial_loss > 5 * outcome.score
    assert outcome.duration_s > 0
    assert outcome.test_score is None


def test_twice_the_same_spec_is_the_same_to_the_last_bit_and_another_seed_is_not():
    first, again, other = run(Plane()), run(Plane()), run(Plane(), spec(seed=2))
    assert first[1] == again[1]
    assert first[0].score == again[0].score != other[0].score


def test_the_schedule_changes_neither_initialisation_nor_data_order():
    one, other = run(Plane(), spec(0.05)), run(Plane(), spec(0.01, decay=Linear()))
    assert one[0].initial_loss == other[0].initial_loss
    assert one[1][-1].train_loss != other[1][-1].train_loss


def test_a_run_leaves_every_random_generator_as_it_was():
    def drawn():
        return random.getstate(), float(np.random.random()), float(torch.rand(1))

    def seed_all():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed_all()
    expected = drawn()
    seed_all()
    run(Plane())
    assert drawn() == expected


def test_measurements_are_spread_evenly_with_rate_mean_loss_validation_and_metrics():
    given = spec(0.1, decay=Linear(), total=40)
    losses = [2.0 + (t % 4) for t in range(40)]
    outcome, measured = run(scripted(losses), given)
    assert [one.update for one in measured] == list(range(1, 40, 2))
    lrs = given.schedule.lrs(40)
    assert [one.lr for one in measured] == [lrs[one.update] for one in measured]
    assert [one.train_loss for one in measured] == [2.5, 4.5] * 10
    assert {one.val_loss for one in measured} == {1.0} == {outcome.score}
    assert all(0 < one.metrics["closeness"] < 1 for one in measured)
    assert set(measured[0].metrics) == {"closeness"}


@pytest.mark.parametrize("total", [2, 3, 19, 20, 21, 39, 400, 601])
def test_the_last_update_is_always_looked_at_and_about_twenty_in_all(total):
    updates = evaluation_updates(total)
    assert updates[-1] == total - 1
    assert updates[0] >= 0
    assert len(updates) == len(set(updates)) == min(total, 20)


def test_measurements_are_handed_over_while_the_run_goes_on():
    seen = []
    with pytest.raises(RunInterrupted):
        train(Plane(), spec(), seen.extend, lambda: len(seen) == 3)
    assert len(seen) == 3


def test_it_stops_before_the_next_update_when_asked_to():
    polls = []

    def third():
        polls.append(None)
        return len(polls) == 3

    with pytest.raises(RunInterrupted, match=r"^The run was asked to stop before update 2.$"):
        train(Plane(), spec(), nothing, third)
    assert len(polls) == 3
    with pytest.raises(RunInterrupted, match="before update 0"):
        train(Plane(), spec(), nothing, lambda: True)


# ---- the score


class Closest(Plane):
    metric = "closeness"
    direction = "maximize"


def test_the_score_is_the_tasks_metric_at_the_end():
    outcome, measured = run(Closest())
    assert outcome.score == measured[-1].metrics["closeness"]


def test_a_metric_that_nobody_computes_is_named():
    class Missing(Plane):
        metric = "f1"

    with pytest.raises(InvalidTask, match=r"`metric` must be one of loss, closeness .* but is 'f1' instead"):
        run(Missing())


class TestTouched(Plane):
    """Remembers whether anybody walked the test split."""

    __test__ = False

    def data(self):
        task = self
        task.touched = 0

        class Test(list):
            def __iter__(self):
                task.touched += 1
                return super().__iter__()

        return Splits(rows(50, 1), rows(30, 2), Test([rows(20, 3)]))


def test_the_test_split_is_touched_only_when_asked_for_and_once():
    task = TestTouched()
    assert run(task)[0].test_score is None
    assert task.touched == 0
    outcome = run(task, spec(with_test=True))[0]
    assert task.touched == 1
    assert outcome.test_score not in (None, outcome.score)
    assert outcome.score == run(task)[0].score


def test_a_task_without_a_test_split_has_no_test_score():
    class Without(Plane):
        def data(self):
            return Splits(rows(50, 1), rows(30, 2))

    assert run(Without(), spec(with_test=True))[0].test_score is None


def test_evaluation_is_the_mean_over_examples_whatever_the_batches():
    x, y = rows(50, 2)

    class Uneven(Plane):
        def data(self):
            return Splits(rows(50, 1), [(x[:7], y[:7]), (x[7:], y[7:])])

    class Whole(Plane):
        def data(self):
            return Splits(rows(50, 1), (x, y))

    assert run(Uneven())[0].score == pytest.approx(run(Whole())[0].score, rel=1e-6)


def test_dropout_is_off_in_validation_and_the_looks_do_not_change_the_training():
    class Dropped(Plane):
        def model(self):
            return nn.Sequential(nn.Linear(3, 32), nn.Dropout(0.5), nn.Linear(32, 1))

    class LooksAway(Dropped):
        def data(self):
            loader = DataLoader(TensorDataset(*rows(30, 2)), batch_size=30, shuffle=True)
            return Splits(rows(50, 1), loader)

    one, other = run(Dropped()), run(LooksAway())
    assert [m.train_loss for m in one[1]] == [m.train_loss for m in other[1]]
    assert one[0].score == pytest.approx(other[0].score, rel=1e-5)


# ---- how a run ends before its horizon


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 7, 39])
def test_a_loss_that_is_not_finite_ends_the_run_at_its_update(bad, at):
    losses = [1.0] * at + [bad] + [1.0] * (39 - at)
    outcome, measured = run(scripted(losses))
    assert (outcome.status, outcome.diverged_at, outcome.updates_done) == ("diverged", at, at + 1)
    assert outcome.reason == f"The training loss was {bad} at update {at}."
    assert (outcome.score, outcome.test_score) == (None, None)
    assert outcome.initial_loss == (None if at == 0 else 1.0)
    assert (measured[-1].update, measured[-1].train_loss, measured[-1].val_loss) == (at, None, None)


def test_a_loss_that_stays_far_above_its_start_ends_the_run_and_names_where_that_began():
    losses = [1.0] * 10 + [11.0] * 90
    outcome, measured = run(scripted(losses), spec(total=100))
    assert (outcome.status, outcome.diverged_at, outcome.updates_done) == ("diverged", 10, 35)
    assert outcome.reason == (
        "From update 10 the training loss stayed above 10 times its start of 1 for 25 updates."
    )
    assert outcome.score is None
    assert measured[-1].update == 34


def test_a_spike_that_comes_back_is_not_ended():
    losses = [1.0] * 10 + [1e6] * 24 + [1.0] + [1e6] * 24 + [0.5] * 41
    outcome, _ = run(scripted(losses), spec(total=100))
    assert (outcome.status, outcome.updates_done) == ("completed", 100)


def test_a_real_training_that_explodes_diverges_and_one_that_does_not_completes():
    exploded, _ = run(Plane(total_updates=400), spec(3.0, total=400))
    assert exploded.status == "diverged"
    assert 0 < exploded.diverged_at < exploded.updates_done < 400
    assert exploded.score is None
    assert run(Plane(total_updates=400), spec(0.1, total=400))[0].status == "completed"


def test_a_validation_score_that_is_not_finite_at_the_end_is_a_divergence():
    class Blind(Plane):
        def metrics(self, output, batch):
            return {"closeness": float("nan"), "other": 2.0}

    class BlindScore(Blind):
        metric = "closeness"

    outcome, measured = run(BlindScore())
    assert (outcome.status, outcome.score, outcome.diverged_at) == ("diverged", None, TOTAL - 1)
    assert outcome.reason == "The validation closeness was not finite at the end."
    outcome, measured = run(Blind())
    assert outcome.status == "completed"
    assert measured[-1].metrics == {"other": 2.0}


def test_updates_that_the_optimizer_did_not_do_are_noticed():
    class StepsItself(Plane):
        def make_optimizer(self, model):
            self.kept = super().make_optimizer(model)
            return self.kept

        def loss(self, output, batch):
            found = super().loss(output, batch)
            if len(batch[0]) == self.batch_size and self.kept.state_dict()["param_groups"][0]["lr"] < 0.002:
                self.kept.step()
            return found

    with pytest.raises(SchedsearchError, match="must do 40 updates, but its optimizer did 41; its score would belong"):
        run(StepsItself(), spec(0.05, decay=Linear()))


def test_what_the_users_code_raises_comes_through():
    class Broken(Plane):
        def loss(self, output, batch):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(Broken())


def test_an_impossible_schedule_and_an_unknown_device_are_refused_before_training():
    with pytest.raises(InvalidSchedule, match="`total_updates` must be an integer of at least 2"):
        run(Plane(), spec(total=1))
    with pytest.raises(InvalidInput, match="`device` must be one of"):
        run(Plane(), spec(device="abacus"))


# ---- optimizers


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_is_the_real_one_and_learns_the_plane(name):
    task = Plane(optimizer=name, total_updates=300)
    assert type(task.make_optimizer(nn.Linear(3, 1))) is CLASSES[name]
    base_lr = 0.3 if name == "adagrad" else 0.05
    assert USUAL_BASE_LRS[name][0] < base_lr < USUAL_BASE_LRS[name][1]
    outcome, _ = run(task, spec(base_lr, total=300, decay=Linear()))
    assert outcome.status == "completed"
    assert outcome.score < 0.2 * outcome.initial_loss


def test_momentum_nesterov_and_weight_decay_reach_the_optimizer():
    model = nn.Linear(3, 1)
    groups = {
        name: Plane(optimizer=name, momentum=0.8, weight_decay=0.25).make_optimizer(model).param_groups[0]
        for name in OPTIMIZERS
    }
    assert (groups["sgd"]["momentum"], groups["momentum"]["momentum"], groups["nesterov"]["momentum"]) == (0, 0.8, 0.8)
    assert [groups[name]["nesterov"] for name in ("sgd", "momentum", "nesterov")] == [False, False, True]
    assert {group["weight_decay"] for group in groups.values()} == {0.25}
    assert groups["adam"]["decoupled_weight_decay"] is False
    assert groups["adamw"]["decoupled_weight_decay"] is True
    scores = {name: run(Plane(optimizer=name))[0].score for name in OPTIMIZERS if name != "adamw"}
    assert len(set(scores.values())) == len(scores)


def test_clipping_bounds_the_step():
    def step(**options):
        with seeded(0, CPU):
            trainer = Trainer(Plane(**options), 0, CPU)
            before = torch.cat([one.detach().flatten().clone() for one in trainer.model.parameters()])
            trainer.update(1.0)
            after = torch.cat([one.detach().flatten() for one in trainer.model.parameters()])
        return float((after - before).norm())

    assert step(clip_grad_norm=0.125) == pytest.approx(0.125, rel=1e-4)
    assert step() > 1


def test_in_lower_precision_the_model_computes_in_it_and_everything_else_stays():
    class Seen(Plane):
        def forward(self, model, batch):
            self.output = model(batch[0])
            return self.output

    def trainer(**options):
        with seeded(0, CPU):
            made = Trainer(Seen(optimizer="adam", **options), 0, CPU)
            for _ in range(3):
                made.update(0.01)
        return made

    lower, full = trainer(precision="bfloat16"), trainer()
    assert (lower.task.output.dtype, full.task.output.dtype) == (torch.bfloat16, torch.float32)
    kept = [*lower.model.parameters(), *(one.grad for one in lower.model.parameters())]
    kept += [one for state in lower.optimizer.state.values() for one in state.values()]
    assert {one.dtype for one in kept} == {torch.float32}
    loss, expected = lower.evaluate()["loss"], full.evaluate()["loss"]
    assert lower.task.output.dtype is torch.bfloat16
    assert loss == pytest.approx(expected, rel=0.05)
    assert loss != expected


def test_parameter_groups_keep_their_ratio_to_the_first():
    class Groups(Plane):
        def make_optimizer(self, model):
            self.kept = torch.optim.SGD([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.05}], lr=0.5)
            return self.kept

    task = Groups()
    given = RunSpec(Schedule(0.2, Linear(), Warmup("linear", 0.25)), 1, TOTAL)
    run(task, given)
    last = given.schedule.lrs(TOTAL)[-1]
    assert [group["lr"] for group in task.kept.param_groups] == pytest.approx([last, last / 10])


def test_an_optimizer_without_a_rate_is_refused():
    class Zero(Plane):
        def make_optimizer(self, model):
            return torch.optim.SGD(model.parameters(), lr=0.0)

    with pytest.raises(InvalidTask, match="first group must be above 0, but is 0 instead"):
        run(Zero())


def test_an_optimizer_that_is_not_the_tasks_own_gets_its_usual_range():
    class Ranged(Plane):
        base_lr_range = (0.25, 0.5)

    assert Ranged().lr_range() == (0.25, 0.5)
    assert Ranged(optimizer="adam").lr_range() == USUAL_BASE_LRS["adam"]
    assert Plane().lr_range() == USUAL_BASE_LRS["sgd"]


# ---- data that the user iterates


def test_batches_of_the_users_own_with_an_epoch_schedule():
    class Loaded(Plane):
        def data(self):
            train_set, validation = TensorDataset(*rows(50, 1)), TensorDataset(*rows(30, 2))
            return Splits(DataLoader(train_set, 10, shuffle=True), DataLoader(validation, 7))

        def forward(self, model, batch):
            x, _ = batch
            return model(x)

    task = Loaded()
    assert task.updates_per_epoch == 5
    stepped = RunSpec(Schedule(0.1, Linear(), step_every="epoch"), 1, TOTAL)
    one, measured = run(task, stepped)
    assert run(Loaded(), stepped)[0].score == one.score
    assert one.score < 0.1
    assert len({m.lr for m in measured}) == 8
