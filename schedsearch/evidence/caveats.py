"""Where the evidence is thin, in sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import log

from schedsearch.evidence.noise import Noise
from schedsearch.evidence.resolution import Resolution
from schedsearch.evidence.screening import Screening
from schedsearch.evidence.trust import Trust
from schedsearch.evidence.verdict import Standing, Verdict
from schedsearch.evidence.words import lr, seeds

EDGE = 0.05
FEWEST_SEEDS = 3
FEWEST_RUNS_PER_ARM = 2


@dataclass(frozen=True)
class Circumstances:
    """What the verdict was reached under.

    base_lrs: of each finalist, by candidate id; base_lr_range: searched. runs_by_arm: searched runs of each arm of the
    space, 0 included. trust: what the curve model's word is worth (None: no model was asked). resolution: what the
    confirmation can tell apart. screening: what was made of a shorter horizon. Seeds: those trained on in the search
    and in the confirmation.
    """

    base_lrs: Mapping[int, float] = field(default_factory=dict)
    base_lr_range: tuple[float, float] | None = None
    runs_by_arm: Mapping[str, int] = field(default_factory=dict)
    trust: Trust | None = None
    resolution: Resolution | None = None
    screening: Screening | None = None
    noise: Noise | None = None
    search_seeds: Collection[int] = ()
    confirm_seeds: Collection[int] = ()


def warnings(verdict: Verdict, circumstances: Circumstances) -> tuple[str, ...]:
    """Everything a reader should know before believing the verdict; empty where the evidence is sound."""
    return (
        *_edges(verdict, circumstances),
        *_thin_arms(circumstances.runs_by_arm),
        *_weak_model(circumstances.trust),
        *_seeds(verdict.standings, circumstances),
        *_coarse(circumstances.resolution),
        *_unscreened(circumstances.screening),
        *_diverged(verdict.standings, circumstances.noise),
    )


def _edges(verdict: Verdict, given: Circumstances) -> list[str]:
    if given.base_lr_range is None:
        return []
    names = {verdict.winner_id: "winner", verdict.recommended_id: "recommended schedule"}
    known = [(name, given.base_lrs[one]) for one, name in names.items() if one in given.base_lrs]
    found = [(name, value, _edge(value, given.base_lr_range)) for name, value in known]
    low, high = given.base_lr_range
    return [
        f"The base LR of the {name}, {lr(value)}, is at the {edge} of the range searched ({lr(low)} .. {lr(high)}): "
        f"the best may lie beyond it. Search again with a wider range."
        for name, value, edge in found
        if edge is not None
    ]


def _edge(value: float, bounds: tuple[float, float]) -> str | None:
    """Which end of the range the value is within 5 % of (of the range's log width) or beyond."""
    low, high = bounds
    place = log(value / low) / log(high / low)
    return "lower end" if place <= EDGE else "upper end" if place >= 1 - EDGE else None


def _thin_arms(runs_by_arm: Mapping[str, int]) -> list[str]:
    thin = {arm: runs for arm, runs in runs_by_arm.items() if runs < FEWEST_RUNS_PER_ARM}
    if not thin:
        return []
    untried = sum(runs == 0 for runs in thin.values())
    none = f" ({untried} none)" if untried else ""
    return [
        f"{len(thin)} of {len(runs_by_arm)} arms have fewer than {FEWEST_RUNS_PER_ARM} searched runs{none}; "
        "what is known of them comes from the curve model."
    ]


def _weak_model(trust: Trust | None) -> list[str]:
    if trust is None or not trust.explains_little:
        return []
    return [
        f"The curve model explains little here (it ranks runs that it has not seen at {trust.left_out:.2f}): "
        "more runs may find a better schedule."
    ]


def _seeds(standings: Collection[Standing], given: Circumstances) -> list[str]:
    found = []
    reused = sorted(set(given.search_seeds) & set(given.confirm_seeds))
    if reused:
        names = ", ".join(map(str, reused))
        found.append(f"Seeds {names} were used in the search and in the confirmation, which favours the winner.")
    fewest = min((one.seeds for one in standings), default=0)
    if fewest < FEWEST_SEEDS:
        found.append(f"The confirmation has {seeds(fewest)} a finalist: intervals are wide and rest on few runs.")
    return found


def _coarse(resolution: Resolution | None) -> list[str]:
    if resolution is None or not resolution.missed:
        return []
    return [f"The resolution that was asked for was not reached. {resolution.sentence}"]


def _unscreened(screening: Screening | None) -> list[str]:
    return [] if screening is None or screening.calibration.holds else [screening.sentence]


def _diverged(standings: Collection[Standing], noise: Noise | None) -> list[str]:
    found = [
        f"The recommended schedule diverged on {one.diverged} of {one.seeds} fresh seeds."
        for one in standings
        if one.is_recommended and one.diverged
    ]
    if noise is not None and noise.diverged:
        found.append(f"Of the noise baseline's runs {noise.diverged} diverged: its base LR is too high for this task.")
    return found
