"""What the study's history says about schedules that were not trained: asks, predictions, champions, free shapes.

Optuna and the curve model are imported at the first question, so a worker that only trains never pays for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from schedsearch.errors import InvalidSchedule
from schedsearch.schedule import Schedule
from schedsearch.space import Answer, Arm, SearchSpace, arm_of
from schedsearch.store import Candidate, Phase, Run, RunState, Store, Study
from schedsearch.workers.rows import FREEFORM

if TYPE_CHECKING:
    from schedsearch.search.champions import Champion, Tried
    from schedsearch.search.gp import Fitter
    from schedsearch.search.history import Asked, History
    from schedsearch.search.importance import Importances
    from schedsearch.search.model import CurveModel, Observation

CHAMPIONS, SHAPES = 7, 9
SHORT_RUN_S = 10.0
ENDED = (RunState.COMPLETED, RunState.DIVERGED)
MOST_POINTS = 200
MOST_INHERITED = 4
LATE = 0.05  # the picture shows the arms' champions as the race knew them, unless more of the runs ended later
Kept = TypeVar("Kept")


class Surrogate:
    """The Optuna history of one study, and the curve model over its runs and those of the study it starts from."""

    def __init__(self, store: Store, study: Study, space: SearchSpace) -> None:
        self._store = store
        self._study = study
        self._space = space
        self._last: dict[str, tuple[set[int], Any]] = {}

    @cached_property
    def history(self) -> History:
        """The study's trials in Optuna's storage."""
        from schedsearch.search.history import History

        return History(
            self._store.url,
            self._study.optuna_study,
            self._space,
            strategy=self._study.strategy,
            direction=self._study.direction,
            total_updates=self._study.total_updates,
            updates_per_epoch=self._study.updates_per_epoch,
            seed=self._study.seed,
        )

    def ask(self, count: int, candidates: Mapping[int, Candidate], outside: Sequence[Run]) -> list[Asked]:
        """`count` candidates; `outside`: runs that are no Optuna trials (noise, baselines) and teach the model too."""
        observations = [*self._observations(candidates, outside), *self._earlier]
        first = self._inherited[:count] if all(one.trial_number is None for one in candidates.values()) else []
        begun = [self.history.begin(params) for params in first]
        return begun + self.history.ask(count - len(begun), observations, self._fitter(outside))

    @property
    def rank_agreement(self) -> float | None:
        """How well the model of the last ask ranks runs that it has not seen; None where none was asked."""
        return self.history.rank_agreement

    def plain_share(self, model: CurveModel) -> float | None:
        """The share of plain draws among asks of this model; None where Optuna's own sampler searched."""
        from schedsearch.search.proposals import plain_share

        return plain_share(model.rank_agreement()) if self._study.strategy == "curve" else None

    def model(self, candidates: Mapping[int, Candidate], runs: Sequence[Run]) -> CurveModel:
        """The model of every run that ended."""
        from schedsearch.search.model import CurveModel

        def fit() -> CurveModel:
            observations = [*self._observations(candidates, runs), *self._earlier]
            return CurveModel.fit(observations, direction=self._study.direction, fitter=self._fitter(runs))

        return self._kept("model", runs, fit)

    def _kept(self, name: str, runs: Sequence[Run], work_out: Callable[[], Kept], late: float = 0.0) -> Kept:
        """What was worked out under this name at the last call, if the same runs had ended then; late: the share of
        them that may have ended since."""
        ended = {run.id for run in runs if run.state in ENDED}
        known = self._last[name][0] if name in self._last else set()
        if not (known and known <= ended and len(ended) - len(known) <= late * len(ended)):
            self._last[name] = ended, work_out()
        found: Kept = self._last[name][1]
        return found

    def _fitter(self, runs: Sequence[Run]) -> Fitter:
        """BoTorch where importing it costs less than a run, by the runs of the noise phase; else scipy."""
        timed = [run.duration_s for run in runs if run.phase is Phase.NOISE and run.duration_s is not None]
        return "botorch" if timed and min(timed) > SHORT_RUN_S else "scipy"

    def tune(
        self,
        baseline: Schedule,
        tried: Sequence[float],
        candidates: Mapping[int, Candidate],
        runs: Sequence[Run],
    ) -> Schedule:
        """This baseline at the base LR where the model expects it at its best (at first: as bold as the others)."""
        from schedsearch.search.champions import best_base_lr

        model = self.model(candidates, runs) if tried else None
        lr = best_base_lr(
            model,
            baseline,
            self._base_lr_range,
            self._study.total_updates,
            self._study.updates_per_epoch,
            tried,
        )
        return baseline.with_base_lr(lr)

    def champions(self, candidates: Mapping[int, Candidate], runs: Sequence[Run]) -> dict[Answer, Champion]:
        """The best candidate for each answer to each question, by the posterior of the model of these runs."""
        from schedsearch.search.champions import best_of_answers

        return best_of_answers(self._space, self._arm_champions(candidates, runs))

    def _arm_champions(
        self, candidates: Mapping[int, Candidate], runs: Sequence[Run], late: float = 0.0
    ) -> dict[Arm, Champion]:
        from schedsearch.search.champions import arm_champions

        def find() -> dict[Arm, Champion]:
            return arm_champions(
                self.model(candidates, runs),
                self._space,
                self._tried(candidates, runs),
                self._study.total_updates,
                self._study.updates_per_epoch,
                np.random.default_rng([self._study.seed, CHAMPIONS]),
            )

        return self._kept("champions", runs, find, late)

    def importances(self, candidates: Mapping[int, Candidate], runs: Sequence[Run]) -> Importances:
        """What mattered among these runs; those of free shapes answer no question and are left out."""
        from schedsearch.search.importance import importances

        named = [run for run in runs if run.state in ENDED and candidates[run.candidate_id].kind != FREEFORM]
        tried = [(candidates[run.candidate_id].schedule, run.score) for run in named]
        return self._kept("importances", named, lambda: importances(tried, self._study.direction))

    def free_shapes(self, count: int, candidates: Mapping[int, Candidate], runs: Sequence[Run]) -> list[Schedule]:
        """Curves of no family that the model expects most of, none of them trained before."""
        from schedsearch.search.freeform import best_free_shapes

        model = self.model(candidates, runs)
        known = {one.schedule.key() for one in candidates.values() if one.kind == FREEFORM}
        best = self._best_named(model, candidates, runs)
        found = best_free_shapes(
            model,
            self._study.total_updates,
            self._base_lr_range,
            rng=np.random.default_rng([self._study.seed, SHAPES, len(known)]),
            updates_per_epoch=self._study.updates_per_epoch,
            warmup=best.warmup,
            step_every=best.step_every,
            count=count + len(known),
        )
        return [one.schedule for one in found if one.schedule.key() not in known][:count]

    def _best_named(self, model: CurveModel, candidates: Mapping[int, Candidate], runs: Sequence[Run]) -> Schedule:
        """The candidate with a score that the model expects most of."""
        scored = {run.candidate_id for run in runs if run.score is not None and run.phase is not Phase.SCREEN}
        schedules = [one.schedule for one in candidates.values() if one.id in scored]
        means = [mean for mean, _, _ in self.predict(model, schedules)]
        pick = min if self._study.direction == "minimize" else max
        return schedules[means.index(pick(means))]

    def predict(self, model: CurveModel, schedules: Sequence[Schedule]) -> list[tuple[float, float, float]]:
        """The model's (mean, low, high) for each schedule: its true score, with the middle 95 %."""
        expected = model.predict([self._curve(one) for one in schedules])
        return _triples(expected.mean, expected.low, expected.high)

    def picture(self, candidates: Mapping[int, Candidate], runs: Sequence[Run]) -> dict[str, Any]:
        """The model of these runs for a report, as plain values.

        points: [measured, predicted, low, high] of runs of this study, each predicted from all others (95 % of single
        runs, seed noise included). features: their shares in what the model predicts. arms: the best candidate of
        every arm, best first, and what is expected of its true score. earlier: agreement with the study it starts from.
        """
        model, found = self.model(candidates, runs), self._arm_champions(candidates, runs, late=LATE)
        champions = sorted(found.items(), key=lambda pair: pair[1].mean, reverse=self._study.direction == "maximize")
        expected = self.predict(model, [one.schedule for _, one in champions]) if champions else []
        return {
            "points": _left_out(model),
            "features": {name: _short(share) for name, share in model.feature_importance().items()},
            "arms": [
                {"arm": arm.label, "schedule": one.schedule.to_dict(), "mean": mean, "low": low, "high": high}
                for (arm, one), (mean, low, high) in zip(champions, expected, strict=True)
            ],
            "earlier": {name: _short(share) for name, share in model.agreements.items()},
        }

    def _tried(self, candidates: Mapping[int, Candidate], runs: Sequence[Run]) -> list[Tried]:
        from schedsearch.search.champions import Tried

        params = self.history.params()
        full = [run for run in runs if run.phase is not Phase.SCREEN]
        scored = {run.candidate_id: run.score for run in full if run.state is RunState.COMPLETED}
        return [
            Tried(
                None if one.trial_number is None else params.get(one.trial_number),
                one.schedule,
                one.id,
                scored[one.id],
            )
            for one in candidates.values()
            if one.id in scored
        ]

    def _curve(self, schedule: Schedule) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return schedule.lrs(self._study.total_updates, self._study.updates_per_epoch)

    @property
    def _base_lr_range(self) -> tuple[float, float]:
        assert self._space.base_lr is not None  # noqa: S101 - launch fixes the range before it writes the study
        return self._space.base_lr

    def _observations(self, candidates: Mapping[int, Candidate], runs: Sequence[Run]) -> list[Observation]:
        from schedsearch.search.model import Observation

        return [
            Observation(
                candidates[run.candidate_id].schedule.lrs(run.total_updates, self._study.updates_per_epoch),
                run.score,
                "" if run.phase is not Phase.SCREEN else f"{run.total_updates} updates",
            )
            for run in runs
            if run.state in ENDED
        ]

    @cached_property
    def _inherited(self) -> list[dict[str, Any]]:
        """The parameters of the best of the study that this one starts from, as far as this one's space has them: first
        what its verdict ranked, then what its search scored, one an arm."""
        name = self._study.budget.get("warm_start")
        if name is None:
            return []
        study = self._store.study(name)
        schedules = {one.id: one.schedule for one in self._store.candidates(study.id)}
        found: dict[Arm, dict[str, Any]] = {}
        for one in self._ranked(study):
            params = self._space.params_of(schedules[one])
            if params is not None and self._is_possible(schedules[one]):
                found.setdefault(arm_of(schedules[one]), params)
        return list(found.values())[:MOST_INHERITED]

    def _ranked(self, study: Study) -> list[int]:
        """The candidates of an earlier study, best first."""
        verdict = self._store.verdict(study.id)
        confirmed = [] if verdict is None else sorted(verdict.standings, key=lambda one: one.rank_position)
        scored = [run for run in self._store.runs(study.id, phase=Phase.SEARCH) if run.score is not None]
        sign = 1.0 if study.direction == "minimize" else -1.0
        scored.sort(key=lambda run: sign * (run.score or 0.0))
        return list(dict.fromkeys([*(one.candidate_id for one in confirmed), *(run.candidate_id for run in scored)]))

    def _is_possible(self, schedule: Schedule) -> bool:
        try:
            self._curve(schedule)
        except InvalidSchedule:
            return False
        return True

    @cached_property
    def _earlier(self) -> list[Observation]:
        """The runs of the study that this one starts from, at their own horizon."""
        from schedsearch.search.model import Observation

        name = self._study.budget.get("warm_start")
        if name is None:
            return []
        study = self._store.study(name)
        schedules = {one.id: one.schedule for one in self._store.candidates(study.id)}
        return [
            Observation(schedules[run.candidate_id].lrs(run.total_updates, study.updates_per_epoch), run.score, name)
            for run in self._store.runs(study.id)
            if run.state in ENDED
        ]


def _left_out(model: CurveModel) -> list[list[float]]:
    """At most MOST_POINTS of [measured, predicted, low, high]; bad scores and divergence stand at the model's cut."""
    mean, variance = model.posterior.left_out()
    measured = model.posterior.y[model.posterior.own]
    kept = np.linspace(0, len(measured) - 1, min(MOST_POINTS, len(measured))).astype(np.intp)
    half = 1.96 * np.sqrt(variance)
    ends = model.scale.to_score(mean - half), model.scale.to_score(mean + half)
    columns = [model.scale.to_score(measured), model.scale.to_score(mean), np.minimum(*ends), np.maximum(*ends)]
    return [[_short(value) for value in row] for row in np.stack(columns, axis=1)[kept]]


def _triples(*columns: np.ndarray[Any, np.dtype[np.float64]]) -> list[tuple[float, float, float]]:
    return [(_short(a), _short(b), _short(c)) for a, b, c in zip(*columns, strict=True)]


def _short(value: float) -> float:
    """Six digits: enough for a picture."""
    return float(f"{value:.6g}")
