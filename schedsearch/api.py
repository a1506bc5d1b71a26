"""For notebooks and programs: `study = schedsearch.find_schedule("digits")`, then verdict, frame and figures.

The same launch, store and report as the command line; a study that was run there opens here, and the other way round.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schedsearch.commands.inspect import require_file_store
from schedsearch.commands.launch import launch
from schedsearch.commands.live import LiveView
from schedsearch.commands.options import DEFAULT_STORAGE, LaunchOptions
from schedsearch.commands.outputs import write_report
from schedsearch.commands.progress import Progress
from schedsearch.errors import InvalidInput, SchedsearchError
from schedsearch.report.data import load_report_data
from schedsearch.report.values import ReportData
from schedsearch.schedule import Schedule
from schedsearch.script import Run
from schedsearch.store import Store, Verdict

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from schedsearch.task import Task


@dataclass(frozen=True)
class Best:
    """The recommended schedule with its confirmed score: the mean over `seeds` fresh seeds and its 95 % interval."""

    schedule: Schedule
    score: float | None
    low: float | None
    high: float | None
    seeds: int


@dataclass(frozen=True)
class Study:
    """A study of the store at `storage`. Everything is read from the store when it is asked for."""

    name: str
    storage: str = DEFAULT_STORAGE

    @property
    def verdict(self) -> Verdict:
        """What was concluded; `verdict.text` in words. Raises SchedsearchError where there is no verdict yet."""
        with self._store() as store:
            study = store.study(self.name)
            found = store.verdict(study.id)
        if found is None:
            raise SchedsearchError(f"The study {self.name!r} has no verdict yet (it is {study.state.value}).")
        return found

    @property
    def best(self) -> Best:
        """What to use. Raises SchedsearchError where there is no verdict yet."""
        verdict = self.verdict
        row = next(one for one in verdict.standings if one.candidate_id == verdict.recommended_id)
        with self._store() as store:
            (candidate,) = store.candidates(store.study(self.name).id, ids={verdict.recommended_id})
        return Best(candidate.schedule, row.mean, row.ci_low, row.ci_high, row.seeds)

    def frame(self) -> pd.DataFrame:
        """One row a run, in the order in which they were queued: phase, seed, score, the three answers, base LR, ..."""
        import pandas as pd

        with self._store() as store:
            study = store.study(self.name)
            candidates = {one.id: one for one in store.candidates(study.id)}
            runs = store.runs(study.id)
        rows = [
            {
                "run": run.id,
                "phase": run.phase.value,
                "state": run.state.value,
                "seed": run.seed,
                "score": run.score,
                "test_score": run.test_score,
                "candidate": run.candidate_id,
                "kind": candidates[run.candidate_id].kind,
                "warmup": candidates[run.candidate_id].answer_warmup,
                "decay": candidates[run.candidate_id].answer_decay,
                "restarts": candidates[run.candidate_id].answer_restarts,
                "base_lr": candidates[run.candidate_id].schedule.base_lr,
                "schedule": candidates[run.candidate_id].schedule.describe(),
                "total_updates": run.total_updates,
                "duration_s": run.duration_s,
                "peak_memory_bytes": run.peak_memory_bytes,
                "utilization": run.utilization,
                "energy_j": run.energy_j,
                "trained_together": run.trained_together,
                "copied_from": run.copied_from,
            }
            for run in runs
        ]
        return pd.DataFrame(rows).set_index("run") if rows else pd.DataFrame()

    def plot_schedules(self) -> Figure:
        """The learning rate of every finalist over the updates, the recommended one bold."""
        from plotly.graph_objects import Figure, Scatter

        data = self._data()
        figure = Figure()
        for one in data.finalists:
            width = 4 if one.is_recommended else 1.5
            figure.add_trace(Scatter(x=one.lrs.x, y=one.lrs.y, name=one.name, mode="lines", line={"width": width}))
        return figure.update_layout(
            title=f"{self.name}: the finalists", xaxis_title="update", yaxis_title="learning rate"
        )

    def plot_answers(self) -> Figure:
        """For every question that the space asks: searched runs by base LR and answer, confirmed answers with their
        95 % intervals."""
        from plotly.graph_objects import Scatter
        from plotly.subplots import make_subplots

        data = self._data()
        asked = [one for one in data.questions if one.is_asked]
        if not asked:
            raise SchedsearchError(f"The study {self.name!r} has no answers to draw yet.")
        figure = make_subplots(1, len(asked), subplot_titles=[f"{one.title}: {one.chosen}" for one in asked])
        for column, question in enumerate(asked, start=1):
            for answer in dict.fromkeys(one.answers[question.key] for one in data.searched):
                runs = [one for one in data.searched if one.answers[question.key] == answer and one.score is not None]
                x, y = [one.base_lr for one in runs], [one.score for one in runs]
                figure.add_trace(Scatter(x=x, y=y, name=answer, mode="markers", opacity=0.5), 1, column)
            confirmed = [one for one in question.answers if one.confirmed and one.score.value is not None]
            figure.add_trace(_diamonds(confirmed), 1, column)
            figure.update_xaxes(type="log", title="base LR", row=1, col=column)
        return figure.update_layout(title=self.name, yaxis_title=data.study.metric, showlegend=False)

    def write_report(self, path: str | Path) -> Path:
        """The whole report as one self-contained HTML file."""
        with self._store() as store:
            return write_report(store, self.name, Path(path))

    def _repr_html_(self) -> str:
        """In a notebook: the verdict."""
        lines = self.verdict.text.splitlines()
        return f"<h4>{escape(self.name)}</h4>" + "".join(f"<p>{escape(line)}</p>" for line in lines)

    def _data(self) -> ReportData:
        with self._store() as store:
            return load_report_data(store, self.name)

    def _store(self) -> Store:
        require_file_store(self.storage)
        return Store.open(self.storage)


def _diamonds(answers: Any) -> Any:
    from plotly.graph_objects import Scatter

    means = [one.score.value for one in answers]
    return Scatter(
        x=[one.base_lr for one in answers],
        y=means,
        text=[one.answer for one in answers],
        mode="markers+text",
        textposition="top center",
        marker={"symbol": "diamond", "size": 11},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [(one.score.high or mean) - mean for one, mean in zip(answers, means, strict=True)],
            "arrayminus": [mean - (one.score.low or mean) for one, mean in zip(answers, means, strict=True)],
        },
    )


def find_schedule(task: str | type[Task] | Callable[[Run], object], *, progress: bool = True, **options: Any) -> Study:
    """Run a study from here to its verdict, as `schedsearch launch` does, with workers as processes of this machine.

    task: a built-in task, `pkg.module:Name`, `path/file.py:Name`, or a Task class or training function that lies in a
    file. options: those of `launch` by name (trials, space, storage, study, seed, workers, resolution, ...). progress:
    lines on stderr, a live panel on a terminal.

    Raises InvalidInput (nothing was written) for bad options or a class that workers cannot import; SchedsearchError.
    """
    given = LaunchOptions.from_values({"mlflow": "none", **options, "task": reference_of(task)})
    with LiveView(quiet=not progress) as view:
        watch: Callable[[Progress], None] = view.show
        done = launch(given, watch)
    return Study(done.study, given.storage)


def open_study(name: str, storage: str = DEFAULT_STORAGE) -> Study:
    """A study that was run before, here or by the command line. Raises UnknownStudy, StoreError."""
    require_file_store(storage)
    with Store.open(storage) as store:
        store.study(name)
    return Study(name, storage)


def reference_of(task: str | type[Task] | Callable[[Run], object]) -> str:
    """How workers find this task or function. Raises InvalidInput for one that lies in no file."""
    if isinstance(task, str):
        return task
    try:
        path = Path(inspect.getfile(task))
    except (OSError, TypeError):
        path = None
    if "<locals>" in task.__qualname__ or path is None or not path.is_file():
        raise InvalidInput(
            f"The task {task.__qualname__} must lie at the top of a file that workers can import, but was made in this "
            "session: write it to a file (in a notebook: %%writefile task.py) and import it."
        )
    if task.__module__ == "__main__" or "." in task.__qualname__:
        return f"{path}:{task.__qualname__}"
    return f"{task.__module__}:{task.__qualname__}"
