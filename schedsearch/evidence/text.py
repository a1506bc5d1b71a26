"""The verdict as a person would say it: what to use, how sure that is, and what it is better than."""

from __future__ import annotations

from collections.abc import Sequence

from schedsearch.evidence import words
from schedsearch.evidence.finalists import FIXED_ROLES, Finalist
from schedsearch.evidence.intervals import Estimate, mean_of
from schedsearch.evidence.questions import Reading
from schedsearch.evidence.scores import diverged
from schedsearch.evidence.shape import ShapeGap


def verdict_text(
    finalists: Sequence[Finalist],
    leader: Finalist,
    recommended: Finalist,
    tied: Sequence[Finalist],
    shape: ShapeGap | None,
    reading: Reading,
) -> str:
    """One sentence or two a line: the conclusion, the baselines, what diverged, the free shape."""
    lines = [_conclusion(finalists, leader, recommended, tied, reading)]
    if recommended is not leader:
        lines.append(_price_of_simplicity(leader, recommended, reading))
    fixed = [one for one in finalists if one.role in FIXED_ROLES and one is not recommended]
    lines += _against(recommended, fixed, reading)
    lost = [f"{one.name} on {diverged(one.scores)} of {len(one.scores)}" for one in finalists if diverged(one.scores)]
    if lost:
        lines.append(f"Diverged on fresh seeds: {words.listed(lost)}.")
    if shape is not None:
        lines.append(shape.sentence)
    return "\n".join(lines)


def _conclusion(
    finalists: Sequence[Finalist], leader: Finalist, recommended: Finalist, tied: Sequence[Finalist], reading: Reading
) -> str:
    own = mean_of(recommended.scores)
    if own is None:
        return f"Every finalist diverged on a seed; least often {recommended.words}."
    fresh = f"over {words.seeds(own.seeds)} that took no part in the search"
    measured = f"{reading.metric} {words.with_interval(own)} {fresh}"
    if len(tied) == 1:
        others = "" if len(finalists) == 1 else ", better than every other finalist"
        return f"Use {recommended.words}: {measured}{others}."
    return (
        f"A tie: {len(tied)} of {len(finalists)} finalists cannot be told apart. "
        f"Use {_which(leader, recommended, tied)}, {recommended.words}: {measured}."
    )


def _which(leader: Finalist, recommended: Finalist, tied: Sequence[Finalist]) -> str:
    simpler = [one for one in tied if one.complexity < recommended.complexity]
    reasons = [" that the race had not left behind"] * any(one.left_race for one in simpler)
    reasons += [" that is not clearly worse than another"] * any(not one.left_race for one in simpler)
    simplest = "the simplest of them" + " and".join(reasons)
    return f"the winner and {simplest}" if recommended is leader else simplest


def _price_of_simplicity(leader: Finalist, recommended: Finalist, reading: Reading) -> str:
    gap = reading.between(leader, recommended)
    if gap is None:
        return f"The race was won by {leader.words}; the two cannot be compared here."
    lead = words.with_interval(words.gain(gap, reading.sign))
    return f"The race was won by {leader.words}; its lead over the recommended one is {lead}."


def _against(recommended: Finalist, fixed: Sequence[Finalist], reading: Reading) -> list[str]:
    """One sentence: what it is better than and by how much, what it is worse than, what it ties with."""
    gaps = [(one, reading.between(recommended, one)) for one in fixed]
    known = [(one, words.gain(gap, reading.sign)) for one, gap in gaps if gap is not None]
    better = [_amount(one, gain) for one, gain in known if not gain.holds_zero and gain.value > 0]
    worse = [_amount(one, gain) for one, gain in known if not gain.holds_zero and gain.value < 0]
    level = [_lead(one, gain) for one, gain in known if gain.holds_zero and reading.level(one, recommended)]
    wild = [_lead(one, gain) for one, gain in known if gain.holds_zero and not reading.level(one, recommended)]
    low, high = ("lower", "higher") if reading.sign > 0 else ("higher", "lower")
    its = f"its {reading.metric} is"
    parts = [f"{its} {low} than with {words.listed(better)}"] * bool(better)
    parts += [f"{its} {high} than with {words.listed(worse)}"] * bool(worse)
    parts += [f"it ties with {words.listed(level)}"] * bool(level)
    parts += [f"too erratic between seeds for a useful interval: {words.listed(wild)}"] * bool(wild)
    return [f"Against the baselines, each at its own tuned base LR, {'; '.join(parts)}."] if parts else []


def _lead(one: Finalist, gain: Estimate) -> str:
    """`cosine (lead 0.007, 95 % -0.023 .. 0.038)`."""
    inside = words.with_interval(gain).replace(" (", ", ").rstrip(")")
    return f"{one.name} (lead {inside})"


def _amount(one: Finalist, gain: Estimate) -> str:
    size = gain if gain.value > 0 else words.gain(gain, 1.0)
    return f"{one.name} by {words.with_interval(size)}"
