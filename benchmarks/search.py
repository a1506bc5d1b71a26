"""Which search finds the better schedule from equally many runs? Ours against tuners and against parts of itself.

    python benchmarks/search.py run --problems A,B --methods curve,tpe --seeds 20
    python benchmarks/search.py run --quick
    python benchmarks/search.py report

`run` is resumable: every study (problem, method, search seed) is one line in benchmarks/results/search/; a line that is
there is not run again. `report` writes benchmarks/results/search.md from the lines. SMAC3 comes with the `bench` extra.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from machine import code_version
from methods import METHODS, CurveSearch, Params, Search
from numpy.typing import NDArray
from problems import Problem, names, problem

from schedsearch.space import Arm, SearchSpace, arm_of, load_space

Array = NDArray[np.float64]

RESULTS = Path(__file__).with_name("results")
LINES = RESULTS / "search"
MARKS = (24, 48, 96)
QUESTIONS = ("warmup", "decay", "restarts")
CONFIRMATIONS = 6
ARM_SEEDS = {"digits": 4, "mnist1d-mlp": 4, "chars": 4, "mnist1d-conv": 2, "mnist5k": 2}
TOGETHER = 10


def space_of(one: Problem) -> SearchSpace:
    """The space of 28 arms at the problem's range of base LRs."""
    return load_space("framework").with_base_lr(*one.base_lr)


def lines_file(problem_name: str, method: str) -> Path:
    return LINES / f"{problem_name}.{method}.jsonl"


def read_lines(problem_name: str, method: str) -> list[dict[str, Any]]:
    path = lines_file(problem_name, method)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(problem_name: str, method: str, seeds: Sequence[int], marks: Sequence[int]) -> None:
    """The missing studies of this problem and method, several at once so that their runs share batches."""
    done = {line["seed"] for line in read_lines(problem_name, method)}
    missing = [seed for seed in seeds if seed not in done]
    one = problem(problem_name)
    for at in range(0, len(missing), TOGETHER):
        for line in _studies(one, method, missing[at : at + TOGETHER], marks):
            LINES.mkdir(parents=True, exist_ok=True)
            with lines_file(problem_name, method).open("a") as file:
                file.write(json.dumps(line) + "\n")


def _studies(one: Problem, method: str, seeds: Sequence[int], marks: Sequence[int]) -> list[dict[str, Any]]:
    space = space_of(one)
    searches = [METHODS[method](one, space, seed) for seed in seeds]
    ask_s = dict.fromkeys(seeds, 0.0)
    lines = [_new_line(one, method, seed) for seed in seeds]
    for mark in marks:
        while len(searches[0].told) < mark:
            _one_round(searches, min(searches[0].batch(), mark - len(searches[0].told)), ask_s)
        for line, search in zip(lines, searches, strict=True):
            line["runs"][str(mark)] = _recommendation(search)
    for line, search in zip(lines, searches, strict=True):
        line["arms"] = _arms(search)
        line["named"] = _named(search, line)
        line["ask_s"] = round(ask_s[search.seed], 2)
    return lines


def _new_line(one: Problem, method: str, seed: int) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    return {
        "problem": one.name,
        "method": method,
        "seed": seed,
        "date": now,
        "code": code_version(),
        "runs": {},
    }


def _one_round(searches: Sequence[Search], count: int, ask_s: dict[int, float]) -> None:
    """Every study asks for `count` candidates; all are trained together, each study with its own training seed."""
    asked = []
    for search in searches:
        start = time.perf_counter()
        asked.append(search.ask(count))
        ask_s[search.seed] += time.perf_counter() - start
    lrs = np.stack([search.lrs(one) for search, some in zip(searches, asked, strict=True) for one in some])
    seeds = [1000 + search.seed for search in searches for _ in range(count)]
    losses = searches[0].problem.score(lrs, seeds).reshape(len(searches), count)
    for search, some, row in zip(searches, asked, losses, strict=True):
        start = time.perf_counter()
        search.tell(some, [float(loss) if np.isfinite(loss) else None for loss in row])
        ask_s[search.seed] += time.perf_counter() - start


def _recommendation(search: Search) -> dict[str, Any]:
    named = {"recommended": search.recommended(), "observed": search.best_observed()}
    losses = _true_losses(search, [None if one is None else search.lrs(one) for one in named.values()], None)
    found: dict[str, Any] = {"params": _plain(named["recommended"])}
    for name, row in zip(named, losses, strict=True):
        spread = float(row.std(ddof=1) / len(row) ** 0.5) if len(row) > 1 else 0.0
        found[name] = {"loss": _rounded(float(row.mean())), "se": _rounded(spread)}
    return found


def _true_losses(search: Search, curves: Sequence[Array | None], seeds: int | None) -> Array:
    """(len(curves), seeds); an unknown or diverged schedule counts as one that leaves the model untrained."""
    some = [one for one in curves if one is not None]
    losses = search.problem.truth(np.stack(some), seeds)
    losses = np.where(np.isfinite(losses), losses, search.problem.untrained)
    rows = iter(losses)
    nothing = np.full(losses.shape[1], search.problem.untrained)
    return np.stack([nothing if one is None else next(rows) for one in curves])


def _arms(search: Search) -> dict[str, Any]:
    """For each arm the true loss of the best that the search can name; None where it never tried the arm."""
    champions = search.arm_champions()
    known = {arm: one for arm, one in champions.items() if one is not None}
    losses = _true_losses(search, list(known.values()), ARM_SEEDS.get(search.problem.name)).mean(axis=1)
    by_arm = dict(zip(known, losses.tolist(), strict=True))
    return {arm.label: _rounded(by_arm[arm]) if arm in by_arm else None for arm in champions}


def _named(search: Search, line: dict[str, Any]) -> dict[str, Any]:
    """The answers read from the recommended candidate; and, for ours, from champions compared on fresh seeds."""
    recommended = search.recommended()
    answers = {"joint": _answers(search.arm(recommended)) if recommended else None}
    if isinstance(search, CurveSearch):
        answers["confirmed"] = _confirmed(search)
    return answers


def _answers(arm: Arm) -> dict[str, str]:
    return {question.value: answer for question, answer in arm.answers.items()}


def _confirmed(search: CurveSearch) -> dict[str, str]:
    """The champions of all answers and the recommended candidate on the same fresh seeds: the best one's answers."""
    entrants = search.answer_champions()
    recommended = search.recommended()
    if recommended is not None:
        entrants.append(search.space.schedule(recommended))
    curves = np.stack([one.lrs(search.problem.total_updates) for one in entrants])
    rows = np.repeat(curves, CONFIRMATIONS, axis=0)
    seeds = [20_000 + index % CONFIRMATIONS for index in range(len(rows))]
    losses = np.nan_to_num(search.problem.score(rows, seeds), nan=np.inf).reshape(-1, CONFIRMATIONS).mean(axis=1)
    return _answers(arm_of(entrants[int(losses.argmin())]))


def _plain(params: Params | None) -> Params | None:
    if params is None:
        return None
    return {name: _rounded(value) if isinstance(value, float) else value for name, value in params.items()}


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="run the studies that are missing")
    running.add_argument("--problems", default=",".join(names()), help="names, comma separated")
    running.add_argument("--methods", default=",".join(METHODS), help="names, comma separated")
    running.add_argument("--seeds", default="", help="how many search seeds, or first:last+1 (default: 20 or 8)")
    running.add_argument("--quick", action="store_true", help="a look at A and digits; nothing is written")
    commands.add_parser("report", help="write results/search.md")
    options = parser.parse_args(arguments)
    if options.command == "report":
        from report import write_report

        write_report()
        return
    if options.quick:
        _quick()
        return
    for problem_name in options.problems.split(","):
        default = 20 if problem(problem_name).cheap else 8
        for method in options.methods.split(","):
            if method == "smac" and find_spec("smac") is None:
                print("smac is left out: it comes with the `bench` extra.", flush=True)
                continue
            start = time.perf_counter()
            run(problem_name, method, _seeds(options.seeds, default), MARKS)
            print(f"{problem_name} {method}: {time.perf_counter() - start:.0f} s", flush=True)


def _seeds(text: str, default: int) -> range:
    first, colon, end = text.partition(":")
    if not text:
        return range(default)
    return range(int(first), int(end)) if colon else range(int(first))


def _quick() -> None:
    for problem_name in ("A", "digits"):
        for method in ("curve", "random", "tpe", "flat-gp"):
            for line in _studies(problem(problem_name), method, range(2), MARKS[:1]):
                loss = line["runs"][str(MARKS[0])]["recommended"]["loss"]
                print(f"{problem_name} {method} seed {line['seed']}: {loss} after {MARKS[0]} runs", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
