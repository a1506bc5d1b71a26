"""The best schedule of every arm of a quadratic by a long search with exact losses: what an arm gap is measured from.

    python benchmarks/reference.py A B C
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from problems import Problem, Quadratic, names, problem

from schedsearch.space import Arm, SearchSpace, load_space

REFERENCES = Path(__file__).with_name("results") / "reference"
DRAWS, ROUNDS, PARENTS, CHILDREN = 1500, 40, 8, 24
SAME = {"A5": "A"}


def read_reference(name: str) -> dict[str, float]:
    """The best known loss by arm; empty where no long search was made (the real tasks)."""
    path = REFERENCES / f"{SAME.get(name, name)}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def best_of_arm(one: Problem, space: SearchSpace, arm: Arm, rng: np.random.Generator) -> float:
    """Random draws, then ever smaller perturbations of the best few."""
    population = [space.draw(rng, arm) for _ in range(DRAWS)]
    known = list(zip(_losses(one, space, population), population, strict=True))
    for turn in range(ROUNDS):
        known = sorted(known, key=lambda entry: entry[0])[:PARENTS]
        size = 0.2 * 0.88**turn
        children = [
            space.perturb(parent, rng, size=size, coordinates=int(rng.integers(1, 6)))
            for _, parent in known
            for _ in range(CHILDREN)
        ]
        known += zip(_losses(one, space, children), children, strict=True)
    return float(min(loss for loss, _ in known))


def _losses(one: Problem, space: SearchSpace, many: list[dict[str, object]]) -> list[float]:
    lrs = np.stack([space.schedule(params).lrs(one.total_updates) for params in many])
    return np.nan_to_num(one.truth(lrs)[:, 0], nan=np.inf).tolist()


def make_reference(name: str) -> None:
    one = problem(name)
    space = load_space("framework").with_base_lr(*one.base_lr)
    rng = np.random.default_rng(0)
    best = {arm.label: float(f"{best_of_arm(one, space, arm, rng):.5g}") for arm in space.arms}
    REFERENCES.mkdir(parents=True, exist_ok=True)
    (REFERENCES / f"{name}.json").write_text(json.dumps(best, indent=1) + "\n")


if __name__ == "__main__":
    exact = [name for name in names() if isinstance(problem(name), Quadratic) and name not in SAME]
    for which in sys.argv[1:] or exact:
        make_reference(which)
        print(which, min(read_reference(which).values()), flush=True)
