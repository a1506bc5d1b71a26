"""Statistics of a study as pure functions: noise, the race, the verdict, and where the evidence is thin."""

from schedsearch.evidence.caveats import Circumstances, warnings
from schedsearch.evidence.finalists import FREE_SHAPE, Finalist, spoken
from schedsearch.evidence.noise import (
    Noise,
    common_noise,
    estimate_noise,
    pairing_correlation,
    pairing_pays,
    seed_rank_agreement,
    worth_of_pairs,
)
from schedsearch.evidence.questions import AnswerResult, liked_base_lrs, unconfirmed_answers
from schedsearch.evidence.race import finishers, race_winner, runner_up, survivors
from schedsearch.evidence.resolution import Resolution, seeds_needed
from schedsearch.evidence.scores import Scores
from schedsearch.evidence.screening import Calibration, Screening, calibrate
from schedsearch.evidence.shape import ShapeGap
from schedsearch.evidence.trust import Trust, trust
from schedsearch.evidence.verdict import Comparison, Standing, Verdict, decide

__all__ = [
    "FREE_SHAPE",
    "AnswerResult",
    "Calibration",
    "Circumstances",
    "Comparison",
    "Finalist",
    "Noise",
    "Resolution",
    "Scores",
    "Screening",
    "ShapeGap",
    "Standing",
    "Trust",
    "Verdict",
    "calibrate",
    "common_noise",
    "decide",
    "estimate_noise",
    "finishers",
    "liked_base_lrs",
    "pairing_correlation",
    "pairing_pays",
    "race_winner",
    "runner_up",
    "seed_rank_agreement",
    "seeds_needed",
    "spoken",
    "survivors",
    "trust",
    "unconfirmed_answers",
    "warnings",
    "worth_of_pairs",
]
