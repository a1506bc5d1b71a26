"""What a planning step sees: the study as it stands now, and the tools to change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil

from schedsearch.evidence import Scores
from schedsearch.search.plan import Plan
from schedsearch.space import SearchSpace
from schedsearch.store import Candidate, NewRun, Phase, Run, RunState, Store, Study
from schedsearch.workers.surrogate import Surrogate

FEWEST_RANKED = 8
STRAGGLERS = 0.05
BOUNDLESS = 1_000_000_000
LAST_RUNS = 8
FIRST_SEED = {Phase.SEARCH: 0, Phase.SCREEN: 0, Phase.NOISE: 1, Phase.RACE: 100, Phase.CONFIRM: 1000}


def seeds_of(study_seed: int, phase: Phase, count: int, *, start: int = 0) -> list[int]:
    """`count` seeds of this phase. Phases never share one, so nothing is confirmed on a seed it was found on."""
    first = study_seed + FIRST_SEED[phase] + start
    return list(range(first, first + count))


def reuses(study: Study) -> bool:
    """Whether what was trained once, in whatever study, is taken over; not where `fresh` was asked for."""
    return not study.budget.get("fresh")


@dataclass(frozen=True)
class Desk:
    """A snapshot of one study for the holder of its planner lease (`token`). _queued: the runs that this step added."""

    store: Store
    study: Study
    token: int
    space: SearchSpace
    surrogate: Surrogate
    candidates: Mapping[int, Candidate]
    runs: Sequence[Run]
    _queued: list[int] = field(default_factory=list)

    @cached_property
    def plan(self) -> Plan:
        return Plan.from_dict(self.study.plan)

    @property
    def sign(self) -> float:
        """1 where low scores are good, -1 where high ones are."""
        return 1.0 if self.study.direction == "minimize" else -1.0

    def of(self, phase: Phase) -> list[Run]:
        """The runs of this phase."""
        return [run for run in self.runs if run.phase is phase]

    def of_kind(self, phase: Phase, *kinds: str) -> list[Run]:
        """The runs of this phase whose candidates are of one of these kinds."""
        return [run for run in self.of(phase) if self.candidates[run.candidate_id].kind in kinds]

    @property
    def full_runs(self) -> int:
        """How many runs of the full horizon the runs so far amount to."""
        return ceil(sum(run.total_updates for run in self.runs) / self.study.total_updates)

    @property
    def untold_runs(self) -> list[Run]:
        """The runs that Optuna's trials do not tell of: of fixed schedules, and at a shorter horizon."""
        return [
            run for run in self.runs if self.candidates[run.candidate_id].kind != "search" or run.phase is Phase.SCREEN
        ]

    def note_agreement(self, rank_agreement: float | None) -> None:
        """Store how well the curve model ranks runs it has not seen, after those so far; nothing while they are few."""
        ended = sum(run.state.is_finished for run in self.runs)
        if rank_agreement is not None and ended >= FEWEST_RANKED:
            self.store.add_model_check(self.study.id, ended, rank_agreement)

    def done(self, phase: Phase) -> bool:
        """Whether every run of this phase has ended."""
        return all(run.state.is_finished for run in self.of(phase))

    def nearly_done(self, phase: Phase) -> bool:
        """Whether so few runs of this phase are still being trained that waiting for them would cost more than they
        teach: none waits for a worker, and at most STRAGGLERS of all have not ended."""
        runs = self.of(phase)
        waiting = any(run.state is RunState.WAITING for run in runs)
        return not waiting and sum(not run.state.is_finished for run in runs) <= STRAGGLERS * len(runs)

    def scores(self, phase: Phase) -> Scores:
        """Score by candidate and seed of the runs that ended in this phase; None where a run diverged."""
        scores: dict[int, dict[int, float | None]] = {}
        for run in self.of(phase):
            if run.state in (RunState.COMPLETED, RunState.DIVERGED):
                scores.setdefault(run.candidate_id, {})[run.seed] = run.score
        return scores

    def add_runs(
        self,
        candidate_ids: Sequence[int],
        phase: Phase,
        seeds: Sequence[int],
        round_: int = 0,
        total_updates: int | None = None,
    ) -> int:
        """Queue one run for each candidate and seed, as many of them as a budget in hours pays for; returns how many
        were new. Seeds vary slowest, so that pairs are trained close in time. total_updates: a shorter horizon.

        What was trained once is finished at once; within this step it still counts as one that is to be paid for."""
        new = [
            NewRun(
                candidate_id=candidate,
                phase=phase,
                round=round_,
                seed=seed,
                total_updates=total_updates or self.study.total_updates,
            )
            for seed in seeds
            for candidate in candidate_ids
        ]
        added = self.store.add_runs(self.study.id, new[: self.affordable()], reuse=reuses(self.study))
        self._queued.append(added)
        return added

    def advance(self, phase: Phase, plan: Plan | None = None) -> bool:
        """Move the study to `phase`; always True, because something changed."""
        self.store.advance(self.study.id, self.token, phase, (plan or self.plan).to_dict())
        return True

    def affordable(self) -> int:
        """How many more runs a budget in hours pays for, with every run counted at the mean duration of full ones so
        far, or at the longest of the last few where that is longer; also of those that were copied, which cost nothing
        now but show what a run takes."""
        hours = self.study.budget.get("hours")
        if hours is None:
            return BOUNDLESS
        full = [run.duration_s for run in self.runs if run.duration_s is not None and run.phase is not Phase.SCREEN]
        if not full:
            return BOUNDLESS
        each = max(sum(full) / len(full), *full[-LAST_RUNS:])
        outstanding = sum(not run.state.is_finished for run in self.runs) + sum(self._queued)
        return max(0, int((hours * 3600 - sum(run.spent_s for run in self.runs)) / each) - outstanding)
