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
