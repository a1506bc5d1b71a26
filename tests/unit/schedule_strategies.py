"""Hypothesis strategies for schedules, over everything that the classes allow and a little beyond the search ranges."""

from dataclasses import dataclass

from hypothesis import strategies as st

from schedsearch.errors import InvalidSchedule
from schedsearch.schedule import (
    Constant,
    Cosine,
    Exponential,
    InverseSqrt,
    Linear,
    MultiStep,
    Polynomial,
    Restarts,
    Rex,
    Schedule,
    Spline,
    Step,
    Warmup,
    Wsd,
)

inside = st.floats(1e-6, 1 - 1e-6)
ratio = st.floats(0, 1, exclude_max=True)
power = st.floats(0.01, 50)
gamma = st.floats(0.01, 0.99)
milestones = st.lists(inside, min_size=1, max_size=5, unique=True).map(sorted).map(tuple)


@st.composite
def splines(draw):
    x1 = draw(st.floats(0.001, 0.9))
    x2 = draw(st.floats(x1 + 0.001, 0.999))
    r, y2, y1 = sorted(draw(st.tuples(st.floats(0, 0.999), st.floats(0, 1), st.floats(0, 1))))
    return Spline(x1, x2, y1, y2, min(r, 0.999))


decays = st.one_of(
    st.just(Constant()),
    st.builds(Step, st.integers(1, 6), gamma),
    st.builds(MultiStep, milestones, gamma),
    st.builds(Exponential, st.floats(1e-9, 1 - 1e-9)),
    st.builds(Cosine, ratio, power),
    st.builds(Linear, ratio),
    st.builds(Polynomial, ratio, power),
    st.builds(Rex, ratio, power),
    st.builds(Wsd, st.floats(1e-3, 1), st.sampled_from(Wsd.SHAPES), ratio),
    st.builds(InverseSqrt, st.floats(1e-3, 10)),
    splines(),
)
warmups = st.builds(Warmup, st.sampled_from(Warmup.KINDS), st.floats(1e-4, 0.6), st.floats(1e-6, 1 - 1e-6))
restarts = st.builds(Restarts, st.integers(2, 5), st.floats(1, 2), st.floats(0.05, 1))
schedules = st.builds(
    Schedule,
    st.floats(1e-9, 1e3),
    decays,
    st.none() | warmups,
    st.none() | restarts,
    st.integers(1, 7) | st.just("epoch"),
)


@dataclass(frozen=True)
class Case:
    """A schedule and a horizon that it can have."""

    schedule: Schedule
    total_updates: int
    updates_per_epoch: int

    @property
    def arguments(self) -> tuple[int, int]:
        return self.total_updates, self.updates_per_epoch

    @property
    def every(self) -> int:
        return self.updates_per_epoch if self.schedule.step_every == "epoch" else self.schedule.step_every

    @property
    def steps(self) -> int:
        return -(-self.total_updates // self.every)


def _possible(case: Case) -> bool:
    try:
        case.schedule.factors(*case.arguments)
    except InvalidSchedule:
        return False
    return True


cases = st.builds(Case, schedules, st.integers(2, 40) | st.integers(40, 400), st.integers(1, 9)).filter(_possible)
