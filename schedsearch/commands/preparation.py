"""What `launch` does before the first run: check everything that can be wrong, then write the study and its plan."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil, isfinite
from pathlib import Path

import schedsearch
from schedsearch import evidence
from schedsearch.commands.inspect import require_file_store, store_exists
from schedsearch.commands.mirroring import OFF
from schedsearch.commands.options import LaunchOptions
from schedsearch.commands.probe import probed_range
from schedsearch.errors import InvalidInput, InvalidSchedule, StudyExists
from schedsearch.schedule import Schedule, bold_base_lr
from schedsearch.search.plan import MIN_TRIALS, Plan, make_plan, with_confirm_seeds
from schedsearch.space import Baseline, SearchSpace, load_space
from schedsearch.store import NewRun, NewStudy, Phase, Store, Study, StudyState
from schedsearch.task.facts import TaskFacts
from schedsearch.task.script import is_script
from schedsearch.tracking import check_tracking_uri
from schedsearch.workers.desk import reuses, seeds_of
from schedsearch.workers.local import LocalWorkers, expected_posts, posts
from schedsearch.workers.rows import NamedSchedule, named_baselines, new_candidate
from schedsearch.workers.screening import CALIBRATION, SHORTEST

WORTH_ASKING_AHEAD = 2.0
NOISE_BASELINE = "warmup_cosine"


def prepare(options: LaunchOptions, workers: LocalWorkers) -> tuple[Study, tuple[str, ...]]:
    """Check everything that can be wrong, then write the study, its noise candidate and its first runs.

    workers: those that try the task meanwhile. Returns the study and the devices to train on.
    """
    _refuse_bad_tracking(options)
    name = options.study_name(datetime.now())
    space, budget = load_space(options.space), options.budget
    incumbent = None if options.incumbent is None else read_schedule(options.incumbent)
    _refuse_existing(options.storage, name, space)
    facts = workers.facts()
    devices = _devices(options, facts)
    probed = probed_range(options.storage, facts.fingerprint)
    space = space.with_base_lr(*(options.base_lr or space.base_lr or probed or facts.base_lr_range))
    _refuse_impossible(space, incumbent, facts)
    plan = make_plan(
        budget,
        space,
        total_updates=facts.total_updates,
        baselines=len(space.baselines) + (incumbent is not None),
        noise_seeds=options.noise_seeds,
        confirm_seeds=options.confirm_seeds,
    )
    _refuse_bad_screening(options.screen, plan, facts)
    with Store.open(options.storage) as store:
        plan = _resolving(plan, options, known_noise(store, facts), facts.total_updates)
        _refuse_strange_warm_start(store, options.warm_start, facts)
        study = store.create_study(_new_study(options, name, space, facts, plan, incumbent))
        _queue_noise(store, study, space, plan)
        _queue_baselines(store, study, named_baselines(space, incumbent))
    return study, devices


def _refuse_bad_tracking(options: LaunchOptions) -> None:
    if options.mlflow != OFF:
        check_tracking_uri(options.mlflow, options.storage)


def _refuse_impossible(space: SearchSpace, incumbent: Schedule | None, facts: TaskFacts) -> None:
    """Raises InvalidSchedule for a baseline that cannot be run at this horizon."""
    given = [baseline.schedule for baseline in space.baselines] + ([] if incumbent is None else [incumbent])
    for one in given:
        one.factors(facts.total_updates, facts.updates_per_epoch)


@dataclass(frozen=True)
class KnownNoise:
    """The noise sd of one run of this task, and the study that measured it."""

    sd: float
    study: str


def known_noise(store: Store, facts: TaskFacts) -> KnownNoise | None:
    """What the newest study of this very task and horizon measured; None where there is none."""
    same = (facts.fingerprint, facts.metric, facts.total_updates)
    for study in sorted(store.studies(), key=lambda one: -one.id):
        if (study.task_fingerprint, study.metric, study.total_updates) == same:
            sd, _ = evidence.common_noise(_repeated_scores(store, study))
            if isfinite(sd):
                return KnownNoise(sd, study.name)
    return None


def _repeated_scores(store: Store, study: Study) -> evidence.Scores:
    scores: dict[int, dict[int, float | None]] = {}
    for phase in (Phase.NOISE, Phase.RACE, Phase.CONFIRM):
        for run in store.runs(study.id, phase=phase):
            if run.score is not None:
                scores.setdefault(run.candidate_id, {})[run.seed] = run.score
    return scores


def _resolving(plan: Plan, options: LaunchOptions, noise: KnownNoise | None, total_updates: int) -> Plan:
    """The plan with the seeds that the resolution asked for takes, where the noise is known; else the noise phase will
    tell. Raises InvalidInput where the budget cannot pay for them."""
    if options.resolution is None or noise is None:
        return plan
    seeds = evidence.seeds_needed(noise.sd, options.resolution)
    runs = None if options.updates is None else options.updates // total_updates
    dearer = with_confirm_seeds(plan, seeds, runs)
    if dearer.confirm_seeds < seeds:
        needed = ceil(1.5 * replace(plan, confirm_seeds=seeds, trials=0).most_runs)  # the search keeps a third
        raise InvalidInput(
            f"`resolution` = {options.resolution:g} takes {seeds} seeds a finalist (the study {noise.study!r} measured "
            f"a noise of {noise.sd:.2g}), about {needed} runs in all; `updates` = {options.updates} pays for {runs}."
        )
    return dearer


def _refuse_bad_screening(ratio: int | None, plan: Plan, facts: TaskFacts) -> None:
    """Raises InvalidInput where a shorter horizon, or the budget beside its calibration, would be too small."""
    if ratio is None:
        return
    short, fewest = facts.total_updates // ratio, ceil(CALIBRATION * (1 + 1 / ratio)) + MIN_TRIALS
    if short < SHORTEST:
        raise InvalidInput(
            f"`screen` = {ratio} shortens the horizon from {facts.total_updates} to {short} updates, "
            f"but at least {SHORTEST} are needed."
        )
    if plan.trials is not None and plan.trials < fewest:
        raise InvalidInput(
            f"`screen` is calibrated by {CALIBRATION} candidates trained at both horizons, so that the budget must pay "
            f"for at least {fewest} in the search, but it pays for {plan.trials}."
        )


def _refuse_strange_warm_start(store: Store, name: str | None, facts: TaskFacts) -> None:
    if name is None:
        return
    earlier = store.study(name)
    if (earlier.metric, earlier.direction) != (facts.metric, facts.direction):
        raise InvalidInput(
            f"`warm_start` must be a study that would {facts.direction} {facts.metric}, "
            f"but {name!r} would {earlier.direction} {earlier.metric}."
        )


def read_schedule(path: Path) -> Schedule:
    """The schedule in a JSON file in the serialized form. Raises InvalidInput naming the file."""
    try:
        return Schedule.from_dict(json.loads(path.read_text()))
    except (OSError, json.JSONDecodeError) as error:
        raise InvalidInput(f"The incumbent schedule {path} cannot be read: {error}") from error
    except InvalidSchedule as error:
        raise InvalidInput([f"{path}: {fault}" for fault in error.faults]) from error


def _refuse_existing(storage: str, name: str, space: SearchSpace) -> None:
    if not store_exists(storage):
        return
    with Store.open(storage) as store:
        there = next((one for one in store.studies() if one.name == name), None)
    if there is None:
        return
    if there.space_version != space.version and there.space_name != space.name:
        raise StudyExists(
            f"The study {name!r} exists with the space {there.space_name!r}, not {space.name!r}; "
            "give another `study` name."
        )
    raise StudyExists(
        f"The study {name!r} exists already; go on with `schedsearch launch --resume {name}` or give another name."
    )


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
        "warm_start": options.warm_start,
        "resolution": options.resolution,
        "screen": options.screen,
        "arrays": options.arrays,
        "runs_at_once": _runs_at_once(options, facts),
        "fresh": options.fresh or None,
        "optimizer": facts.optimizer,
        "batch_size": facts.batch_size or None,
        "parameters": facts.parameters,
    }
    return NewStudy(
        name=name,
        task=_portable(str(options.task)),
        task_options=options.all_task_options,
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


def _runs_at_once(options: LaunchOptions, facts: TaskFacts) -> int:
    """How many runs should wait at a time: one a worker, or as many as each likes best where that is far quicker;
    asking for many at once costs the search something."""
    devices = options.devices or facts.devices
    workers = options.workers or len(posts(devices, None, os.cpu_count() or 1, options.per_device))
    return workers * (facts.together.most if options.arrays and facts.together.gain >= WORTH_ASKING_AHEAD else 1)


def _portable(reference: str) -> str:
    """A task file is stored by its absolute path, so that workers started elsewhere on this machine find it."""
    if is_script(reference):
        return reference
    path, colon, attribute = reference.rpartition(":")
    return f"{Path(path).resolve()}{colon}{attribute}" if path.endswith(".py") else reference


def _queue_noise(store: Store, study: Study, space: SearchSpace, plan: Plan) -> None:
    candidate_id = store.add_candidate(study.id, new_candidate(_noise_schedule(study, space)))
    seeds = seeds_of(study.seed, Phase.NOISE, plan.noise_seeds)
    runs = [NewRun(candidate_id, Phase.NOISE, 0, seed, study.total_updates) for seed in seeds]
    store.add_runs(study.id, runs, reuse=reuses(study))


def _queue_baselines(store: Store, study: Study, baselines: Sequence[NamedSchedule]) -> None:
    """The first run of every baseline, which needs no model: something to train until there is one."""
    ids = [store.add_candidate(study.id, new_candidate(_bold(study, one))) for one in baselines]
    (seed,) = seeds_of(study.seed, Phase.SEARCH, 1)
    runs = [NewRun(one, Phase.SEARCH, 0, seed, study.total_updates) for one in ids]
    store.add_runs(study.id, runs, reuse=reuses(study))


def _bold(study: Study, named: NamedSchedule) -> NamedSchedule:
    """A baseline in the middle of the range, moved by its own g*; the user's own schedule as it is."""
    if named.kind == "incumbent":
        return named
    low, high = study.space["base_lr"]["low"], study.space["base_lr"]["high"]
    lr = bold_base_lr(named.schedule, (low, high), study.total_updates, study.updates_per_epoch)
    return replace(named, schedule=named.schedule.with_base_lr(lr))


def _noise_schedule(study: Study, space: SearchSpace) -> NamedSchedule:
    baselines = {one.name: one for one in space.baselines}
    fallback = Baseline("constant", Schedule.from_dict({"base_lr": 1.0, "decay": {"kind": "constant"}}))
    baseline = baselines.get(NOISE_BASELINE) or next(iter(baselines.values()), fallback)
    return _bold(study, NamedSchedule("baseline", baseline.name, baseline.schedule))


def reopen(options: LaunchOptions, workers: LocalWorkers) -> tuple[Study, tuple[str, ...]]:
    """The study to go on with, and the devices to train on. Raises InvalidInput when its task has changed."""
    _refuse_bad_tracking(options)
    require_file_store(options.storage)
    with Store.open(options.storage) as store:
        study = store.study(str(options.resume))
        if study.state is StudyState.FINISHED:
            return study, ()
        where = expected_posts(options.devices, options.workers, os.cpu_count() or 1, options.per_device)
        workers.rehearse(study.task, study.task_options, where)
        facts = workers.facts()
        if facts.fingerprint != study.task_fingerprint:
            raise InvalidInput(
                f"The task {study.task!r} has changed since the study {study.name!r} began; "
                "its results would not be comparable. Launch a new study."
            )
        if study.state is StudyState.FAILED:
            store.retry_failed(study.id)
        store.set_study_state(study.id, StudyState.RUNNING)
        return store.study(study.name), _devices(options, facts)


def _devices(options: LaunchOptions, facts: TaskFacts) -> tuple[str, ...]:
    """The devices asked for, or those of this machine. Raises InvalidInput for one that is not there."""
    if options.launcher != "local":
        return options.devices
    missing = [one for one in options.devices if one != "cpu" and one not in facts.devices]
    if missing:
        there = ", ".join(dict.fromkeys(("cpu", *facts.devices)))
        raise InvalidInput([f"`devices` must be among {there}, but is {one!r} instead." for one in missing])
    return options.devices or facts.devices
