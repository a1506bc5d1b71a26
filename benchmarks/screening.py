"""Is a shorter horizon a fair judge, does a study's calibration find that out, and what is screening worth?

    python benchmarks/screening.py judge --problems A,B,C,digits,mnist1d-mlp,chars
    python benchmarks/screening.py studies --problems A,B,C,A5 --seeds 10
    python benchmarks/screening.py report

`judge` trains random candidates at the full horizon and at a half, a quarter and an eighth of it. `studies` runs whole
studies of the service (noise to verdict, on a real store, the trainings replaced by a problem's own) with and without
`--screen 4` at the same budget of updates. Both are resumable: lines in results/screening/; `report` writes
results/screening.md from them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from machine import about_machine, code_version
from numpy.typing import NDArray
from problems import Problem, problem
from report import table
from search import space_of

from schedsearch.commands.preparation import _queue_baselines, _queue_noise
from schedsearch.evidence import calibrate
from schedsearch.evidence.noise import rank_correlation
from schedsearch.schedule import Schedule
from schedsearch.search.plan import Budget, make_plan
from schedsearch.space import SearchSpace
from schedsearch.store import NewStudy, RunResult, RunState, Store, Study, StudyState
from schedsearch.workers.planner import Planner
from schedsearch.workers.rows import named_baselines
from schedsearch.workers.screening import CALIBRATION

Array = NDArray[np.float64]

RESULTS = Path(__file__).with_name("results")
LINES = RESULTS / "screening"
RATIOS = (2, 4, 8)
CANDIDATES, DRAWS = 96, 400
RATIO, TRIALS = 4, 48


# ---- is it a fair judge?


def judge(one: Problem) -> dict[str, Any]:
    """Random candidates at the full horizon and at shorter ones, all with one seed: losses, None for a divergence."""
    space, rng = space_of(one), np.random.default_rng(0)
    schedules = [space.schedule(space.draw(rng)) for _ in range(CANDIDATES)]
    losses = {ratio: _losses(one, schedules, one.total_updates // ratio) for ratio in (1, *RATIOS)}
    return {"problem": one.name, "code": code_version(), "losses": losses}


def _losses(one: Problem, schedules: list[Schedule], updates: int) -> list[float | None]:
    curves = np.stack([schedule.lrs(updates, None) for schedule in schedules])
    found = one.score(curves, [0] * len(curves))
    return [float(loss) if np.isfinite(loss) else None for loss in found]


def judged(line: dict[str, Any], ratio: int) -> list[str]:
    """A row: rank agreement, the share of the true top kept, and how many calibrations would switch screening on."""
    full, short = line["losses"]["1"], line["losses"][str(ratio)]
    pairs = list(zip(short, full, strict=True))
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    updates = problem(line["problem"]).total_updates
    horizons = {"short": updates // ratio, "full": updates}
    every = calibrate(pairs, "minimize", **horizons)
    rng = np.random.default_rng(1)
    draws = [rng.choice(len(pairs), CALIBRATION, replace=False) for _ in range(DRAWS)]
    on = [calibrate([pairs[index] for index in some], "minimize", **horizons) for some in draws]
    rank = rank_correlation([a for a, _ in both], [b for _, b in both])
    return [
        line["problem"],
        f"T / {ratio}",
        "" if rank is None else f"{rank:.2f}",
        f"{every.kept} of {every.top}",
        f"{100 * np.mean([one.holds for one in on]):.0f} %",
    ]


# ---- what is it worth?


def study(one: Problem, seed: int, ratio: int | None) -> dict[str, Any]:
    """One study of the service on this problem: the true loss of what its search and its race found, and what screening
    did. The seed moves the study's own seeds and so every training's."""
    with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{folder}/study.db") as store:
        done = _serve(store, _write(store, one, seed, ratio), one)
        verdict = store.verdict(done.id)
        assert verdict is not None
        schedules = {row.id: row.schedule for row in store.candidates(done.id)}
        winner = schedules[verdict.winner_id].lrs(one.total_updates, None)
        runs = store.runs(done.id)
    screened = verdict.details["screening"]
    return {
        "problem": one.name,
        "seed": seed,
        "screen": ratio,
        "code": code_version(),
        "loss": float(np.nanmean(one.truth(winner[None]))),
        "updates": sum(run.total_updates for run in runs),
        "candidates": len({run.candidate_id for run in runs}),
        "on": None if screened is None else screened["calibration"]["low"] > 0.5,
    }


def _write(store: Store, one: Problem, seed: int, ratio: int | None) -> Study:
    space, budget = space_of(one), Budget(trials=TRIALS)
    plan = make_plan(
        budget, space, total_updates=one.total_updates, baselines=len(space.baselines), noise_seeds=3, confirm_seeds=6
    )
    new = NewStudy(
        name="study", task=one.name, task_options={}, task_fingerprint="", metric="loss", direction="minimize",
        space_name=space.name, space_version=space.version, space=space.to_dict(), strategy="curve",
        seed=10_000 * seed, total_updates=one.total_updates, updates_per_epoch=1, plan=plan.to_dict(),
        code_version="", optuna_study="study", budget={**budget.to_dict(), "screen": ratio},
    )  # fmt: skip
    written = store.create_study(new)
    _queue_noise(store, written, SearchSpace.from_dict(written.space), plan)
    _queue_baselines(store, written, named_baselines(space, None))
    return written


def _serve(store: Store, written: Study, one: Problem) -> Study:
    planner = Planner(store, written, "worker")
    while store.study(written.name).state is StudyState.RUNNING:
        claim = store.claim("worker", lease_s=600, device="cpu", study_id=written.id)
        if claim is None:
            planner.step()
            continue
        curve = claim.candidate.schedule.lrs(claim.total_updates, None)
        loss = float(one.score(curve[None], [claim.seed])[0])
        state = RunState.COMPLETED if np.isfinite(loss) else RunState.DIVERGED
        score = loss if np.isfinite(loss) else None
        store.finish(
            claim, RunResult(state, score, None, claim.total_updates, initial_loss=one.untrained, duration_s=0.1), []
        )
    return store.study(written.name)


# ---- lines and tables


def append(name: str, line: dict[str, Any]) -> None:
    LINES.mkdir(parents=True, exist_ok=True)
    with (LINES / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps({"date": f"{datetime.now(UTC):%Y-%m-%d}", **line}) + "\n")


def read(name: str) -> list[dict[str, Any]]:
    path = LINES / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def worth(lines: list[dict[str, Any]], name: str) -> list[str]:
    """A row: true loss of the winner without and with screening, and how many studies it was on in."""
    mine = [line for line in lines if line["problem"] == name]
    groups = {ratio: [line for line in mine if line["screen"] == ratio] for ratio in (None, RATIO)}
    cells = []
    for group in groups.values():
        losses = np.array([line["loss"] for line in group])
        updates = np.mean([line["updates"] for line in group]) / problem(name).total_updates
        candidates = np.mean([line["candidates"] for line in group])
        error = losses.std(ddof=1) / len(losses) ** 0.5
        cells += [f"{losses.mean():.4g} ±{error:.1g} ({len(losses)})", f"{candidates:.0f}", f"{updates:.0f}"]
    on = [line["on"] for line in groups[RATIO]]
    return [name, *cells, f"{sum(on)} of {len(on)}"]


def write_report() -> None:
    judges, studies = read("judge"), read("studies")
    text = [
        "# Screening at a shorter horizon",
        "",
        f"Written {datetime.now(UTC):%Y-%m-%d} by `python benchmarks/screening.py`. {about_machine()}",
        "",
        "## Is a shorter horizon a fair judge?",
        "",
        f"{CANDIDATES} random candidates of `framework`, one training each. `kept`: how many of the truly best quarter",
        "are among the best third at the shorter horizon. `switched on`: the share of calibrations, each of",
        f"{CALIBRATION} of these candidates, after which a study would screen.",
        "",
        *table(
            ["problem", "horizon", "rank agreement", "kept", "switched on"],
            [judged(line, ratio) for line in judges for ratio in RATIOS],
        ),
        "## What is it worth?",
        "",
        f"Whole studies with a budget of {TRIALS} candidates, without and with `--screen {RATIO}`: the true loss of",
        "the race's winner, how many candidates were seen, and what was trained in all, in runs of the full horizon.",
        "",
        *table(
            ["problem", "loss without", "candidates", "runs", "loss with", "candidates", "runs", "switched on"],
            [worth(studies, name) for name in dict.fromkeys(line["problem"] for line in studies)],
        ),
    ]
    (RESULTS / "screening.md").write_text("\n".join(text).rstrip() + "\n")
    print((RESULTS / "screening.md").read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["judge", "studies", "report"])
    parser.add_argument("--problems", default="A,B,C,A5,digits,mnist1d-mlp,chars")
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    if given.what == "report":
        write_report()
    for name in given.problems.split(",") if given.what != "report" else ():
        if given.what == "judge" and name not in {line["problem"] for line in read("judge")}:
            append("judge", judge(problem(name)))
        elif given.what == "studies":
            done = {(line["problem"], line["seed"], line["screen"]) for line in read("studies")}
            for seed in range(given.seeds):
                for ratio in (None, RATIO):
                    if (name, seed, ratio) not in done:
                        append("studies", study(problem(name), seed, ratio))
        print(f"{given.what}: {name}", flush=True)


if __name__ == "__main__":
    main()
