"""What mattered in a search: the shares of base LR and of the three answers, by PED-ANOVA and by fANOVA.

The two answer different questions. PED-ANOVA (Watanabe et al. 2023): in what do the best quarter of the runs differ
from all? fANOVA (Hutter et al. 2014): how much of the variation over the whole searched space does each explain, the
bad regions included? Both are given the same four choices of each run, so that nothing is conditional on anything;
both describe what was searched, and neither is evidence that a difference is real: that is the confirmation's part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from schedsearch.errors import InvalidInput
from schedsearch.schedule import Schedule
from schedsearch.space import Question, answers_of

BEST_SHARE = 0.25
FEWEST_RUNS = 20
TREES, DEPTH = 32, 16
BASE_LR = "base LR"
NAMES = {Question.WARMUP: "warm-up", Question.DECAY: "decay", Question.RESTARTS: "restarts"}
QUESTIONS = {
    "ped_anova": "in what do the best quarter of the searched runs differ from all?",
    "fanova": "what explains the differences between all searched runs, the bad ones included?",
}


@dataclass(frozen=True)
class Importance:
    """A choice's shares, each column sums to 1: of what sets the best quarter apart, and of all variation."""

    choice: str
    ped_anova: float
    fanova: float


@dataclass(frozen=True)
class Importances:
    """The choices, the most important (by PED-ANOVA) first; runs: they rest on. note: why there are none, or empty."""

    runs: int
    choices: tuple[Importance, ...]
    note: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Importances:
        """From the plain values of `dataclasses.asdict`."""
        return cls(values["runs"], tuple(Importance(**one) for one in values["choices"]), values["note"])


def importances(tried: Sequence[tuple[Schedule, float | None]], direction: str) -> Importances:
    """Of searched schedules with their scores (None: diverged, which counts like the worst), one seed each.

    Scores worse than median + 2 (median - best) count like that value, so that a few explosions are not all there is
    to explain. Fewer than 20 runs, or runs that all scored the same, give none and say so. Takes a second or two.
    """
    if direction not in ("minimize", "maximize"):
        raise InvalidInput(f'`direction` must be "minimize" or "maximize", but is {direction!r} instead.')
    if len(tried) < FEWEST_RUNS:
        return Importances(
            len(tried), (), f"Importances need {FEWEST_RUNS} searched runs or more; this study has {len(tried)}."
        )
    values = _badness([score for _, score in tried], 1.0 if direction == "minimize" else -1.0)
    if len(set(values)) < 2:
        return Importances(len(tried), (), "Importances need scores that differ; all searched runs scored the same.")
    shares = _evaluated([_choices(schedule) for schedule, _ in tried], values)
    found = [Importance(name, *both) for name, both in shares.items()]
    return Importances(len(tried), tuple(sorted(found, key=lambda one: (-one.ped_anova, -one.fanova))))


def _badness(scores: Sequence[float | None], sign: float) -> list[float]:
    known = [sign * score for score in scores if score is not None]
    if not known:
        return [0.0] * len(scores)
    middle = median(known)
    worst = min(max(known), middle + 2 * (middle - min(known)))
    return [worst if score is None else min(sign * score, worst) for score in scores]


def _choices(schedule: Schedule) -> dict[str, Any]:
    answers = answers_of(schedule)
    return {BASE_LR: schedule.base_lr, **{NAMES[question]: answers[question] for question in Question}}


def _evaluated(choices: Sequence[Mapping[str, Any]], values: Sequence[float]) -> dict[str, tuple[float, float]]:
    """(PED-ANOVA, fANOVA) of each choice; 0 for one that never varied."""
    from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator, get_param_importances

    study, varied = _study(choices, values)
    evaluators = (
        PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE),
        FanovaImportanceEvaluator(n_trees=TREES, max_depth=DEPTH, seed=0),
    )
    both = [get_param_importances(study, evaluator=one, params=varied) for one in evaluators]
    return {name: (float(both[0].get(name, 0.0)), float(both[1].get(name, 0.0))) for name in choices[0]}


def _study(choices: Sequence[Mapping[str, Any]], values: Sequence[float]) -> tuple[Any, list[str]]:
    """The runs as an Optuna study in memory, and the choices that varied in it."""
    from optuna import create_study, logging
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.trial import create_trial

    seen = {name: sorted({one[name] for one in choices}) for name in choices[0]}
    varied = [name for name, options in seen.items() if len(options) > 1]
    spaces: dict[str, BaseDistribution] = {
        name: FloatDistribution(seen[name][0], seen[name][-1], log=True)
        if name == BASE_LR
        else CategoricalDistribution(seen[name])
        for name in varied
    }
    level = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        study = create_study()
    finally:
        logging.set_verbosity(level)
    for one, value in zip(choices, values, strict=True):
        study.add_trial(create_trial(params={name: one[name] for name in varied}, distributions=spaces, value=value))
    return study, varied
