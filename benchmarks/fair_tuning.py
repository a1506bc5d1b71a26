"""Is no arm left untuned, and is the best one found? Read from the studies of `search.py run`.

    python benchmarks/search.py run && python benchmarks/fair_tuning.py

Ours is `--strategy curve`; `tpe` is `--strategy joint` and Optuna's default on the same conditional space. Writes
benchmarks/results/fair_tuning.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from machine import about_machine
from numpy.typing import NDArray
from report import (
    OURS,
    QUESTIONS,
    best_of,
    gap_cell,
    lines_of,
    losses,
    present,
    problems,
    share_right,
    table,
    three_marks,
)

Array = NDArray[np.float64]

RESULT = Path(__file__).with_name("results") / "fair_tuning.md"
PEERS = ("random", "tpe", "tpe-group")
WITHOUT_BOUND = "curve-no-scale"


def losing_arms(name: str) -> list[str]:
    """The arms that are not within a tie of the best one."""
    best = best_of(name)
    return [label for label, loss in best.by_arm.items() if loss > (1 + best.tie) * best.overall]


def losing_gaps(name: str, method: str) -> Array:
    """How far what a search names for a losing arm is from the best known of it, (studies, losing arms), relative."""
    best, labels = best_of(name).by_arm, losing_arms(name)
    return np.array(
        [[_gap(line["arms"].get(label), best[label]) for label in labels] for line in lines_of(name, method)]
    )


def _gap(loss: float | None, best: float) -> float:
    return np.inf if loss is None else loss / best - 1


def beats_random(name: str, method: str) -> tuple[float, float]:
    """The chance that a study's named candidate of a losing arm is better than a random search's of equally many runs,
    over all pairs of studies, and its standard error over this method's studies. Equal ones count half."""
    own, random = losing_gaps(name, method), losing_gaps(name, "random")
    wins = [((study < random).mean() + (study <= random).mean()) / 2 for study in own]
    return float(np.mean(wins)), float(np.std(wins, ddof=1) / len(wins) ** 0.5)


def _found(name: str, method: str) -> str:
    """The share of studies that named true answers to all three questions; ours from confirmed champions."""
    share = share_right(name, method, "confirmed" if method == OURS else "joint", QUESTIONS)
    return "" if share is None else f"{100 * share:.0f} %"


def main() -> None:
    methods = present([OURS, *PEERS])
    text = [
        "# Fair tuning",
        "",
        f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by `python benchmarks/fair_tuning.py`. {about_machine()}",
        "The studies are those of [search.md](search.md): 28 arms, 96 runs each, how many is in parentheses there. A",
        "losing arm is one whose best known loss does not tie with the best of all.",
        "",
        "## The candidate named for a losing arm against random search's",
        "",
        "The chance that it is better than what random search of as many runs names for the same arm (50 %: no better",
        "than random), ± one standard error over studies. On digits every arm's best ties with the best of all.",
        "",
        *table(
            ["problem", "losing arms", *methods],
            [
                [name, _share(name), *(_chance(name, one) for one in methods)]
                for name in problems()
                if lines_of(name, "random") and losing_arms(name)
            ],
        ),
        "## How far it is from the best known of its arm: median / 90th percentile",
        "",
        *table(
            ["problem", *methods],
            [[name, *(_gaps(name, one) for one in methods)] for name in problems() if losing_arms(name)],
        ),
        "## Studies that name true answers to all three questions",
        "",
        *table(
            ["problem", "best arms", *methods],
            [
                [name, str(len(best_of(name).by_arm) - len(losing_arms(name))), *(_found(name, one) for one in methods)]
                for name in problems()
            ],
        ),
        "## What the convex bound is worth",
        "",
        "g*, the base LR that convex theory gives a shape, orders the first candidates and centres the base LRs of the",
        "pool. Loss after 24 / 48 / 96 runs, and the gap of all arms' champions, with it and without.",
        "",
        *table(
            ["problem", "with", "without", "arm gap with", "arm gap without"],
            [
                [
                    name,
                    three_marks(lambda mark, n=name: losses(n, OURS, mark)),
                    three_marks(lambda mark, n=name: losses(n, WITHOUT_BOUND, mark)),
                    _gaps(name, OURS),
                    _gaps(name, WITHOUT_BOUND),
                ]
                for name in problems()
                if lines_of(name, WITHOUT_BOUND)
            ],
        ),
    ]
    RESULT.write_text("\n".join(text).rstrip() + "\n")
    print(RESULT.read_text())


def _share(name: str) -> str:
    return f"{len(losing_arms(name))} of {len(best_of(name).by_arm)}"


def _chance(name: str, method: str) -> str:
    if not lines_of(name, method):
        return ""
    share, error = beats_random(name, method)
    return f"{100 * share:.0f} ±{100 * error:.0f} %"


def _gaps(name: str, method: str) -> str:
    return gap_cell(losing_gaps(name, method).ravel()) if lines_of(name, method) and losing_arms(name) else ""


if __name__ == "__main__":
    main()
