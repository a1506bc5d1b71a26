"""Side by side with Optuna used plainly and with Ray Tune: the same trainings, and the way to an equally good schedule.

    python benchmarks/peers.py [--tasks digits mnist1d mnist5k charlm] [--candidates 64] [--updates N] [--minutes 10]
    python benchmarks/peers.py verified [--tasks digits] [--trials 24] [--studies 3]

`throughput` (the default): everybody trains the same candidates on the same seed at the same horizon, from the shell's
prompt to the last number in MLflow; what each does is in benchmarks/peer_systems.py. The candidates are drawn from the
space `framework` with a fixed seed, their base LRs from the lower half of the task's range, so that nothing diverges
and nobody is done sooner for stopping sooner. One turn has all three, in an order that moves on; turns are added while
the task has minutes left, at most `--turns`. A ratio is of one turn. The scores must agree, and how far they do is
printed.

`verified`: a whole `schedsearch launch`, which ends with a schedule that fresh seeds have confirmed. Then Optuna (TPE,
its default MedianPruner) and Ray Tune (OptunaSearch, ASHA) search the same space for `--patience` times as long, one
training a candidate. Whatever each would have named at any time is trained again on the seeds that ours is judged by,
on which nobody has searched; a peer's time includes the confirmation of its winner and of one baseline. It is as good
once its mean is no worse than ours, and cannot be told apart once the 95 % interval of the difference, paired by seed,
reaches 0. That a peer stops at that moment is its advantage: its user would not know.

Needs `pip install 'ray[tune]'` (the extra `bench`). On an accelerator (`--device cuda:0`) Optuna has one process a
device, Ray Tune `--ray-share` of the device a trial. Writes benchmarks/results/peers.md or peers_verified.md.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import sqrt
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import numpy as np
import psutil
from machine import about_code, about_machine
from peer_systems import NAME, Answer, Order
from scipy.stats import t as student

SYSTEMS = ("schedsearch", "optuna", "ray")
NAMES = {"schedsearch": "schedsearch", "optuna": "Optuna, plain", "ray": "Ray Tune"}
FOLDER = Path(__file__).parent
RESULTS = {
    "throughput": FOLDER / "results" / "peers.md",
    "verified": FOLDER / "results" / "peers_verified.md",
}
TASKS = {"throughput": ("digits", "mnist1d", "mnist5k", "charlm"), "verified": ("digits",)}
AGREE = 0.2  # relative; what one rounding may grow to where training is chaotic: benchmarks/rounding.py
ORPHANS_S = 15.0
SET_CHILD_SUBREAPER = 36
JUDGE_SEED = 1_000_000


# ---- one system, from its start to its end


@dataclass(frozen=True)
class Done:
    """began: seconds since 1970; wall_s: until its process ended; cpu_s: of all its processes."""

    answer: Answer
    began: float
    wall_s: float
    cpu_s: float


def run(system: str, order: Order, folder: Path) -> Done:
    """Let the system carry out the order in a folder of its own."""
    folder.mkdir(parents=True)
    if order.mlflow is not None:
        order = replace(order, mlflow=mlflow_copy(Path(order.mlflow), folder))
    before, began, started = children_cpu_s(), time.time(), time.monotonic()
    if order.until:
        order = replace(order, until=began + order.until)
    (folder / "order.json").write_text(json.dumps(asdict(order)))
    command = [sys.executable, FOLDER / "peer_systems.py", system, folder]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "output.txt").open("wb") as output, Meter() as meter:
        done = subprocess.run(command, stdout=output, stderr=output, env=environment, check=False)
        wall_s = time.monotonic() - started
        end_orphans()
    if done.returncode:
        raise SystemExit(f"{system} failed:\n{(folder / 'output.txt').read_text(errors='replace')[-3000:]}")
    answer = Answer(**json.loads((folder / "answer.json").read_text()))
    return Done(answer, began, wall_s, max(children_cpu_s() - before, meter.cpu_s))


class Meter:
    """Processor seconds of all processes below this one, looked at four times a second: the kernel's own count of ended
    children lacks those whose parent did not care for their end, as Ray's does not."""

    def __init__(self) -> None:
        self._seen: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def cpu_s(self) -> float:
        return sum(self._seen.values())

    def _look(self) -> None:
        while not self._ended.wait(0.25):
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    times = child.cpu_times()
                    self._seen[child.pid] = times.user + times.system


def adopt_orphans() -> None:
    """From here on, processes whose parent has ended become children of this one, and their processor time is counted
    (on Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_orphans() -> None:
    """Wait for what a system has left behind, and end what does not end."""
    deadline = time.monotonic() + ORPHANS_S
    while psutil.Process().children():
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if time.monotonic() > deadline:
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        time.sleep(0.05)


def children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def mlflow_template(folder: Path) -> Path:
    """An empty MLflow database with its tables, so that making them is nobody's time."""
    from mlflow import MlflowClient

    path = folder / "mlflow.db"
    client = MlflowClient(f"sqlite:///{path}")
    client.create_experiment(NAME, artifact_location=(folder / "artifacts").as_uri())
    return path


def mlflow_copy(template: Path, folder: Path) -> str:
    shutil.copyfile(template, folder / "mlflow.db")
    return f"sqlite:///{folder / 'mlflow.db'}"


# ---- throughput


@dataclass(frozen=True)
class Turn:
    """Every system once."""

    done: dict[str, Done]

    def ratio(self, system: str) -> float:
        """How many times as long plain Optuna took."""
        return self.done["optuna"].wall_s / self.done[system].wall_s

    def cpu_ratio(self, system: str) -> float:
        return self.done["optuna"].cpu_s / self.done[system].cpu_s

    def differences(self, system: str) -> list[float]:
        """Of every final score from plain Optuna's, relative."""
        pairs = zip(self.done[system].answer.scores, self.done["optuna"].answer.scores, strict=True)
        return [abs(one - other) / abs(other) for one, other in pairs if one is not None and other is not None]

    def missing(self, system: str) -> int:
        """Runs without a score."""
        return sum(one is None for one in self.done[system].answer.scores)


def listed(name: str, candidates: int, updates: int | None) -> tuple[list[dict[str, Any]], int, str]:
    """The same schedules for everybody, the horizon, and the task's fingerprint."""
    from schedsearch.space import load_space
    from schedsearch.task import load_task

    horizon = updates or load_task(name).total_updates
    task = load_task(name, {"total_updates": horizon})
    low, high = task.lr_range()
    space = load_space("framework").with_base_lr(low, sqrt(low * high))
    rng = np.random.default_rng(0)
    return [space.schedule(space.draw(rng)).to_dict() for _ in range(candidates)], horizon, task.fingerprint()


def throughput(name: str, given: argparse.Namespace, folder: Path) -> str:
    """The section of one task."""
    schedules, horizon, fingerprint = listed(name, given.candidates, given.updates)
    mlflow = None if given.mlflow == "none" else str(mlflow_template(made(folder / name)))
    order = Order(
        task=name, updates=horizon, processes=given.processes, device=given.device, schedules=schedules,
        seeds=[0] * len(schedules), mlflow=mlflow, fingerprint=fingerprint, ray_share=given.ray_share,
    )  # fmt: skip
    turns: list[Turn] = []
    started = time.monotonic()
    for turn in range(given.turns):
        ordered = SYSTEMS[turn % len(SYSTEMS) :] + SYSTEMS[: turn % len(SYSTEMS)]
        done = {system: run(system, order, folder / name / f"{turn}-{system}") for system in ordered}
        turns.append(Turn(done))
        print(name, {system: round(one.wall_s, 1) for system, one in done.items()}, flush=True)
        if (time.monotonic() - started) * (len(turns) + 1) / len(turns) > 60 * given.minutes:
            break
    refuse_others(name, turns)
    return throughput_section(name, horizon, turns)


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def refuse_others(name: str, turns: Sequence[Turn]) -> None:
    """Raises SystemExit where a system trained something else."""
    for system in SYSTEMS:
        worst = max((one for turn in turns for one in turn.differences(system)), default=np.inf)
        if worst > AGREE:
            raise SystemExit(f"{name}: the scores of {system} are up to {worst:.2g} from those of plain Optuna.")


def spread(values: Iterable[float], unit: str = "") -> str:
    """Median and range."""
    known = sorted(values)
    if len(known) == 1:
        return f"{known[0]:.2f}{unit}"
    return f"{median(known):.2f}{unit} ({known[0]:.2f} .. {known[-1]:.2f})"


def throughput_section(name: str, horizon: int, turns: Sequence[Turn]) -> str:
    count = len(turns[0].done["optuna"].answer.scores)
    head = (
        f"\n## {name}: {count} candidates, {horizon} updates each, {len(turns)} turn{'s' if len(turns) > 1 else ''}\n\n"
        "| | wall, s | processor, s | candidates an hour | x as quick as plain Optuna "
        "| x as little processor time | without a score | largest difference of a score |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|\n"
    )
    return head + "".join(throughput_row(system, count, turns) for system in SYSTEMS)


def throughput_row(system: str, count: int, turns: Sequence[Turn]) -> str:
    walls, cpus = ([getattr(turn.done[system], key) for turn in turns] for key in ("wall_s", "cpu_s"))
    worst = max(one for turn in turns for one in turn.differences(system))
    return (
        f"| {NAMES[system]} | {median(walls):.1f} | {median(cpus):.1f} | {3600 * count / median(walls):,.0f} "
        f"| {spread(turn.ratio(system) for turn in turns)} | {spread(turn.cpu_ratio(system) for turn in turns)} "
        f"| {max(turn.missing(system) for turn in turns)} | {'-' if system == 'optuna' else f'{worst:.1e}'} |\n"
    )


def throughput_report(sections: Sequence[str], given: argparse.Namespace) -> str:
    mlflow = "none" if given.mlflow == "none" else "an SQLite file each"
    return (
        "# The same trainings, side by side\n\n"
        f"{made_by('throughput', given)} {given.processes} processes of one thread, or one on a GPU; MLflow: {mlflow}. "
        "Wall time is from the shell's prompt to the last number in MLflow, with all that starting takes; "
        "processor time is that of every process; of a GPU, device time is the wall time. Ratios are of one turn, "
        "their median and range over the turns; above 1 is better. Scores are compared with plain Optuna's, relative.\n"
        + "".join(sections)
    )


def made_by(part: str, given: argparse.Namespace) -> str:
    return (
        f"Made by `python benchmarks/peers.py {part}`, {datetime.now(UTC):%Y-%m-%d}, {about_code()}, {about_machine()} "
        f"Device: {device_name(given.device)}."
    )


def device_name(device: str) -> str:
    if device == "cpu":
        return "cpu"
    import torch

    return f"{device}, a real {torch.cuda.get_device_name(device)}"


# ---- the way to an equally good schedule


@dataclass(frozen=True)
class Named:
    """What a search would name from `at_s` seconds after its start."""

    at_s: float
    schedule: dict[str, Any]


@dataclass(frozen=True)
class Searched:
    """One system's search. wall_s: all of it; named: its best so far, as it changed; trained: to the end; stopped:
    before it."""

    system: str
    wall_s: float
    named: list[Named]
    trained: int
    stopped: int


def launched(name: str, seed: int, given: argparse.Namespace, folder: Path) -> tuple[Searched, dict[str, Any], Any]:
    """Our own study; the baseline that came out best, and the space that was searched."""
    from schedsearch.space import SearchSpace
    from schedsearch.store import Phase, Store

    folder.mkdir(parents=True)
    updates = [] if given.updates is None else ["--total-updates", str(given.updates)]
    command = [
        *(sys.executable, "-m", "schedsearch", "launch", "--task", name, "--space", given.space, "--study", NAME),
        *("--trials", str(given.trials), "--seed", str(seed), "--workers", str(given.processes), "--mlflow", "none"),
        *(() if given.device == "cpu" else ("--devices", given.device)),
    ]
    started = time.monotonic()
    with (folder / "output.txt").open("wb") as output:
        subprocess.run([*command, *updates], cwd=folder, check=True, stdout=output, stderr=output)
    wall_s = time.monotonic() - started
    with Store.open(f"sqlite:///{folder / 'schedsearch.db'}") as store:
        study = store.study(NAME)
        verdict, candidates = store.verdict(study.id), {one.id: one for one in store.candidates(study.id)}
        runs = store.runs(study.id)
    assert verdict is not None
    baselines = [one for one in verdict.standings if candidates[one.candidate_id].label and one.mean is not None]
    best = min(baselines, key=lambda one: one.mean)
    winner = candidates[verdict.recommended_id].schedule.to_dict()
    searched = Searched("schedsearch", wall_s, [Named(wall_s, winner)], len(runs), 0)
    assert any(one.phase is Phase.CONFIRM for one in runs)
    return searched, candidates[best.candidate_id].schedule.to_dict(), SearchSpace.from_dict(study.space)


def searched(system: str, order: Order, folder: Path) -> Searched:
    """A peer's search, and what it would have named as time went on."""
    done = run(system, order, folder)
    named: list[Named] = []
    best = np.inf
    for when, value, schedule in sorted(done.answer.found, key=lambda one: one[0]):
        if value < best:
            best = value
            named.append(Named(when - done.began, dict(schedule)))
    return Searched(system, done.wall_s, named, len(done.answer.found), done.answer.stopped)


@dataclass(frozen=True)
class Judged:
    """Scores on the judging seeds: of every schedule by its text. one_s: wall seconds to train one schedule on all."""

    scores: dict[str, list[float]]
    one_s: float

    def of(self, schedule: dict[str, Any]) -> list[float]:
        return self.scores[text(schedule)]

    def difference(self, schedule: dict[str, Any], against: dict[str, Any]) -> tuple[float, float]:
        """The mean difference, paired by seed, and half its 95 % interval."""
        pairs = [one - other for one, other in zip(self.of(schedule), self.of(against), strict=True)]
        return mean(pairs), half_width(pairs)


def text(schedule: dict[str, Any]) -> str:
    return json.dumps(schedule, sort_keys=True)


def half_width(values: Sequence[float]) -> float:
    """Half the 95 % interval of a mean, by Student's t; 0 where all are equal."""
    return float(student.ppf(0.975, len(values) - 1)) * stdev(values) / sqrt(len(values))


def judge(schedules: Sequence[dict[str, Any]], order: Order, seeds: int, folder: Path) -> Judged:
    """Train every schedule on the same fresh seeds; one that diverges has an infinite score."""
    several = list({text(one): one for one in schedules}.values())
    pairs = [(one, JUDGE_SEED + seed) for one in several for seed in range(seeds)]
    schedules, fresh = [one for one, _ in pairs], [seed for _, seed in pairs]
    asked = replace(order, schedules=schedules, seeds=fresh, space=None, until=0.0)
    done = run("confirm", asked, folder)
    scores = [np.inf if one is None else one for one in done.answer.scores]
    parts = {text(one): scores[seeds * row : seeds * (row + 1)] for row, one in enumerate(several)}
    return Judged(parts, done.wall_s / len(several))


def verified(name: str, seed: int, given: argparse.Namespace, folder: Path) -> Race:
    """One study of ours, and both peers after it."""
    ours, baseline, space = launched(name, seed, given, folder / "schedsearch")
    _, horizon, fingerprint = listed(name, 1, given.updates)
    order = Order(
        task=name, updates=horizon, processes=given.processes, device=given.device, seeds=[seed],
        fingerprint=fingerprint, space=space.to_dict(), until=given.patience * ours.wall_s, search_seed=seed,
        ray_share=given.ray_share,
    )  # fmt: skip
    peers = [searched(system, order, folder / system) for system in ("optuna", "ray")]
    every = [one.schedule for one in [*ours.named, *(named for peer in peers for named in peer.named)]]
    judged = judge([*every, baseline], order, given.seeds, folder / "judge")
    race = Race(name, seed, given.patience * ours.wall_s, ours, baseline, peers, judged)
    print("".join(race.rows()), flush=True)
    return race


@dataclass(frozen=True)
class Race:
    """One study of ours, both peers, and the judgement. patience_s: how long the peers searched."""

    task: str
    seed: int
    patience_s: float
    ours: Searched
    baseline: dict[str, Any]
    peers: list[Searched]
    judged: Judged

    @property
    def winner(self) -> dict[str, Any]:
        return self.ours.named[-1].schedule

    def as_good_at(self, peer: Searched, *, told_apart: bool) -> float | None:
        """Seconds until the peer has confirmed a schedule as good as ours, with its baseline; None: not in time.
        told_apart: or one that these seeds cannot tell from ours."""
        for named in peer.named:
            difference, half = self.judged.difference(named.schedule, self.winner)
            if difference <= (half if told_apart else 0.0):
                return named.at_s + 2 * self.judged.one_s
        return None

    def ratio(self, peer: Searched, *, told_apart: bool) -> float | None:
        at_s = self.as_good_at(peer, told_apart=told_apart)
        return None if at_s is None else at_s / self.ours.wall_s

    def rows(self) -> Iterable[str]:
        yield self._row("schedsearch", self.ours.wall_s, self.winner, f"{self.ours.trained} runs", "-", "-")
        for peer in self.peers:
            what = f"{peer.trained} whole, {peer.stopped} stopped"
            times = [self._time(peer, told_apart=told_apart) for told_apart in (True, False)]
            wall_s = peer.wall_s + 2 * self.judged.one_s
            if peer.named:
                yield self._row(NAMES[peer.system], wall_s, peer.named[-1].schedule, what, *times)
            else:
                empty = f"| {self.seed} | {NAMES[peer.system]} | {wall_s:.0f} | {what} | - | - "
                yield f"{empty}| {times[0]} | {times[1]} |\n"
        yield self._row("best baseline of ours", self.ours.wall_s, self.baseline, "-", "-", "-")

    def _time(self, peer: Searched, *, told_apart: bool) -> str:
        at_s = self.as_good_at(peer, told_apart=told_apart)
        if at_s is None:
            return f"not within {self.patience_s + 2 * self.judged.one_s:.0f} s"
        return f"{at_s:.0f} s, {at_s / self.ours.wall_s:.2f} x ours"

    def _row(self, who: str, wall_s: float, schedule: dict[str, Any], what: str, *times: str) -> str:
        scores = self.judged.of(schedule)
        difference, half = self.judged.difference(schedule, self.winner)
        behind = "-" if schedule == self.winner else f"{difference:+.4f} +- {half:.4f}"
        reached = f"{mean(scores):.4f} +- {half_width(scores):.4f}"
        return f"| {self.seed} | {who} | {wall_s:.0f} | {what} | {reached} | {behind} | {times[0]} | {times[1]} |\n"


def verified_section(races: Sequence[Race], given: argparse.Namespace) -> str:
    head = (
        f"\n## {races[0].task}: {given.trials} candidates, space `{given.space}`, {given.seeds} fresh seeds judge\n\n"
        "| study seed | | wall, s | trained | loss of what it names at the end | difference to ours "
        "| not told apart from ours after | as good as ours after |\n|--:|---|--:|---|---|---|---|---|\n"
    )
    return head + "".join(row for race in races for row in race.rows()) + "".join(summary(races))


def summary(races: Sequence[Race]) -> Iterable[str]:
    """Ratios over the studies: how long a peer took, of what ours took."""
    yield "\nTime to a verified schedule, of ours (median and range over the studies in which it came in time):\n\n"
    for number, peer in enumerate(races[0].peers):
        parts = []
        for told_apart, words in ((True, "one that cannot be told apart"), (False, "one as good")):
            ratios = [race.ratio(race.peers[number], told_apart=told_apart) for race in races]
            there = [one for one in ratios if one is not None]
            parts.append(f"{words} {spread(there, ' x') if there else '-'}, in {len(there)} of {len(races)}")
        yield f"- {NAMES[peer.system]}: {'; '.join(parts)}\n"


def verified_report(sections: Sequence[str], given: argparse.Namespace) -> str:
    return (
        "# The way to an equally good schedule that is verified\n\n"
        f"{made_by('verified', given)} {given.processes} processes of one thread, or one on a GPU; nobody writes to "
        f"MLflow. The peers search {given.patience:g} times as long as our whole study took, with one training a "
        "candidate; their times include the confirmation of one schedule and one baseline on the judging seeds. Losses "
        "are means over these seeds with 95 % intervals.\n" + "".join(sections)
    )


# ---- the command


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=list(RESULTS), default="throughput")
    parser.add_argument("--tasks", nargs="+", help="default: all four; digits for `verified`")
    parser.add_argument("--candidates", type=int, default=64)
    parser.add_argument("--updates", type=int, help="another horizon than the task's own")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10.0, help="a task; one turn at least")
    parser.add_argument("--mlflow", choices=["sqlite", "none"], default="sqlite")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, help="default: one a core, or one on a GPU")
    parser.add_argument("--ray-share", type=float, default=0.25, help="of an accelerator, a trial of Ray Tune takes")
    parser.add_argument("--trials", type=int, default=24, help="verified: candidates of our study")
    parser.add_argument("--space", default="quick", help="verified")
    parser.add_argument("--studies", type=int, default=3, help="verified: study seeds 0, 1, ...")
    parser.add_argument("--patience", type=float, default=1.5, help="verified: the peers' time, of ours")
    parser.add_argument("--seeds", type=int, default=8, help="verified: fresh seeds that judge")
    parser.add_argument("--keep", type=Path, help="leave everything in this folder")
    given = parser.parse_args()
    given.tasks = given.tasks or list(TASKS[given.part])
    given.processes = given.processes or ((os.cpu_count() or 1) if given.device == "cpu" else 1)
    return given


def main() -> None:
    given = parsed()
    adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        folder = (given.keep or Path(name)).absolute()
        sections: list[str] = []
        for task in given.tasks:
            if given.part == "throughput":
                sections.append(throughput(task, given, folder / "throughput"))
            else:
                races = [verified(task, seed, given, folder / f"{task}-{seed}") for seed in range(given.studies)]
                sections.append(verified_section(races, given))
            report = throughput_report if given.part == "throughput" else verified_report
            RESULTS[given.part].write_text(report(sections, given))
    print(RESULTS[given.part].read_text())


if __name__ == "__main__":
    main()
