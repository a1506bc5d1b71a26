"""`check`: try a task before a study: what it is, what a study of it costs, whether a seed decides it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schedsearch.commands.live import duration
from schedsearch.commands.options import LaunchOptions
from schedsearch.errors import InvalidTask
from schedsearch.search.plan import Budget, Plan, make_plan
from schedsearch.space import load_space
from schedsearch.task.facts import TaskFacts
from schedsearch.task.script import is_script, shown_task
from schedsearch.training.wire import Order
from schedsearch.workers.process import TrainingProcess
from schedsearch.workers.safety import STALL_TIMEOUT_S

EVALUATIONS = 20
COMPARED_UPDATES = 12


@dataclass(frozen=True)
class Checked:
    """What was found. run_s: seconds of one run on one worker; study_s: of the whole study on `workers` of them, at
    most. is_deterministic: two trainings with one seed were equal to the last bit; None: not tried (a script)."""

    task: str
    facts: TaskFacts
    trials: int
    most_runs: int
    workers: int
    run_s: float
    study_s: float
    is_deterministic: bool | None
    resumes: bool

    @property
    def text(self) -> str:
        """For a person."""
        facts = self.facts
        batch = f", batches of {facts.batch_size}" if facts.batch_size else ""
        parameters = f", {facts.parameters:,} parameters" if facts.parameters else ""
        return "\n".join(
            [
                f"{self.task}: {facts.total_updates} updates a run ({facts.updates_per_epoch} an epoch){batch}"
                f"{parameters}, {facts.optimizer}, on {', '.join(facts.devices)}.",
                f"It would {facts.direction} {facts.metric}; base LRs between {facts.base_lr_range[0]:.3g} and "
                f"{facts.base_lr_range[1]:.3g}.",
                f"An update takes {1000 * facts.seconds_per_update:.3g} ms, an evaluation "
                f"{1000 * facts.seconds_per_evaluation:.3g} ms, a run about {_seconds(self.run_s)}{self._start}.",
                f"A study of {self.trials} candidates is at most {self.most_runs} runs: about {duration(self.study_s)} "
                f"on {self.workers} workers.",
                self._repeats,
                self._together,
                "A run that is stopped goes on from its checkpoint, to the last bit."
                if self.resumes
                else "A run that is stopped begins again, unless it calls run.load_checkpoint and run.save_checkpoint.",
            ]
        )

    @property
    def _start(self) -> str:
        start_s = self.facts.seconds_to_start
        return f", {_seconds(start_s)} of it to start" if start_s else ""

    @property
    def _together(self) -> str:
        together = self.facts.together
        if together.most > 1:
            return (
                f"{together.most} runs that wait together are trained as one batched model, {together.gain:.2g} times "
                f"as many in the same time; fewer than {together.fewest} one by one."
            )
        if together.reason:
            return f"Runs are trained one by one. {together.reason}"
        return "Runs are trained one by one: several as one batched model would not be quicker on this device."

    @property
    def _repeats(self) -> str:
        if self.is_deterministic is None:
            return "Whether one seed gives one result was not tried: a script trains its whole horizon."
        if self.is_deterministic:
            return f"Two trainings of {COMPARED_UPDATES} updates with one seed were equal to the last bit."
        return (
            f"Two trainings of {COMPARED_UPDATES} updates with one seed differ: something draws from a generator that "
            "is not seeded, or the hardware does not repeat itself. Seeds still average out."
        )


def check(
    reference: str, options: Mapping[str, Any], *, space: str, trials: int, workers: int | None = None
) -> Checked:
    """Try the task in a process of its own, and work out what a study costs. Raises InvalidTask."""
    training = TrainingProcess(None, STALL_TIMEOUT_S)
    try:
        training.rehearse(reference, options, sizes=True)
        facts = TaskFacts.from_dict(training.facts())
        same = None if is_script(reference) else _repeats(training, reference, options, facts)
    finally:
        training.kill()
    plan = _plan(space, trials, facts)
    count = workers or (len(facts.devices) if facts.devices != ("cpu",) else os.cpu_count() or 1)
    looks_s = EVALUATIONS * facts.seconds_per_evaluation
    run_s = facts.seconds_to_start + facts.total_updates * facts.seconds_per_update + looks_s
    return Checked(
        task=shown_task(reference),
        facts=facts,
        trials=trials,
        most_runs=plan.most_runs,
        workers=count,
        run_s=run_s,
        study_s=plan.most_runs * run_s / count,
        is_deterministic=same,
        resumes=not is_script(reference),
    )


def _plan(space: str, trials: int, facts: TaskFacts) -> Plan:
    ranged = load_space(space).with_base_lr(*facts.base_lr_range)
    return make_plan(
        Budget(trials=trials),
        ranged,
        total_updates=facts.total_updates,
        baselines=len(ranged.baselines),
        noise_seeds=LaunchOptions.model_fields["noise_seeds"].default,
        confirm_seeds=LaunchOptions.model_fields["confirm_seeds"].default,
    )


def _repeats(training: TrainingProcess, reference: str, options: Mapping[str, Any], facts: TaskFacts) -> bool:
    """Whether two short trainings with one seed measure the same."""
    rows = [_measured(training, reference, options, facts) for _ in range(2)]
    return rows[0] == rows[1]


def _measured(
    training: TrainingProcess, reference: str, options: Mapping[str, Any], facts: TaskFacts
) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []

    def record(run: int, new: Sequence[Mapping[str, Any]]) -> None:
        rows.extend(new)

    low, high = facts.base_lr_range
    order = Order(
        task=reference,
        task_options=dict(options),
        task_fingerprint=facts.fingerprint,
        schedule={"base_lr": (low * high) ** 0.5, "decay": {"kind": "linear"}},
        seed=0,
        total_updates=min(COMPARED_UPDATES, facts.total_updates),
        device=facts.devices[0],
        with_test=False,
        attempt=1,
    )
    (answer,) = training.train([order], record, lambda: False, lambda: False)
    if answer.kind not in ("completed", "diverged"):
        raise InvalidTask(f"Training {reference} for {order.total_updates} updates ended badly: {answer.reason}")
    return rows


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 60 else duration(value)
