"""The torch scheduler: it follows the schedule for every group, resumes exactly, and leaves nothing behind."""

import copy
import gc
import pickle
import warnings
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from schedule_strategies import cases
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from schedsearch.errors import InvalidInput, InvalidSchedule
from schedsearch.schedule import Cosine, Linear, Restarts, Schedule, Warmup, Wsd

SCHEDULE = Schedule(0.1, Cosine(0.05), Warmup("linear", 0.2, 0.1), Restarts(2, 1.5, 0.8))
TOTAL = 40


def parameter():
    return torch.nn.Parameter(torch.ones(2))


def sgd(*lrs, default=0.5, **options):
    groups = [{"params": [parameter()], **({} if lr is None else {"lr": lr})} for lr in lrs]
    return torch.optim.SGD(groups, lr=default, **options)


def lrs_of(optimizer):
    return [float(group["lr"]) for group in optimizer.param_groups]


def trained(optimizer, scheduler, updates):
    """The LRs of the groups in each of the next updates, shape (updates, groups)."""
    seen = []
    for _ in range(updates):
        seen.append(lrs_of(optimizer))
        optimizer.step()
        scheduler.step()
    return np.array(seen)


@pytest.mark.parametrize("lr", [0.5, 1e-3, 0.37, 7])
def test_it_is_a_torch_scheduler_that_follows_the_schedule_to_the_last_bit(lr):
    optimizer = sgd(None, default=lr)
    schedule = SCHEDULE.with_base_lr(0.06)
    scheduler = schedule.scheduler(optimizer, TOTAL)
    assert isinstance(scheduler, LRScheduler)
    assert scheduler.get_last_lr() == [schedule.lr(0, TOTAL)]
    np.testing.assert_array_equal(trained(optimizer, scheduler, TOTAL)[:, 0], schedule.lrs(TOTAL))


def test_it_equals_torch_s_own_composition():
    ours, theirs = sgd(0.1), sgd(0.1)
    scheduler = Schedule(0.1, Cosine(), Warmup("linear", 0.25, 0.1)).scheduler(ours, TOTAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's SequentialLR warns about itself
        warm = LinearLR(theirs, start_factor=0.1, total_iters=10)
        sequence = SequentialLR(theirs, [warm, CosineAnnealingLR(theirs, T_max=30)], milestones=[10])
        expected = trained(theirs, sequence, TOTAL)
    np.testing.assert_allclose(trained(ours, scheduler, TOTAL), expected, rtol=0, atol=1e-15)


def test_every_group_keeps_its_own_base_lr():
    optimizer = sgd(0.1, 0.01, 0.3)
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    expected = np.outer(SCHEDULE.factors(TOTAL), [0.1, 0.01, 0.3])
    np.testing.assert_allclose(trained(optimizer, scheduler, TOTAL), expected, rtol=1e-14)


def test_the_first_group_trains_at_the_schedule_s_base_lr_and_the_others_in_proportion():
    optimizer = sgd(1e-3, 2e-4)
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    expected = np.outer(SCHEDULE.factors(TOTAL), [0.1, 0.02])
    np.testing.assert_allclose(trained(optimizer, scheduler, TOTAL), expected, rtol=1e-14)
    np.testing.assert_allclose(scheduler.base_lrs, [0.1, 0.02])


def test_a_group_added_later_joins_at_the_same_scale():
    optimizer = sgd(None, default=1e-3)
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    trained(optimizer, scheduler, 5)
    optimizer.add_param_group({"params": [parameter()]})
    optimizer.add_param_group({"params": [parameter()], "lr": 1e-4})
    trained(optimizer, scheduler, 1)
    expected = np.outer(SCHEDULE.factors(TOTAL)[6:], [0.1, 0.1, 0.01])
    np.testing.assert_allclose(trained(optimizer, scheduler, TOTAL - 6), expected, rtol=1e-14)
    np.testing.assert_allclose(scheduler.base_lrs, [0.1, 0.1, 0.01])
    assert len(scheduler.get_last_lr()) == 3


def test_an_lr_in_a_tensor_stays_in_that_tensor():
    held = [torch.tensor(0.5), torch.tensor(0.05)]
    optimizer = torch.optim.Adam([{"params": [parameter()], "lr": lr} for lr in held], foreach=False)
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    seen = trained(optimizer, scheduler, 23)
    np.testing.assert_allclose(seen, np.outer(SCHEDULE.factors(TOTAL)[:23], [0.1, 0.01]), rtol=1e-6)
    assert all(group["lr"] is lr for group, lr in zip(optimizer.param_groups, held, strict=True))
    last = scheduler.get_last_lr()
    assert all(isinstance(lr, torch.Tensor) and lr is not mine for lr, mine in zip(last, held, strict=True))
    saved = pickle.loads(pickle.dumps(scheduler.state_dict()))  # noqa: S301  # our own bytes
    scheduler.step()
    scheduler.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] is held[0]
    assert float(held[0]) == pytest.approx(SCHEDULE.lr(23, TOTAL), rel=1e-6)


@pytest.mark.parametrize("schedule", [SCHEDULE, Schedule(0.1, Wsd(0.5)), Schedule(0.1, Cosine(), step_every=3)])
def test_past_the_end_the_last_value_is_held_without_a_warning(schedule):
    optimizer = sgd(None)
    scheduler = schedule.scheduler(optimizer, TOTAL)
    seen = trained(optimizer, scheduler, TOTAL + 50)[:, 0]
    assert (seen[TOTAL:] == schedule.lrs(TOTAL)[-1]).all()
    assert scheduler.last_epoch == TOTAL + 50


def test_an_epoch_is_resolved_to_its_updates():
    optimizer = sgd(None)
    scheduler = Schedule(0.1, Linear(), step_every="epoch").scheduler(optimizer, TOTAL, 10)
    np.testing.assert_allclose(
        trained(optimizer, scheduler, TOTAL)[:, 0], np.repeat([0.1, 0.075, 0.05, 0.025], 10), rtol=1e-14
    )


def test_momentum_and_betas_are_never_touched():
    optimizer = torch.optim.AdamW([parameter()], lr=0.1, betas=(0.8, 0.95))
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    trained(optimizer, scheduler, TOTAL)
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.95)


# ---- resuming


@settings(max_examples=60, deadline=None)
@given(cases, st.data())
def test_resuming_at_any_update_equals_not_resuming(case, data):
    t = data.draw(st.integers(0, case.total_updates))
    optimizer, fresh = sgd(None, 0.05), sgd(None, 0.05)
    scheduler = case.schedule.scheduler(optimizer, *case.arguments)
    trained(optimizer, scheduler, t)
    resumed = case.schedule.scheduler(fresh, *case.arguments)
    resumed.load_state_dict(scheduler.state_dict())
    rest = case.total_updates - t + 2
    np.testing.assert_array_equal(trained(fresh, resumed, rest), trained(optimizer, scheduler, rest))


def checkpoint(t):
    optimizer = sgd(1e-3, 5e-4, momentum=0.9)
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    trained(optimizer, scheduler, t)
    saved = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    return saved, trained(optimizer, scheduler, TOTAL - t)


def restore_optimizer_first(optimizer, saved):
    optimizer.load_state_dict(saved[0])
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    scheduler.load_state_dict(saved[1])
    return scheduler


def restore_scheduler_first(optimizer, saved):
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    scheduler.load_state_dict(saved[1])
    optimizer.load_state_dict(saved[0])
    return scheduler


def restore_the_scheduler_alone(optimizer, saved):
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    scheduler.load_state_dict(saved[1])
    return scheduler


@pytest.mark.parametrize("t", [0, 1, 7, 8, 20, 39])
@pytest.mark.parametrize("restore", [restore_optimizer_first, restore_scheduler_first, restore_the_scheduler_alone])
def test_the_order_of_restoring_does_not_matter(restore, t):
    saved, expected = checkpoint(t)
    optimizer = sgd(1e-3, 5e-4, momentum=0.9)
    scheduler = restore(optimizer, saved)
    np.testing.assert_allclose(trained(optimizer, scheduler, TOTAL - t), expected, rtol=1e-14)


def test_loading_sets_every_group_at_once():
    saved, expected = checkpoint(20)
    optimizer = sgd(1e-3, 5e-4, momentum=0.9)
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    scheduler.load_state_dict(saved[1])
    assert lrs_of(optimizer) == expected[0].tolist()
    assert scheduler.get_last_lr() == expected[0].tolist()
    assert scheduler.last_epoch == 20


def test_the_state_is_plain_numbers_and_does_not_overwrite_the_schedule():
    optimizer = sgd(1e-3, 5e-4)
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    trained(optimizer, scheduler, 3)
    assert scheduler.state_dict() == {"last_epoch": 3, "base_lrs": [0.1, 0.05]}
    longer = SCHEDULE.scheduler(sgd(1e-3, 5e-4), 10 * TOTAL)
    longer.load_state_dict(scheduler.state_dict())
    assert longer.get_last_lr() == pytest.approx([SCHEDULE.lr(3, 10 * TOTAL), SCHEDULE.lr(3, 10 * TOTAL) / 2])


def test_a_state_of_other_groups_is_refused_before_anything_changes():
    saved, _ = checkpoint(5)
    optimizer = sgd(None)
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    before = lrs_of(optimizer), scheduler.state_dict()
    with pytest.raises(
        InvalidInput, match=r"must have 1 `base_lrs`, one for each parameter group .* but has 2 instead"
    ):
        scheduler.load_state_dict(saved[1])
    assert (lrs_of(optimizer), scheduler.state_dict()) == before


def test_a_second_scheduler_starts_the_same_optimizer_afresh():
    optimizer = sgd(None)
    trained(optimizer, SCHEDULE.scheduler(optimizer, TOTAL), 10)
    second = Schedule(0.7, Linear()).scheduler(optimizer, TOTAL)
    np.testing.assert_allclose(trained(optimizer, second, TOTAL)[:, 0], Schedule(0.7, Linear()).lrs(TOTAL), rtol=1e-14)


# ---- what it refuses, and what it leaves behind


def test_an_impossible_horizon_is_refused_before_the_optimizer_changes():
    optimizer = sgd(0.5)
    with pytest.raises(InvalidSchedule, match="`total_updates` must be an integer of at least 2, but is 1 instead"):
        SCHEDULE.scheduler(optimizer, 1)
    assert lrs_of(optimizer) == [0.5]
    assert "initial_lr" not in optimizer.param_groups[0]


def test_a_first_group_without_an_lr_is_refused():
    optimizer = sgd(0.0, 0.1)
    with pytest.raises(InvalidInput) as caught:
        SCHEDULE.scheduler(optimizer, TOTAL)
    assert str(caught.value) == (
        "The LR of the optimizer's first parameter group must be greater than 0, but is 0.0 instead."
    )
    assert lrs_of(optimizer) == [0.0, 0.1]


def test_the_wrong_order_of_steps_still_warns_as_in_torch():
    scheduler = SCHEDULE.scheduler(sgd(None), TOTAL)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()


def test_nothing_is_kept_alive_by_a_cycle():
    optimizer = sgd(0.1, 0.2)
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    trained(optimizer, scheduler, 3)
    watched = weakref.ref(scheduler), weakref.ref(optimizer)
    gc.disable()
    try:
        del scheduler
        assert watched[0]() is None
        del optimizer
        assert watched[1]() is None
    finally:
        gc.enable()


def test_a_deep_copy_is_at_the_same_update():
    optimizer = sgd(0.1, 0.2)
    scheduler = SCHEDULE.scheduler(optimizer, TOTAL)
    trained(optimizer, scheduler, 3)
    clone = copy.deepcopy(scheduler)
    assert clone.state_dict() == scheduler.state_dict()
    np.testing.assert_array_equal([clone.get_last_lr()], [scheduler.get_last_lr()])
