"""The few tabulated distributions that intervals need, by scipy; imported at the first use, for it takes longer than
everything else that a command line imports from this room."""

from __future__ import annotations


def student_quantile(freedom: float, level: float) -> float:
    """The value below which Student's t lies with probability `level` at so many degrees of freedom."""
    from scipy import special

    return float(special.stdtrit(freedom, level))


def student_two_sided(freedom: float, t: float) -> float:
    """The probability that Student's t lies farther from 0 than t."""
    from scipy import special

    return float(2 * special.stdtr(freedom, -abs(t)))


def chi_square_median(freedom: float) -> float:
    """The median of chi square at so many degrees of freedom."""
    from scipy import special

    return float(special.chdtri(freedom, 0.5))


def share_interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Jeffreys' interval of a share: quantiles of Beta(successes + 1/2, failures + 1/2); it reaches 0 and 1 where
    nothing or everything succeeded."""
    from scipy import special

    failures, tail = trials - successes, (1 - level) / 2
    low = 0.0 if successes == 0 else float(special.betaincinv(successes + 0.5, failures + 0.5, tail))
    high = 1.0 if failures == 0 else float(special.betaincinv(successes + 0.5, failures + 0.5, 1 - tail))
    return low, high
