"""Worker processes: the task tried in a child, its facts and faults, orders, deaths, and that none is left behind."""

import os
import signal
import time

import pytest
from test_planning import write_study

from schedsearch.errors import InvalidTask
from schedsearch.search.plan import Budget
from schedsearch.space import load_space
from schedsearch.store import Store
from schedsearch.task.facts import TaskFacts
from schedsearch.workers.local import LocalWorkers, Post, _threads, expected_posts, posts

ONE = [Post("cpu", 1)]


def test_a_rehearsal_returns_the_facts():
    with LocalWorkers("sqlite://") as workers:
        workers.rehearse("digits", {"width": 10}, ONE)
        found = workers.facts()
    assert isinstance(found, TaskFacts)
    assert found.parameters == 64 * 10 + 10 + 10 * 10 + 10
    assert isinstance(found.base_lr_range, tuple)
    assert isinstance(found.devices, tuple)


def test_every_fault_is_told():
    with LocalWorkers("sqlite://") as workers:
        workers.rehearse("digits", {"total_updates": 1, "depth": 3}, ONE)
        with pytest.raises(InvalidTask) as error:
            workers.facts()
    assert str(error.value).splitlines() == [
        "The task 'digits' has no option `depth`; its options: batch_size, clip_grad_norm, momentum, optimizer, "
        "precision, total_updates, weight_decay, width.",
        "`total_updates` must be an integer of at least 2, but is 1 instead.",
    ]


def test_a_task_that_ends_its_process_is_told_with_its_last_words(tmp_path):
    path = tmp_path / "ends.py"
    path.write_text("import os\nprint('about to end', flush=True)\nos._exit(7)\n")
    with LocalWorkers("sqlite://") as workers:
        workers.rehearse(f"{path}:Task", {}, ONE)
        with pytest.raises(InvalidTask, match=r"^Trying the task ended with exit code 7:\nabout to end$"):
            workers.facts()


def test_none_is_left_behind():
    with LocalWorkers("sqlite://") as workers:
        workers.rehearse("digits", {}, [*ONE, *ONE])
        pids = [child.process.pid for child in workers._children]
        assert workers.alive() == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_without_orders_ends_by_itself():
    """So none survives a launch that was killed."""
    with LocalWorkers("sqlite://") as workers:
        workers.rehearse("digits", {}, ONE)
        workers.facts()
        process = workers._children[0].process
        process.stdin.close()
        assert process.wait(20) == 0


def test_those_that_rehearsed_serve_and_the_dead_are_replaced(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    with Store.open(url) as store:
        study = write_study(store, "one", Budget(trials=8), load_space("quick").with_base_lr(0.01, 1.0))
    with LocalWorkers(url) as workers:
        workers.rehearse("digits", {}, [*ONE, *ONE])
        workers.facts()
        first, second = (child.process for child in workers._children)
        second.send_signal(signal.SIGKILL)
        second.wait()
        workers.start(study.name, [*ONE, *ONE], tmp_path / "logs")
        assert workers._children[0].process is first
        assert workers._children[1].process is not second
        first.send_signal(signal.SIGKILL)
        first.wait()
        workers.revive()
        deadline = time.monotonic() + 30
        while workers.alive() < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert workers.alive() == 2
        assert {path.name for path in (tmp_path / "logs").iterdir()} == {"worker-0.log", "worker-1.log", "planner.log"}


def test_more_were_tried_than_are_needed(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    with Store.open(url) as store:
        study = write_study(store, "one", Budget(trials=8), load_space("quick").with_base_lr(0.01, 1.0))
    with LocalWorkers(url) as workers:
        workers.rehearse("digits", {}, [*ONE, *ONE])
        surplus = workers._children[1].process
        workers.start(study.name, ONE, tmp_path / "logs")
        assert workers.alive() == 1
        assert surplus.poll() is not None


def test_only_workers_beside_a_planner_leave_the_planning_to_it(tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    with Store.open(url) as store:
        study = write_study(store, "one", Budget(trials=8), load_space("quick").with_base_lr(0.01, 1.0))
    for begin, at_once in ((LocalWorkers.start, False), (LocalWorkers.serve, True)):
        with LocalWorkers(url) as workers:
            begin(workers, study.name, ONE, tmp_path / "logs")
            assert ("--plans-at-once" in workers._children[0].process.args) == at_once


def test_posts_and_what_is_expected_of_them():
    assert posts(["cpu"], None, 4) == [Post("cpu", 1)] * 4
    assert posts(["cpu"], 2, 4) == [Post("cpu", 2)] * 2
    shared = Post("cuda:0", None, 0.5)
    assert posts(["cuda:0", "cuda:1"], 3, 4) == [shared, Post("cuda:1", None), shared]
    assert expected_posts(["cpu"], 2, 4) == posts(["cpu"], 2, 4)
    assert expected_posts(["cuda:0", "cuda:1"], None, 4) == [Post("cpu", None)]


def test_workers_of_one_accelerator_share_its_memory_and_those_of_a_cpu_its_threads():
    assert posts(("cuda:0", "cuda:1"), None, 8, per_device=2) == [
        Post("cuda:0", None, 0.5), Post("cuda:1", None, 0.5), Post("cuda:0", None, 0.5), Post("cuda:1", None, 0.5)
    ]  # fmt: skip
    assert posts(("cpu",), None, 8, per_device=2) == [Post("cpu", 4), Post("cpu", 4)]
    assert posts(("cuda:0",), 3, 8) == [Post("cuda:0", None, pytest.approx(1 / 3))] * 3
    assert posts(("cuda:0",), None, 8) == [Post("cuda:0", None, 1.0)]


@pytest.mark.parametrize(
    ("asked", "count"), [("1", 1), ("2", 2), ("8", 2), ("0", 2), ("", 2), ("four", 2), (None, 2)]
)
def test_a_worker_has_no_more_threads_than_its_user_asks_for(monkeypatch, asked, count):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if asked is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert _threads(Post("cpu", 2)) == count
    assert _threads(Post("cuda:0", None)) is None
