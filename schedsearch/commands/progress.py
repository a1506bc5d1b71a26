"""Where a study stands, read from the store: what `launch` shows while it runs and `status` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from schedsearch.search.plan import Plan
from schedsearch.store import Phase, Run, RunState, Store, Study

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
    """What one worker trains now."""

    worker_id: str
    device: str
    run_id: int
    schedule: str
    updates_done: int
    total_updates: int


@dataclass(frozen=True)
class Progress:
    """A study at one moment. `seconds_left` is None until the first run has ended. resolution: the smallest difference
    that was asked for; confirm_seeds: the seeds a finalist that are planned."""

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
    runs = store.runs(study.id)
    shown = [one for one in ORDER if one is not Phase.SCREEN or study.budget.get("screen") is not None]
    phases = tuple(_phase(study, phase, [run for run in runs if run.phase is phase]) for phase in shown)
    best = _best(study, runs)
    running = [run for run in runs if run.state is RunState.RUNNING]
    named = {run.candidate_id for run in [*running, *([] if best is None else [best])]}
    names = {one.id: one.schedule.describe() for one in store.candidates(study.id, ids=named)}
    return Progress(
        study=name,
        state=study.state.value,
        phase=study.phase.value,
        phases=phases,
        metric=study.metric,
        direction=study.direction,
        best_score=None if best is None else best.score,
        best_schedule=None if best is None else names[best.candidate_id],
        workers=tuple(_activity(run, names[run.candidate_id]) for run in running),
        seconds_left=_seconds_left(runs, phases),
        resolution=study.budget.get("resolution"),
        confirm_seeds=study.plan["confirm_seeds"],
    )


def _phase(study: Study, phase: Phase, runs: Sequence[Run]) -> PhaseProgress:
    counts = {state: sum(run.state is state for run in runs) for state in RunState}
    over = ORDER.index(study.phase) > ORDER.index(phase) or study.state.value == "finished"
    known = over or phase is study.phase is Phase.CONFIRM
    return PhaseProgress(
        phase=phase.value,
        planned=len(runs) if known else max(len(runs), _most(study, phase)),
        done=sum(run.state.is_finished for run in runs),
        running=counts[RunState.RUNNING],
        diverged=counts[RunState.DIVERGED],
        failed=counts[RunState.FAILED],
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


def _best(study: Study, runs: Sequence[Run]) -> Run | None:
    sign = 1.0 if study.direction == "minimize" else -1.0
    scored = [run for run in runs if run.score is not None and run.phase is not Phase.SCREEN]
    return min(scored, key=lambda run: sign * (run.score or 0.0), default=None)


def _activity(run: Run, schedule: str) -> WorkerActivity:
    return WorkerActivity(
        worker_id=run.worker_id or "",
        device=run.device or "",
        run_id=run.id,
        schedule=schedule,
        updates_done=run.updates_done or 0,
        total_updates=run.total_updates,
    )


def _seconds_left(runs: Sequence[Run], phases: Sequence[PhaseProgress]) -> float | None:
    durations = [run.duration_s for run in runs if run.duration_s is not None]
    if not durations:
        return None
    left = sum(one.planned - one.done for one in phases)
    at_once = max(1, sum(run.state is RunState.RUNNING for run in runs))
    return left * sum(durations) / len(durations) / at_once
