"""What a person sees while a study runs: a live panel on a terminal, plain lines elsewhere, nothing with `--json`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from schedsearch.commands.progress import PhaseProgress, Progress
from schedsearch.privacy import printable
from schedsearch.space import SearchSpace

PLAIN_EVERY_RUNS = 10


def duration(seconds: float | None) -> str:
    """`95` as `1 min 35 s`; an unknown one as `?`."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def headline(progress: Progress) -> str:
    """One line: phase, runs, best so far, time left."""
    best = "none yet" if progress.best_score is None else f"{progress.best_score:.4g} ({progress.best_schedule})"
    left = "" if progress.state != "running" else f", at most {duration(progress.seconds_left)} left"
    wanted = None if progress.phase == "noise" else progress.resolution  # the noise decides the seeds
    fine = "" if wanted is None else f" ({progress.confirm_seeds} seeds a finalist to resolve {wanted:g})"
    were = "was" if progress.copied == 1 else "were"
    known = [f"{progress.copied} {were} taken from earlier studies"] * bool(progress.copied)
    speed = [] if progress.runs_per_hour is None else [f"{progress.runs_per_hour:.0f} an hour"]
    aside = f" ({', '.join([*known, *speed])})" if known or speed else ""
    return printable(
        f"{progress.phase}: {progress.done} of at most {progress.planned} runs{aside}{fine}, "
        f"best {progress.metric} so far {best}{left}"
    )


class LiveView:
    """Context manager; `show` is called every other second. On a terminal a panel is redrawn in place; elsewhere a
    line is printed (to stderr) when the phase changes and every ten runs."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True)
        self._live = None if quiet or not sys.stderr.isatty() else Live(console=self._console, transient=True)
        self._printed: tuple[str, int] | None = None

    def __enter__(self) -> LiveView:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Show where the study stands now."""
        if self._live is not None:
            self._live.update(panel(progress))
        elif not self._quiet:
            self._show_plain(progress)

    def _show_plain(self, progress: Progress) -> None:
        mark = (progress.phase + progress.state, progress.done // PLAIN_EVERY_RUNS)
        if mark != self._printed:
            self._printed = mark
            try:
                print(headline(progress), file=sys.stderr, flush=True)  # noqa: T201
            except OSError:  # nobody reads any more (`| head`), or the disk of a log is full: the study goes on
                self._quiet = True


def panel(progress: Progress) -> RenderableType:
    """The live panel: one bar a phase, best so far, what each worker trains."""
    phases = Table.grid(padding=(0, 2))
    for one in progress.phases:
        phases.add_row(*_phase_cells(one, current=one.phase == progress.phase))
    workers = Table.grid(padding=(0, 2))
    for activity in progress.workers:
        share = f"{activity.updates_done}/{activity.total_updates}"
        age = f"{activity.seconds:.0f} s" + (f", attempt {activity.attempt}" if activity.attempt > 1 else "")
        workers.add_row(
            Text(printable(activity.device), style="dim"), f"run {activity.run_id}", share, age, activity.schedule
        )
    about = [Text(headline(progress)), Text(taken(progress), style="dim")]
    lines = [*about[: 1 + bool(about[1])], *(Text(printable(one), style="yellow") for one in troubles(progress))]
    return Group(Text(f"study {progress.study}", style="bold"), phases, *lines, workers)


def taken(progress: Progress) -> str:
    """What the runs took of their devices, as far as it is known."""
    memory, busy, energy = progress.peak_memory_bytes, progress.utilization, progress.energy_j
    found = [
        "" if memory is None else f"at most {memory / 1e9:.2f} GB a run",
        "" if busy is None else f"device {100 * busy:.0f} % busy",
        "" if energy is None else f"{energy / 3600:.3g} Wh in all",
    ]
    return ", ".join(one for one in found if one)


def troubles(progress: Progress) -> list[str]:
    """What a person should know beyond the numbers: attempts without a result, silent workers, why a study ended."""
    found = [] if progress.reason is None else [f"{progress.state}: {progress.reason}"]
    if progress.failures:
        by_class = ", ".join(f"{number} {failure}" for failure, number in progress.failures.items())
        found.append(f"attempts without a result: {by_class}")
    silent = sum(one.lease_left_s < 0 for one in progress.workers)
    if silent:
        found.append(f"{silent} of {len(progress.workers)} workers have gone silent; others take their runs over")
    return found


def _phase_cells(one: PhaseProgress, *, current: bool) -> tuple[RenderableType, ...]:
    trouble = [f"{one.diverged} diverged"] * bool(one.diverged) + [f"{one.failed} failed"] * bool(one.failed)
    return (
        Text(one.phase, style="bold" if current else "dim"),
        ProgressBar(total=max(1, one.planned), completed=one.done, width=32),
        f"{one.done}/{one.planned}",
        Text(", ".join(trouble), style="yellow"),
    )


def print_progress(progress: Progress) -> None:
    """The panel, once, on stdout."""
    Console().print(panel(progress))


def print_table(rows: Sequence[Mapping[str, Any]], *, empty: str) -> None:
    """Rows of equal keys as a table on stdout."""
    if not rows:
        print(empty)  # noqa: T201
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for key in rows[0]:
        table.add_column(key.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    Console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "ok" if value else "BAD"
    if isinstance(value, tuple):
        return " .. ".join(str(one) for one in value)
    return printable(str(value))


def print_spaces(spaces: Sequence[SearchSpace]) -> None:
    """Each space with its explanation, its arms and its baselines."""
    console = Console()
    for space in spaces:
        console.print(Text(f"{space.name}: {space.title}", style="bold"), Text(f"version {space.version}", style="dim"))
        console.print(Text(space.description.strip()))
        console.print(Text("arms: " + "; ".join(arm.label for arm in space.arms), style="dim"))
        console.print(Text("baselines: " + ", ".join(one.name for one in space.baselines) + "\n", style="dim"))
