"""The example scripts as a person would use them: one whole study each, and what it concluded.

    python benchmarks/examples.py [--only mnist_cnn tabular_regression] [--trials 6] [--seed 0] [--folder FOLDER]

Launches `schedsearch launch -- python examples/X.py ...` for each, with the script's own schedule as the incumbent, and
writes benchmarks/results/examples.md: lines that attach it, minutes from start to verdict, the verdict. Half an hour to
an hour on two cores. Each verdict is kept in the folder (a temporary one unless named), so that one that was
interrupted goes on, and the file is written anew after each.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from machine import about_machine

ROOT = Path(__file__).parents[1]
SCHEDSEARCH = Path(sys.executable).with_name("schedsearch")
RESULTS = Path(__file__).parent / "results" / "examples.md"
VERSIONS = ("lightning", "transformers", "accelerate", "mlxtend")
SETTINGS = ("--space", "quick", "--noise-seeds", "2", "--confirm-seeds", "4", "--mlflow", "none")
COMMANDS = {
    "mnist_cnn": ("--epochs", "2", "--digits", "2500"),
    "char_gpt": ("--max-updates", "100"),
    "lightning_module": ("--epochs", "3"),
    "bert_trainer": ("--epochs", "2"),
    "tabular_regression": ("--epochs", "10"),
}
OWN = {
    "mnist_cnn": {"base_lr": 0.05, "decay": {"kind": "step", "drops": 1, "gamma": 0.5}},
    "char_gpt": {
        "base_lr": 0.003,
        "warmup": {"kind": "linear", "fraction": 0.05, "start_factor": 1 / 6},
        "decay": {"kind": "cosine", "final_factor": 0.1},
    },
    "lightning_module": {"base_lr": 0.01, "decay": {"kind": "cosine", "final_factor": 0.0}, "step_every": "epoch"},
    "bert_trainer": {"base_lr": 0.002, "decay": {"kind": "linear", "final_factor": 0.0}},
    "tabular_regression": {"base_lr": 0.01, "decay": {"kind": "cosine", "final_factor": 0.0}},
}


@dataclass(frozen=True)
class Ended:
    """One study. minutes: from the command's start to its verdict; runs: trainings, all phases together."""

    command: str
    minutes: float
    runs: int
    said: str


def study(name: str, trials: int, seed: int, folder: Path) -> Ended:
    """The study of this example; one that ended in this folder before is read back."""
    kept = folder / f"{name}.json"
    if kept.exists():
        return Ended(**json.loads(kept.read_text()))
    (folder / f"{name}_own.json").write_text(json.dumps(OWN[name]))
    script = ["--", "python", f"examples/{name}.py", *COMMANDS[name]]
    shown = [*SETTINGS, "--trials", str(trials), "--seed", str(seed), "--incumbent", "own.json", *script]
    here = [str(folder / f"{name}_own.json") if one == "own.json" else one for one in shown]
    store = ["--storage", f"sqlite:///{folder}/{name}-{time.time_ns()}.db", "--output-dir", str(folder / "results")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started = time.perf_counter()
    done = subprocess.run(
        [SCHEDSEARCH, "launch", *store, *here],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    minutes = (time.perf_counter() - started) / 60
    runs = max(int(one) for one in re.findall(r"(\d+) of at most", done.stderr))
    said = "\n".join(line for line in done.stdout.splitlines() if not line.startswith(("report", "export"))).strip()
    ended = Ended(f"schedsearch launch {' '.join(shown)}", minutes, runs, re.sub(r"\n{3,}", "\n\n", said))
    kept.write_text(json.dumps(asdict(ended)))
    return ended


def row(name: str, ended: Ended) -> str:
    """The example's line of the table."""
    lines = (ROOT / "examples" / f"{name}.py").read_text().splitlines()
    attached = sum(line.endswith("# +") for line in lines)
    own = json.dumps(OWN[name]["decay"]["kind"]).strip('"')
    return (
        f"| [{name}.py](../../examples/{name}.py) | {attached} of {len(lines)} | {ended.minutes:.1f} | {ended.runs} "
        f"| {found(ended.said)} | {lead(ended.said, own)} |"
    )


def found(said: str) -> str:
    """The schedule that the verdict recommends, and its score."""
    match = re.search(r"Use (?:the winner and )?(?:the simplest of them[^,]*, )?(.*? over \d+ seeds)", said)
    return match[1] if match else "see below"


def lead(said: str, own: str) -> str:
    """How far it is ahead of the script's own schedule: the verdict's `incumbent` or `your own schedule`."""
    lower = re.search(r"incumbent by ([^)]*\))", said)
    tie = re.search(r"incumbent \((lead [^)]*)\)", said)
    behind = re.search(r"\(your own schedule\); (its lead over the recommended one is [^)]*\))", said)
    if lower:
        return f"{own}: better by {lower[1]}"
    if tie or behind:
        return f"{own}: a tie, {tie[1] if tie else behind[1] if behind else ''}"
    return f"{own}: it is the one" if "your own schedule" in said else f"{own}: see below"


def page(ended: dict[str, Ended], trials: int, seed: int, note: str) -> str:
    """The result as Markdown."""
    missing = [name for name in COMMANDS if name not in ended]
    left_out = f" Not run this time: {', '.join(missing)}." if missing else ""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in VERSIONS)
    head = (
        "# The example scripts, from start to verdict\n\n"
        f"Written by `python benchmarks/examples.py --trials {trials} --seed {seed}` on {datetime.now(UTC):%Y-%m-%d}: "
        f"{about_machine().removesuffix('.')}, {versions}.{note and ' '}{note} Small settings: short trainings, few "
        "candidates, 4 fresh seeds a finalist. Minutes are of the whole command; every run starts its script anew."
        f"{left_out}\n\n"
        "| example | lines that attach it | minutes | runs | recommended | against its own schedule, base LR tuned |\n"
        "|---|--:|--:|--:|---|---|\n"
    )
    rows = "\n".join(row(name, one) for name, one in ended.items())
    texts = "".join(
        f"\n## {name}\n\n    $ {one.command}\n\n"
        + "".join(f"    {line}\n" if line else "\n" for line in one.said.splitlines())
        for name, one in ended.items()
    )
    return f"{head}{rows}\n{texts}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS))
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--note", default="", help="a sentence about the machine, such as what else it did")
    given = parser.parse_args()
    folder = (given.folder or Path(tempfile.mkdtemp(prefix="schedsearch-examples-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    ended: dict[str, Ended] = {}
    for name in given.only:
        ended[name] = study(name, given.trials, given.seed, folder)
        RESULTS.write_text(page(ended, given.trials, given.seed, given.note))
        print(row(name, ended[name]), flush=True)


if __name__ == "__main__":
    main()
