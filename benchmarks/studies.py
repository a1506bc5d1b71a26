"""The main job on the built-in tasks: whole studies, and what they concluded.

    python benchmarks/studies.py [--tasks charlm mnist1d digits] [--trials 48] [--seed 0] [--folder FOLDER]

Launches one study a task with the default space and writes each command's own output to
benchmarks/results/studies.md; where Chromium is there, also pictures of the first one's report and of its page in
MLflow. Takes ten minutes to an hour and a half on two cores. The folder (a temporary one unless named) keeps the
databases, so that a run that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

SCHEDSEARCH = Path(sys.executable).with_name("schedsearch")
RESULTS = Path(__file__).parent / "results" / "studies.md"
VERSIONS = ("schedsearch", "torch", "optuna", "botorch")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update")  # fmt: skip
MLFLOW, PORT = "sqlite:///mlflow.db", "5057"


def study(task: str, trials: int, seed: int, folder: Path) -> str:
    """What `launch` printed for this task; a study that was begun in `folder` goes on."""
    name = f"{task}-{trials}-{seed}"
    fresh = ["--task", task, "--study", name, "--trials", str(trials), "--seed", str(seed)]
    begun = ["--resume", name] if known(name, folder) else fresh
    command = [SCHEDSEARCH, "launch", *begun, "--mlflow", "none"]
    done = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return f"## {task}\n\n    $ schedsearch launch {' '.join(fresh)} --mlflow none\n" + "".join(
        f"    {line}\n" if line else "\n" for line in done.stdout.splitlines()
    )


def known(name: str, folder: Path) -> bool:
    """Whether a study of this name was begun in the folder."""
    if not (folder / "schedsearch.db").exists():
        return False
    command = [SCHEDSEARCH, "studies", "--json"]
    listed = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
    return f'"name": "{name}"' in listed.stdout


def pictures(name: str, folder: Path) -> None:
    """results/report.png and results/mlflow.png: the top of the report, and the saved view "who won"."""
    chromium = next((found for one in CHROMIUM if (found := shutil.which(one))), None)
    if chromium is None:
        print("No pictures: there is no chromium on this machine.")
        return
    report = (folder / "schedsearch-results" / name / "report.html").resolve()
    shoot(chromium, report.as_uri(), RESULTS.with_name("report.png"), (1180, 1300))
    subprocess.run([SCHEDSEARCH, "sync", name, "--mlflow", MLFLOW], cwd=folder, check=True, stdout=subprocess.PIPE)
    server = subprocess.Popen(
        [SCHEDSEARCH.with_name("mlflow"), "server", "--workers", "1", "--backend-store-uri", MLFLOW, "--port", PORT],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        page = f"http://127.0.0.1:{PORT}/{who_won(name, folder)}"
        shoot(chromium, page, RESULTS.with_name("mlflow.png"), (1900, 1000), crop=1408)
    finally:
        os.killpg(server.pid, signal.SIGTERM)


def who_won(name: str, folder: Path) -> str:
    """The link in the note of the study's run, once the server answers."""
    from mlflow import MlflowClient

    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2).close()
            break
        except OSError:
            time.sleep(0.2)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    every = [one.experiment_id for one in client.search_experiments()]
    (run,) = client.search_runs(every, f"tags.`schedsearch.study` = '{name}'")
    return run.data.tags["mlflow.note.content"].partition("[Who won](")[2].partition(")")[0]


def shoot(chromium: str, url: str, to: Path, size: tuple[int, int], crop: int | None = None) -> None:
    """A picture of a page at this window size; crop: how much of its width is kept."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        window = f"--window-size={size[0]},{size[1]}"
        kept = [f"--user-data-dir={profile}", window, f"--screenshot={to}", "--virtual-time-budget=60000"]
        subprocess.run([chromium, *FLAGS, *kept, url], check=True, stderr=subprocess.DEVNULL)
    if crop is not None:
        from PIL import Image

        with Image.open(to) as picture:
            picture.crop((0, 0, crop, size[1])).save(to, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["charlm", "mnist1d", "digits"])
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="schedsearch-studies-"))
    folder.mkdir(parents=True, exist_ok=True)
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in VERSIONS)
    head = (
        "# Whole studies on the built-in tasks\n\n"
        f"Written by `python benchmarks/studies.py` on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {versions}; space `framework`, {given.trials} candidates, "
        f"study seed {given.seed}.\n\n"
    )
    texts = [study(task, given.trials, given.seed, folder) for task in given.tasks]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(head + "\n".join(texts))
    print(RESULTS.read_text())
    pictures(f"{given.tasks[0]}-{given.trials}-{given.seed}", folder)


if __name__ == "__main__":
    main()
