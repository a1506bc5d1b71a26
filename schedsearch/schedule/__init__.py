"""Learning-rate schedules as pure functions of the update, the horizon and nothing else (numpy only)."""

from schedsearch.schedule.bound import ConvexBound, bold_base_lr, convex_bound, relative_bound
from schedsearch.schedule.decay import Decay
from schedsearch.schedule.decays import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    MultiStep,
    Polynomial,
    Rex,
    Step,
    Wsd,
)
from schedsearch.schedule.description import FEATURE_NAMES, describe_curve, describe_curves
from schedsearch.schedule.model import Schedule
from schedsearch.schedule.parts import Restarts, Warmup
from schedsearch.schedule.spline import Spline

__all__ = [
    "FEATURE_NAMES",
    "Constant",
    "ConvexBound",
    "Cosine",
    "Decay",
    "Exponential",
    "InverseSqrt",
    "Linear",
    "MultiStep",
    "Polynomial",
    "Restarts",
    "Rex",
    "Schedule",
    "Spline",
    "Step",
    "Warmup",
    "Wsd",
    "bold_base_lr",
    "convex_bound",
    "describe_curve",
    "describe_curves",
    "relative_bound",
]
