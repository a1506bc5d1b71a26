"""What is an earlier study at a shorter horizon worth? MNIST-5k at T / 4 for T, and a quadratic that disagrees.

    python benchmarks/transfer.py run [--seeds 8]
    python benchmarks/transfer.py report

For every search seed: 48 runs of a curve search at a quarter of the horizon; then the full horizon searched with these
runs as an earlier study, and without. Resumable: one line a study in results/transfer.jsonl. The true loss of the
recommended schedule after 4, 8, 12 and 24 runs; `report` writes results/transfer.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from machine import about_machine, code_version
from methods import CurveSearch, Params
from numpy.typing import NDArray
from problems import Problem, problem
from report import table
from search import space_of

from schedsearch.search.model import CurveModel, Observation

Array = NDArray[np.float64]

LINES = Path(__file__).with_name("results") / "transfer.jsonl"
RESULT = LINES.with_suffix(".md")
MARKS = (4, 8, 12, 24)
EARLIER_RUNS, BATCH, RATIO = 48, 4, 4
PAIRS = {"mnist5k": "mnist5k at T / 4", "A": "A at T / 4", "A from C": "C, whose best schedules are others"}


@dataclass(eq=False)
class WarmSearch(CurveSearch):
    """Ours with the runs of an earlier study."""

    lent: Sequence[Observation] = ()

    def begin(self) -> None:
        super().begin()
        self.curve_sampler.observe(self.lent)

    def model(self) -> CurveModel:
        told = [Observation(self.lrs(params), loss) for params, loss in self.told]
        return CurveModel.fit([*told, *self.lent], fitter="scipy")


def search(
    one: Problem, seed: int, runs: Sequence[int], lent: Sequence[Observation]
) -> tuple[WarmSearch, list[Params]]:
    """A search of one problem, and what it recommended after each of `runs`."""
    space = space_of(one)
    found = WarmSearch(one, space, seed, lent=lent)
    named: list[Params] = []
    for mark in runs:
        while len(found.told) < mark:
            asked = found.ask(min(BATCH, mark - len(found.told)))
            losses = one.score(np.stack([found.lrs(params) for params in asked]), [1000 + seed] * len(asked))
            found.tell(asked, [float(loss) if np.isfinite(loss) else None for loss in losses])
        named.append(found.recommended() or {})
    return found, named


def earlier(name: str, seed: int) -> list[Observation]:
    """The runs of the earlier study."""
    source, short = ("C", 1) if name == "A from C" else (name, RATIO)
    one = problem(source)
    shorter = replace(one, total_updates=one.total_updates // short)
    done, _ = search(shorter, 500 + seed, [EARLIER_RUNS], ())
    return [Observation(done.lrs(params), loss, "earlier") for params, loss in done.told]


def study(name: str, seed: int) -> dict[str, Any]:
    one = problem(name.partition(" ")[0])
    lent = earlier(name, seed)
    losses = {}
    for title, given in (("cold", ()), ("warm", lent)):
        done, named = search(one, seed, MARKS, given)
        curves = np.stack([done.lrs(params) for params in named])
        truth = np.nan_to_num(one.truth(curves), nan=one.untrained).mean(axis=1)
        losses[title] = [float(f"{loss:.5g}") for loss in truth]
        if title == "warm":
            agreement = done.model().agreements.get("earlier", 0.0)
    now = f"{datetime.now(UTC):%Y-%m-%d}"
    return {"pair": name, "seed": seed, "date": now, "code": code_version(), "agreement": round(agreement, 3), **losses}


def read() -> list[dict[str, Any]]:
    return [json.loads(line) for line in LINES.read_text().splitlines()] if LINES.exists() else []


def run(names: Sequence[str], seeds: int) -> None:
    done = {(line["pair"], line["seed"]) for line in read()}
    for name in names:
        for seed in range(seeds):
            if (name, seed) not in done:
                line = study(name, seed)
                with LINES.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(line, flush=True)


def row(name: str, lines: Sequence[dict[str, Any]]) -> list[str]:
    mine = [line for line in lines if line["pair"] == name]
    cold, warm = (np.array([line[title] for line in mine]) for title in ("cold", "warm"))
    gain = 1 - warm / cold
    error = gain.std(axis=0, ddof=1) / len(gain) ** 0.5
    cells = [
        f"{c:.4g}, {w:.4g} ({100 * g:+.1f} ±{100 * e:.1f} %)"
        for c, w, g, e in zip(cold.mean(axis=0), warm.mean(axis=0), gain.mean(axis=0), error, strict=True)
    ]
    return [PAIRS[name], str(len(mine)), f"{np.mean([line['agreement'] for line in mine]):.2f}", *cells]


def write_report() -> None:
    lines = read()
    text = [
        "# What an earlier study is worth",
        "",
        f"Written {datetime.now(UTC):%Y-%m-%d} by `python benchmarks/transfer.py`. {about_machine()}",
        "",
        f"An earlier study of {EARLIER_RUNS} runs lends its curves (`--warm-start`). The true loss of the recommended",
        f"schedule after {', '.join(map(str, MARKS))} runs, without and with them, and what they gain (positive is",
        "better, ± one standard error over search seeds). `agreement`: the correlation that the model gives the two in",
        "the end.",
        "",
        *table(
            ["earlier study", "seeds", "agreement", *(f"after {mark}" for mark in MARKS)],
            [row(name, lines) for name in PAIRS if sum(line["pair"] == name for line in lines) > 1],
        ),
    ]
    RESULT.write_text("\n".join(text).rstrip() + "\n")
    print(RESULT.read_text())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--pairs", default=",".join(PAIRS))
    parser.add_argument("--seeds", type=int, default=8)
    given = parser.parse_args()
    if given.what == "run":
        run(given.pairs.split(","), given.seeds)
    else:
        write_report()
