"""The search space as the three questions: what a study may ask, validated, and how an answer becomes a schedule."""

from schedsearch.space.answers import Answer, Arm, Question, answers_of, arm_of, complexity
from schedsearch.space.faults import sentences
from schedsearch.space.files import builtin_spaces, load_space, read_yaml, space_json_schema
from schedsearch.space.space import Baseline, SearchSpace
from schedsearch.space.suggest import Dimension, Suggest

__all__ = [
    "Answer",
    "Arm",
    "Baseline",
    "Dimension",
    "Question",
    "SearchSpace",
    "Suggest",
    "answers_of",
    "arm_of",
    "builtin_spaces",
    "complexity",
    "load_space",
    "read_yaml",
    "sentences",
    "space_json_schema",
]
