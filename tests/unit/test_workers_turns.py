"""Turns on a device, held by real processes: many together, or one alone, in order, and free when a holder dies."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schedsearch.workers.turns import turn

HOLDER = """
import sys, time
from pathlib import Path
from schedsearch.workers.turns import turn
device, alone, release, log = sys.argv[1:]
with turn(device, alone=alone == "alone", should_stop=lambda: False) as ours:
    assert ours
    with open(log, "a") as file:
        file.write(f"in {alone}\\n")
    while not Path(release).exists():
        time.sleep(0.01)
    with open(log, "a") as file:
        file.write(f"out {alone}\\n")
"""


class Holders:
    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.log.touch()
        self._folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, how: str, device: str = "cpu") -> int:
        number = len(self.processes)
        given = [device, how, str(self._folder / f"release-{number}"), str(self.log)]
        self.processes.append(subprocess.Popen([sys.executable, "-c", HOLDER, *given]))
        return number

    def release(self, number: int) -> None:
        (self._folder / f"release-{number}").touch()

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 20
        while len(self.lines()) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.lines()) == count


@pytest.fixture
def holders(tmp_path, monkeypatch):
    monkeypatch.setenv("SCHEDSEARCH_LOCKS", str(tmp_path))
    made = Holders(tmp_path)
    yield made
    for one in made.processes:
        one.kill()
        one.wait()


def test_one_alone_waits_for_those_inside_and_nobody_slips_in(holders):
    first, second = holders.start("shared"), holders.start("shared")
    holders.wait_for(2)
    alone = holders.start("alone")
    time.sleep(1.0)
    late = holders.start("shared")
    time.sleep(1.0)
    assert holders.lines() == ["in shared", "in shared"]
    holders.release(first)
    time.sleep(0.3)
    assert len(holders.lines()) == 3
    holders.release(second)
    holders.wait_for(5)
    assert holders.lines()[4] == "in alone"
    holders.release(alone)
    holders.wait_for(7)
    assert holders.lines()[5:] == ["out alone", "in shared"]
    holders.release(late)
    assert [one.wait(20) for one in holders.processes] == [0, 0, 0, 0]


def test_a_holder_that_is_killed_leaves_the_device_free(holders):
    holders.start("alone")
    holders.wait_for(1)
    holders.processes[0].send_signal(signal.SIGKILL)
    with turn("cpu", alone=True, should_stop=lambda: False) as ours:
        assert ours


def test_devices_do_not_meet(holders):
    holders.start("alone", "cuda:0")
    holders.wait_for(1)
    for device in ("cuda:1", "cpu"):
        with turn(device, alone=True, should_stop=lambda: False) as ours:
            assert ours


def test_whoever_waits_can_be_stopped(holders):
    holders.start("alone")
    holders.wait_for(1)
    for alone in (True, False):
        with turn("cpu", alone=alone, should_stop=lambda: True) as ours:
            assert not ours
