"""Where a study stands, read from the store: what `launch` shows while it runs and `status` prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from schedsearch.search.plan import Plan
from schedsearch.store import Activity, Overview, Phase, RunState, Store, Study

ORDER = (Phase.NOISE, Phase.SCREEN, Phase.SEARCH, Phase.RACE, Phase.CONFIRM)


@dataclass(frozen=True)
class PhaseProgress:
    """Runs of one phase: planned (known exactly or the most it can be), ended, and how they ended."""

    phase: str
    planned: int
    done: int
    running: int
    diverged: int
    failed: int


@dataclass(frozen=True)
class WorkerActivity:
    """What one worker trains now. seconds: since it began; lease_left_s: until others may take the run over."""

    worker_id: str
    device: str
    run_id: int
    schedule: str
    attempt: int
    updates_done: int
    total_updates: int
    seconds: float
    lease_left_s: float


@dataclass(frozen=True)
class Progress:
    """A study at one moment. `seconds_left` is None until the first run has ended. resolution: the smallest difference
    that was asked for; confirm_seeds: the seeds a finalist that are planned. runs_per_hour: in the last minutes.
    failures: attempts without a result, by class; retried: runs that took several. trained_s: spent by this study;
    copied: runs that were taken from earlier studies, which spent nothing."""

    study: str
    state: str
    phase: str
    phases: tuple[PhaseProgress, ...]
    metric: str
    direction: str
    best_score: float | None
    best_schedule: str | None
    workers: tuple[WorkerActivity, ...]
    seconds_left: float | None
    resolution: float | None
    confirm_seeds: int
    runs_per_hour: float | None
    trained_s: float
    copied: int
    peak_memory_bytes: int | None
    utilization: float | None
    energy_j: float | None
    failures: Mapping[str, int]
    retried: int
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def done(self) -> int:
        return sum(one.done for one in self.phases)

    @property
    def planned(self) -> int:
        return sum(one.planned for one in self.phases)


def read_progress(store: Store, name: str) -> Progress:
    """Raises UnknownStudy when there is none of that name."""
    study = store.study(name)
    found = store.overview(study.id, study.direction)
    shown = [one for one in ORDER if one is not Phase.SCREEN or study.budget.get("screen") is not None]
    phases = tuple(_phase(study, phase, found.counts[phase]) for phase in shown)
    named = {one.candidate_id for one in found.active} | ({found.best[0]} if found.best else set())
    names = {one.id: one.schedule.describe() for one in store.candidates(study.id, ids=named)}
    return Progress(
        study=name,
        state=study.state.value,
        phase=study.phase.value,
        phases=phases,
        metric=study.metric,
        direction=study.direction,
        best_score=None if found.best is None else found.best[1],
        best_schedule=None if found.best is None else names[found.best[0]],
        workers=tuple(_activity(one, names[one.candidate_id]) for one in found.active),
        seconds_left=_seconds_left(found, phases),
        resolution=study.budget.get("resolution"),
        confirm_seeds=study.plan["confirm_seeds"],
        runs_per_hour=3600 * found.recent / found.recent_s if found.recent and found.recent_s > 0 else None,
        trained_s=found.trained_s,
        copied=found.copied,
        peak_memory_bytes=found.peak_memory_bytes,
        utilization=found.utilization,
        energy_j=found.energy_j,
        failures={failure.value: number for failure, number in found.failures.items()},
        retried=found.retried,
        reason=study.reason,
    )


def _phase(study: Study, phase: Phase, counts: Mapping[RunState, int]) -> PhaseProgress:
    over = ORDER.index(study.phase) > ORDER.index(phase) or study.state.value == "finished"
    known = over or phase is study.phase is Phase.CONFIRM
    runs = sum(counts.values())
    return PhaseProgress(
        phase=phase.value,
        planned=runs if known else max(runs, _most(study, phase)),
        done=sum(number for state, number in counts.items() if state.is_finished),
        running=counts.get(RunState.RUNNING, 0),
        diverged=counts.get(RunState.DIVERGED, 0),
        failed=counts.get(RunState.FAILED, 0),
    )


def _most(study: Study, phase: Phase) -> int:
    plan = Plan.from_dict(study.plan)
    return {
        Phase.NOISE: plan.noise_seeds,
        Phase.SCREEN: 0,
        Phase.SEARCH: plan.search_runs,
        Phase.RACE: plan.most_race_runs,
        Phase.CONFIRM: plan.most_confirm_runs,
    }[phase]


def _activity(one: Activity, schedule: str) -> WorkerActivity:
    return WorkerActivity(
        worker_id=one.worker_id,
        device=one.device,
        run_id=one.run_id,
        schedule=schedule,
        attempt=one.attempt,
        updates_done=one.updates_done,
        total_updates=one.total_updates,
        seconds=round(one.seconds, 1),
        lease_left_s=round(one.lease_left_s, 1),
    )


def _seconds_left(found: Overview, phases: Sequence[PhaseProgress]) -> float | None:
    if found.run_s is None:
        return None
    left = sum(one.planned - one.done for one in phases)
    return left * found.run_s / max(1, len(found.active))
