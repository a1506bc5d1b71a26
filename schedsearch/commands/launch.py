"""`launch`: check everything, write the study and its plan, start the workers, watch them, hand over the results."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import schedsearch
from schedsearch.commands.options import LaunchOptions
from schedsearch.commands.outputs import Outputs, write_outputs
from schedsearch.commands.preflight import TaskFacts, try_task
from schedsearch.commands.progress import Progress, read_progress
from schedsearch.errors import (
    InvalidInput,
    InvalidSchedule,
    NoSuccessfulRun,
    SchedsearchError,
    StudyExists,
    UnknownStudy,
)
from schedsearch.schedule import Schedule, relative_bound
from schedsearch.search.plan import Plan, make_plan
from schedsearch.space import Baseline, SearchSpace, load_space
from schedsearch.store import NewRun, NewStudy, Phase, RunState, Store, Study, StudyState
from schedsearch.workers.desk import seeds_of
from schedsearch.workers.local import LocalWorkers, posts
from schedsearch.commands.mirroring import MirrorProcess
from schedsearch.workers.rows import NamedSchedule, new_candidate

POLL_S = 0.2
NOISE_BASELINE = "warmup_cosine"


@dataclass(frozen=True)
class Launched:
    """What a finished launch leaves behind."""

    study: str
    outputs: Outputs


def launch(options: LaunchOptions, watch: Callable[[Progress], None]) -> Launched:
    """Run a study from here to its verdict; `watch` is called a few times a second with where it stands.

    Raises InvalidInput (nothing was written), NoSuccessfulRun, KeyboardInterrupt (the study is stopped and can be
    resumed), or another SchedsearchError.
    """
    if options.resume is not None:
        study = _reopen(options)
    else:
        study = prepare(options)
    return _run(options, study, watch)


def prepare(options: LaunchOptions) -> Study:
    """Check everything that can be wrong, then write the study, its noise candidate and its first runs."""
    budget = options.budget
    space = load_space(options.space)
    incumbent = None if options.incumbent is None else read_schedule(options.incumbent)
    name = options.study_name(datetime.now())
    with Store.open(options.storage) as store:
        _refuse_existing(store, name, space)
        facts = try_task(str(options.task), _task_options(options))
        space = space.with_base_lr(*(options.base_lr or space.base_lr or facts.base_lr_range))
        for one in (
            *(baseline.schedule for baseline in space.baselines),
            *([incumbent] if incumbent else []),
        ):
            one.lrs(facts.total_updates, facts.updates_per_epoch)
        plan = make_plan(
            budget,
            space,
            total_updates=facts.total_updates,
            baselines=len(space.baselines) + (incumbent is not None),
            noise_seeds=options.noise_seeds,
            confirm_seeds=options.confirm_seeds,
        )
        study = store.create_study(_new_study(options, name, space, facts, plan, incumbent))
        _queue_noise(store, study, space, plan)
        return study


def read_schedule(path: Path) -> Schedule:
    """The schedule in a JSON file in the serialized form. Raises InvalidInput naming the file."""
    try:
        return Schedule.from_dict(json.loads(path.read_text()))
    except (OSError, json.JSONDecodeError) as error:
        raise InvalidInput(f"The incumbent schedule {path} cannot be read: {error}") from error
    except InvalidSchedule as error:
        raise InvalidInput([f"{path}: {fault}" for fault in error.faults]) from error


def _refuse_existing(store: Store, name: str, space: SearchSpace) -> None:
    try:
        there = store.study(name)
    except UnknownStudy:
        return
    if there.space_name != space.name:
        raise StudyExists(
            f"The study {name!r} exists with the space {there.space_name!r}, not {space.name!r}; choose another --study name."
        )
    raise StudyExists(
        f"The study {name!r} exists already; go on with `schedsearch launch --resume {name}` or choose another name."
    )


def _task_options(options: LaunchOptions) -> dict[str, Any]:
    given = dict(options.task_options)
    if options.total_updates is not None:
        given["total_updates"] = options.total_updates
    return given


def _new_study(
    options: LaunchOptions,
    name: str,
    space: SearchSpace,
    facts: TaskFacts,
    plan: Plan,
    incumbent: Schedule | None,
) -> NewStudy:
    budget = {
        **options.budget.to_dict(),
        "incumbent": None if incumbent is None else incumbent.to_dict(),
        "optimizer": facts.optimizer,
        "batch_size": facts.batch_size,
        "parameters": facts.parameters,
    }
    return NewStudy(
        name=name,
        task=_portable(str(options.task)),
        task_options=_task_options(options),
        task_fingerprint=facts.fingerprint,
        metric=facts.metric,
        direction=facts.direction,
        space_name=space.name,
        space_version=space.version,
        space=space.to_dict(),
        strategy=options.strategy,
        seed=options.seed,
        total_updates=facts.total_updates,
        updates_per_epoch=facts.updates_per_epoch,
        budget=budget,
        plan=plan.to_dict(),
        code_version=schedsearch.__version__,
        optuna_study=name,
    )


def _portable(reference: str) -> str:
    """A task file is stored by its absolute path, so that workers started elsewhere on this machine find it."""
    path, colon, attribute = reference.rpartition(":")
    return f"{Path(path).resolve()}{colon}{attribute}" if path.endswith(".py") else reference


def _queue_noise(store: Store, study: Study, space: SearchSpace, plan: Plan) -> None:
    candidate_id = store.add_candidate(study.id, new_candidate(_noise_schedule(study, space)))
    seeds = seeds_of(study.seed, Phase.NOISE, plan.noise_seeds)
    store.add_runs(
        study.id, [NewRun(candidate_id, Phase.NOISE, 0, seed, study.total_updates) for seed in seeds]
    )


def _noise_schedule(study: Study, space: SearchSpace) -> NamedSchedule:
    """One baseline in the middle of the range, shifted by the convex bound's best scale of its shape."""
    assert space.base_lr is not None  # noqa: S101 - set by prepare
    low, high = space.base_lr
    baselines = {one.name: one for one in space.baselines}
    fallback = Baseline("constant", Schedule.from_dict({"base_lr": 1.0, "decay": {"kind": "constant"}}))
    baseline = baselines.get(NOISE_BASELINE) or next(iter(baselines.values()), fallback)
    scale = relative_bound(baseline.schedule, study.total_updates, study.updates_per_epoch).best_scale
    lr = min(high, max(low, (low * high) ** 0.5 * scale))
    return NamedSchedule("baseline", baseline.name, baseline.schedule.with_base_lr(lr))


def _reopen(options: LaunchOptions) -> Study:
    with Store.open(options.storage) as store:
        study = store.study(str(options.resume))
        if study.state is StudyState.FINISHED:
            return study
        facts = try_task(study.task, study.task_options)
        if facts.fingerprint != study.task_fingerprint:
            raise InvalidInput(
                f"The task {study.task!r} has changed since the study {study.name!r} began; "
                "its results would not be comparable. Launch a new study."
            )
        store.set_study_state(study.id, StudyState.RUNNING)
        return store.study(study.name)


def _run(options: LaunchOptions, study: Study, watch: Callable[[Progress], None]) -> Launched:
    folder = options.output_dir / study.name
    where = posts(_devices(options), options.workers, os.cpu_count() or 1)
    workers = LocalWorkers(options.storage, study.name, where, folder / "logs")
    mirror = MirrorProcess(options.storage, study.name, options.mlflow, folder)
    with Store.open(options.storage) as store:
        try:
            if study.state is not StudyState.FINISHED:
                workers.start()
                mirror.start()
                _watch(store, study.name, workers, watch)
        except KeyboardInterrupt:
            store.set_study_state(study.id, StudyState.STOPPED, "interrupted")
            raise
        finally:
            workers.stop()
            mirror.stop_following()
        outputs = write_outputs(store, study.name, folder)
        mirror.finish()
    return Launched(study.name, replace(outputs, mlflow_url=mirror.url()))


def _devices(options: LaunchOptions) -> list[str]:
    if options.devices:
        return list(options.devices)
    from schedsearch.training.devices import default_devices

    return default_devices()


def _watch(store: Store, name: str, workers: LocalWorkers, watch: Callable[[Progress], None]) -> None:
    while True:
        progress = read_progress(store, name)
        watch(progress)
        if progress.state != StudyState.RUNNING.value:
            break
        workers.revive()
        if workers.alive() == 0:
            _no_worker_left(store, name, workers)
            break
        time.sleep(POLL_S)
    _raise_if_failed(store, name)


def _no_worker_left(store: Store, name: str, workers: LocalWorkers) -> None:
    study = store.study(name)
    if study.state is StudyState.RUNNING:
        store.set_study_state(study.id, StudyState.STOPPED, "no worker left")
        raise SchedsearchError(
            f"Every worker ended before the study did. Last lines of a log:\n{workers.last_words()}"
        )


def _raise_if_failed(store: Store, name: str) -> None:
    study = store.study(name)
    if study.state is not StudyState.FAILED:
        return
    completed = any(run.state is RunState.COMPLETED for run in store.runs(study.id))
    if not completed:
        raise NoSuccessfulRun(f"The study {name!r} ended without a successful run. {study.reason}")
    raise SchedsearchError(f"The study {name!r} was given up. {study.reason}")
