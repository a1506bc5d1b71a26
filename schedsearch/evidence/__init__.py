"""Statistics of a study as pure functions: noise, the race, the verdict, and where the evidence is thin."""

from schedsearch.evidence.caveats import Circumstances, warnings
from schedsearch.evidence.finalists import Finalist
from schedsearch.evidence.noise import Noise, estimate_noise, pairing_correlation, seed_rank_agreement, seeds_needed
from schedsearch.evidence.questions import AnswerResult, unconfirmed_answers
from schedsearch.evidence.race import RACE_ROUNDS, survivors
from schedsearch.evidence.scores import Scores
from schedsearch.evidence.verdict import Comparison, Standing, Verdict, decide

__all__ = [
    "RACE_ROUNDS",
    "AnswerResult",
    "Circumstances",
    "Comparison",
    "Finalist",
    "Noise",
    "Scores",
    "Standing",
    "Verdict",
    "decide",
    "estimate_noise",
    "pairing_correlation",
    "seed_rank_agreement",
    "seeds_needed",
    "survivors",
    "unconfirmed_answers",
    "warnings",
]
