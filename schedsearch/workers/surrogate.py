"""What the study's history says about schedules that were not trained: asks, predictions, champions.

Optuna and the curve model are imported at the first question, so a worker that only trains never pays for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from schedsearch.schedule import Schedule
from schedsearch.space import Answer, SearchSpace
from schedsearch.store import Candidate, Run, RunState, Study

if TYPE_CHECKING:
    from schedsearch.search.champions import Champion
    from schedsearch.search.history import Asked, History
    from schedsearch.search.model import CurveModel, Observation


class Surrogate:
    """The Optuna history of one study and the curve model over all its runs."""

    def __init__(self, url: str, study: Study, space: SearchSpace) -> None:
        self._url = url
        self._study = study
        self._space = space

    @cached_property
    def history(self) -> History:
        """The study's trials in Optuna's storage."""
        from schedsearch.search.history import History

        return History(
            self._url,
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
        return self.history.ask(count, self._observations(candidates, outside))

    def model(self, candidates: Mapping[int, Candidate], runs: Sequence[Run]) -> CurveModel:
        """The model of every run that ended."""
        from schedsearch.search.model import CurveModel

        return CurveModel.fit(self._observations(candidates, runs), direction=self._study.direction)

    def tune(
        self,
        baseline: Schedule,
        tried: Sequence[float],
        candidates: Mapping[int, Candidate],
        runs: Sequence[Run],
    ) -> Schedule:
        """This baseline at the base LR where the model expects it at its best (at first: equally bold as the others)."""
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

    def champions(
        self, model: CurveModel, candidates: Mapping[int, Candidate], runs: Sequence[Run]
    ) -> dict[Answer, Champion]:
        """The best candidate for each answer to each question, by the model's posterior."""
        from schedsearch.search.champions import Tried, name_champions

        params = self.history.params()
        scored = {run.candidate_id: run.score for run in runs if run.state is RunState.COMPLETED}
        tried = [
            Tried(params.get(one.trial_number or -1), one.schedule, one.id, scored[one.id])
            for one in candidates.values()
            if one.id in scored
        ]
        rng = np.random.default_rng([self._study.seed, 7])
        return name_champions(
            model, self._space, tried, self._study.total_updates, self._study.updates_per_epoch, rng
        )

    def predict(self, model: CurveModel, schedules: Sequence[Schedule]) -> list[float]:
        """The model's mean score for each schedule."""
        return [float(value) for value in model.predict([self._curve(one) for one in schedules]).mean]

    def _curve(self, schedule: Schedule) -> np.ndarray:
        return schedule.lrs(self._study.total_updates, self._study.updates_per_epoch)

    @property
    def _base_lr_range(self) -> tuple[float, float]:
        assert self._space.base_lr is not None  # noqa: S101 - launch fixes the range before it writes the study
        return self._space.base_lr

    def _observations(self, candidates: Mapping[int, Candidate], runs: Sequence[Run]) -> list[Observation]:
        from schedsearch.search.model import Observation

        ended = (RunState.COMPLETED, RunState.DIVERGED)
        return [
            Observation(self._curve(candidates[run.candidate_id].schedule), run.score)
            for run in runs
            if run.state in ended
        ]
