"""Race and verdict batch on studies whose truth is known: what is reported is unbiased and as uncertain as it says."""

from statistics import fmean

import numpy as np
import pytest
from evidence_simulation import Simulated, simulate

STUDIES = 400
WORLDS = [(0.3, 0.0), (1.0, 0.0), (3.0, 0.5), (0.3, 0.5)]


@pytest.fixture(scope="module")
def studies() -> dict[tuple[float, float], list[Simulated]]:
    rng = np.random.default_rng(20261124)
    return {
        (spread, correlation): [simulate(rng, spread=spread, correlation=correlation) for _ in range(STUDIES)]
        for spread, correlation in WORLDS
    }


def leads(studies: list[Simulated]) -> list[tuple[float, bool]]:
    """For every reported lead of a winner over a baseline: its error, and whether its interval holds the truth."""
    found = []
    for study in studies:
        for one in study.verdict.comparisons:
            if one.candidate_id == study.verdict.winner_id and one.against_id in study.baselines:
                truth = float(study.truth[one.candidate_id] - study.truth[one.against_id])
                assert one.difference is not None and one.ci_low is not None and one.ci_high is not None
                found.append((one.difference - truth, one.ci_low <= truth <= one.ci_high))
    return found


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_intervals_of_leads_hold_the_truth_as_often_as_they_say(
    studies: dict[tuple[float, float], list[Simulated]], world: tuple[float, float]
) -> None:
    covered = [holds for _, holds in leads(studies[world])]
    assert len(covered) > 2.9 * STUDIES
    assert 0.92 <= fmean(covered) <= 0.98


def test_reported_leads_are_not_overstated(studies: dict[tuple[float, float], list[Simulated]]) -> None:
    errors = [error for some in studies.values() for error, _ in leads(some)]
    assert abs(fmean(errors)) < 0.03  # in standard deviations of the noise


def test_intervals_of_answers_hold_the_truth(studies: dict[tuple[float, float], list[Simulated]]) -> None:
    covered = []
    for study in (study for some in studies.values() for study in some):
        rows = study.verdict.answers
        for one in rows:
            others = [other for other in rows if other.question == one.question and other.answer != one.answer]
            if one.is_chosen and others:
                other = others[0]
                truth = float(study.truth[one.candidate_id] - study.truth[other.candidate_id])
                assert one.diff_low is not None and one.diff_high is not None
                covered.append(one.diff_low <= truth <= one.diff_high)
    assert len(covered) > 1000
    assert 0.92 <= fmean(covered) <= 0.98


def test_the_race_spends_its_runs_better_than_equal_shares(
    studies: dict[tuple[float, float], list[Simulated]],
) -> None:
    everything = [study for some in studies.values() for study in some]
    assert fmean(study.runs for study in everything) < 70  # equal shares: 60, and nothing unbiased to report
    assert fmean(study.regret for study in everything) < fmean(study.regret_of_all for study in everything) + 0.02
