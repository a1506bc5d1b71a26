"""What each system of benchmarks/peers.py does with an order: a process of its own, from its start to its end.

    python benchmarks/peer_systems.py SYSTEM FOLDER [NUMBER]

FOLDER/order.json says what to train, FOLDER/answer.json what came of it. Everybody trains the same task by the same
schedules on the same seeds, looks at validation at the same updates, writes every look to MLflow, and has the same
number of processes of one thread. `schedsearch` is this project's: runs queued in a store, its workers and its mirror,
started as `launch` starts them. `optuna` is what one writes without it: one process a core, an objective with a plain
eager loop, `trial.report`, Optuna's RDB storage and `mlflow.log_metrics`. `ray` is the same loop as a function of Ray
Tune's, with OptunaSearch, warm actors and MLflowLoggerCallback. `confirm` trains pairs of schedule and seed by the
plain loop alone.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

NAME = "peers"
SOON_S = 0.02
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet",
    "RAY_DEDUP_LOGS": "0",
}  # fmt: skip
STORE_BYTES = 200_000_000  # of Ray's objects; nothing of this is large


@dataclass(frozen=True)
class Order:
    """What to train. schedules: in their serialized form; seeds: one each; updates: the horizon. processes: at a time.
    mlflow: where every look goes, None for nowhere. space: parameters to search instead of `schedules`, with base LRs
    `base_lr`, until `until` (seconds since 1970). ray_share: of an accelerator, that one of Ray's trials takes."""

    task: str
    updates: int
    processes: int
    device: str = "cpu"
    schedules: Sequence[Mapping[str, Any]] = ()
    seeds: Sequence[int] = ()
    mlflow: str | None = None
    fingerprint: str = ""
    space: Mapping[str, Any] | None = None
    until: float = 0.0
    search_seed: int = 0
    ray_share: float = 0.25


@dataclass(frozen=True)
class Answer:
    """scores: of the order's schedules, None where a run diverged. found: of a search, every schedule trained to its
    end, with when that was (seconds since 1970) and its score; stopped: how many were not trained to their end."""

    scores: Sequence[float | None] = ()
    found: Sequence[tuple[float, float, Mapping[str, Any]]] = field(default=())
    stopped: int = 0


def read_order(folder: Path) -> Order:
    return Order(**json.loads((folder / "order.json").read_text()))


# ---- the loop that one writes by hand


@dataclass(frozen=True)
class Look:
    """After so many updates: the LR, the mean training loss since the look before, validation's loss and metrics."""

    step: int
    values: Mapping[str, float]


@cache
def known_task(reference: str, updates: int) -> Any:
    from schedsearch.task import load_task

    return load_task(reference, {"total_updates": updates})


def looks(order: Order, schedule: Mapping[str, Any], seed: int, device: str) -> Iterator[Look]:
    """Train one model; the last look's `val_loss` is its score. Ends early at a loss that is not finite."""
    import torch

    from schedsearch import Schedule
    from schedsearch.task.randomness import order_generator
    from schedsearch.training.course import evaluation_updates

    task, place = known_task(order.task, order.updates), torch.device(device)
    splits = task.splits_on(place)
    lrs = Schedule.from_dict(schedule).lrs(order.updates, task.updates_per_epoch).tolist()
    marks = set(evaluation_updates(order.updates))
    torch.manual_seed(seed)
    model = task.model().to(place)
    optimizer = task.make_optimizer(model)
    batches = shuffled_batches(splits.train, task.batch_size, order_generator(seed))
    total, count = torch.zeros((), device=place), 0
    for update, lr in enumerate(lrs):
        for group in optimizer.param_groups:
            group["lr"] = lr
        batch = next(batches)
        optimizer.zero_grad()
        loss = task.loss(model(batch[0]), batch)
        loss.backward()
        optimizer.step()
        total, count = total + loss.detach(), count + 1
        if update in marks:
            values = {"lr": lr, "train_loss": float(total) / count, **validated(task, model, splits.validation)}
            total, count = torch.zeros((), device=place), 0
            yield Look(update + 1, values)
            if not math.isfinite(values["val_loss"]):
                return


def shuffled_batches(train: Any, size: int, generator: Any) -> Iterator[Any]:
    """Batches of data in memory, without end."""
    import torch

    while True:
        rows = torch.randperm(len(train[0]), generator=generator).to(train[0].device)
        for some in rows[: len(rows) - len(rows) % size].view(-1, size):
            yield tuple(one[some] for one in train)


def validated(task: Any, model: Any, validation: Any) -> dict[str, float]:
    """Loss and metrics over the whole split."""
    import torch

    sums: dict[str, float] = {}
    model.eval()
    with torch.no_grad():
        for start in range(0, len(validation[0]), 1000):
            batch = tuple(one[start : start + 1000] for one in validation)
            output = model(batch[0])
            for name, value in {"val_loss": task.loss(output, batch), **task.metrics(output, batch)}.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch[0])
    model.train()
    return {name: value / len(validation[0]) for name, value in sums.items()}


def score(values: Mapping[str, float], step: int, updates: int) -> float | None:
    """Of a run's last look."""
    loss = values["val_loss"]
    return loss if step == updates and math.isfinite(loss) else None


# ---- schedsearch


def run_schedsearch(folder: Path) -> Answer:
    from schedsearch.commands.mirroring import MirrorProcess
    from schedsearch.store import RunState, Store, StudyState
    from schedsearch.workers.local import LocalWorkers, posts

    order, storage = read_order(folder), f"sqlite:///{folder / 'schedsearch.db'}"
    with Store.open(storage) as store, LocalWorkers(storage) as workers:
        study_id = queue(store, order)
        mirror = MirrorProcess(storage, NAME, order.mlflow or "none", folder)
        workers.serve(NAME, posts((order.device,), None, order.processes, order.processes), folder / "logs")
        mirror.start()
        while any(not run.is_finished for states in store.counts(study_id).values() for run in states):
            workers.revive()
            if not workers.alive():
                raise SystemExit(workers.last_words())
            time.sleep(SOON_S)
        store.set_study_state(study_id, StudyState.STOPPED, "everything is trained")
        mirror.finish()
        if order.mlflow and (left := store.unmirrored(study_id, 1)):
            raise SystemExit(f"MLflow lacks run {left[0].id}.")
        runs = store.runs(study_id)
    if any(run.state is RunState.FAILED for run in runs):
        raise SystemExit(next(run.reason for run in runs if run.reason))
    return Answer([run.score for run in runs])


def queue(store: Any, order: Order) -> int:
    """A study with one waiting run a schedule, which nobody else plans; its number."""
    from schedsearch import Schedule, __version__
    from schedsearch.space import load_space
    from schedsearch.store import NewRun, NewStudy, Phase
    from schedsearch.workers.rows import NamedSchedule, new_candidate

    space = load_space("quick")
    study = store.create_study(
        NewStudy(
            name=NAME, task=order.task, task_options={"total_updates": order.updates},
            task_fingerprint=order.fingerprint, metric="loss", direction="minimize", space_name=space.name,
            space_version=space.version, space=space.to_dict(), strategy="curve", seed=0, total_updates=order.updates,
            updates_per_epoch=1, budget={}, plan={}, code_version=__version__, optuna_study=NAME,
        )
    )  # fmt: skip
    store.take_planner(study.id, "benchmark", 86_400.0)
    runs = []
    for schedule, seed in zip(order.schedules, order.seeds, strict=True):
        named = NamedSchedule("search", None, Schedule.from_dict(schedule))
        candidate = store.add_candidate(study.id, new_candidate(named))
        runs.append(NewRun(candidate, Phase.SEARCH, 0, seed, order.updates))
    store.add_runs(study.id, runs)
    return int(study.id)


# ---- Optuna used plainly


def run_optuna(folder: Path) -> Answer:
    import optuna

    order = read_order(folder)
    optuna_study(folder, order, 0)
    in_processes("optuna-share", folder, order.processes)
    trials = optuna_study(folder, order, 0).get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    everything = len(optuna_study(folder, order, 0).get_trials(deepcopy=False))
    if order.space is None:
        scores = {one.params["candidate"]: one.value for one in trials}
        return Answer([scores.get(number) for number in range(len(order.schedules))])
    found = [(one.datetime_complete.timestamp(), one.value, one.user_attrs["schedule"]) for one in trials]
    return Answer(found=found, stopped=everything - len(trials))


def in_processes(system: str, folder: Path, count: int) -> None:
    """Shares of the work in so many processes."""
    command = [sys.executable, __file__, system, str(folder)]
    shares = [subprocess.Popen([*command, str(number)]) for number in range(count)]
    codes = [share.wait() for share in shares]
    if any(codes):
        raise SystemExit("A process of the benchmark failed.")


def optuna_study(folder: Path, order: Order, number: int) -> Any:
    """The study as process `number` sees it: a list has its next entry asked for, a space is sampled by TPE."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = f"sqlite:///{folder / 'optuna.db'}"
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})
    share = list(range(number, len(order.schedules), order.processes))
    sampler = optuna.samplers.TPESampler(seed=1000 * order.search_seed + number)
    listed = order.space is None
    return optuna.create_study(
        storage=storage,
        study_name=NAME,
        load_if_exists=True,
        sampler=listed_sampler(share) if listed else sampler,
        pruner=optuna.pruners.NopPruner() if listed else optuna.pruners.MedianPruner(),
    )


def listed_sampler(share: Sequence[int]) -> Any:
    """A sampler that gives the numbers of a list one after another, so that no two processes train the same."""
    import optuna

    class Listed(optuna.samplers.BaseSampler):
        left = iter(share)

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(self, study: Any, trial: Any, name: str, distribution: Any) -> int:
            return next(self.left)

    return Listed()


def run_optuna_share(folder: Path, number: int) -> None:
    order = read_order(folder)
    set_one_thread()
    study = optuna_study(folder, order, number)
    if order.mlflow is not None:
        import mlflow

        mlflow.set_tracking_uri(order.mlflow)
        mlflow.set_experiment(NAME)

    def objective(trial: Any) -> float:
        schedule, seed = chosen(trial, order)
        with mlflow_run(order, schedule, trial.number) as log:
            return objective_value(trial, looks(order, schedule, seed, order.device), order, log)

    if order.space is None:
        study.optimize(objective, n_trials=len(range(number, len(order.schedules), order.processes)))
    else:
        study.optimize(objective, timeout=max(0.0, order.until - time.time()))


def chosen(trial: Any, order: Order) -> tuple[Mapping[str, Any], int]:
    """The trial's schedule and seed."""
    if order.space is None:
        candidate = trial.suggest_int("candidate", 0, len(order.schedules) - 1)
        return order.schedules[candidate], order.seeds[candidate]
    from schedsearch.space import SearchSpace

    schedule = SearchSpace.from_dict(order.space).build(trial).to_dict()
    trial.set_user_attr("schedule", schedule)
    return schedule, order.seeds[0]


def objective_value(trial: Any, seen: Iterator[Look], order: Order, log: Callable[[Look], None]) -> float:
    import optuna

    found = None
    for look in seen:
        log(look)
        found = score(look.values, look.step, order.updates)
        trial.report(look.values["val_loss"], look.step)
        if trial.should_prune():
            raise optuna.TrialPruned
    if found is None:
        raise optuna.TrialPruned
    return found


@contextmanager
def mlflow_run(order: Order, schedule: Mapping[str, Any], number: int) -> Iterator[Callable[[Look], None]]:
    """A run in MLflow around a training; what it is handed is written at once."""
    if order.mlflow is None:
        yield lambda _: None
        return
    import mlflow

    with mlflow.start_run(run_name=f"trial-{number}"):
        mlflow.log_params({"base_lr": schedule["base_lr"], "decay": schedule["decay"]["kind"]})
        yield lambda look: mlflow.log_metrics(dict(look.values), step=look.step)


def set_one_thread() -> None:
    import torch

    torch.set_num_threads(1)


# ---- Ray Tune


def run_ray(folder: Path) -> Answer:
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    order = read_order(folder)
    on_cpu = order.device == "cpu"
    ray.init(
        address="local", num_cpus=order.processes, num_gpus=0 if on_cpu else 1, include_dashboard=False,
        log_to_driver=False, object_store_memory=STORE_BYTES, logging_level="ERROR",
    )  # fmt: skip
    logs = [] if order.mlflow is None else [MLflowLoggerCallback(tracking_uri=order.mlflow, experiment_name=NAME)]
    takes = {"cpu": 1} if on_cpu else {"cpu": 1, "gpu": order.ray_share}
    tuner = tune.Tuner(
        tune.with_resources(ray_trial(str(folder)), takes),
        tune_config=ray_search(order),
        run_config=tune.RunConfig(storage_path=str(folder / "ray"), verbose=0, callbacks=logs),
    )
    grid = tuner.fit()
    answer = ray_answer(grid, order)
    ray.shutdown()
    return answer


def ray_trial(folder: str) -> Callable[[dict[str, Any]], None]:
    """The function that Ray's actors call. Ray pickles it by value, so that it asks for this module by its folder."""
    code = str(Path(__file__).parent)

    def trial(config: dict[str, Any]) -> None:
        import sys
        from pathlib import Path

        from ray import tune

        sys.path.insert(0, code)
        import peer_systems as here

        order = here.read_order(Path(folder))
        here.set_one_thread()
        listed = order.space is None
        schedule = order.schedules[config["candidate"]] if listed else here.schedule_of(order, config)
        seed = order.seeds[config["candidate"] if listed else 0]
        for look in here.looks(order, schedule, seed, "cpu" if order.device == "cpu" else "cuda:0"):
            tune.report({**look.values, "update": look.step})

    return trial


def schedule_of(order: Order, params: Mapping[str, Any]) -> Mapping[str, Any]:
    from schedsearch.space import SearchSpace

    return SearchSpace.from_dict(order.space or {}).schedule(params).to_dict()


def ray_search(order: Order) -> Any:
    """The list, in its order; or TPE in the space, with ASHA that stops what lags behind, as long as there is time."""
    import optuna
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from schedsearch.training.course import EVALUATIONS

    aim = {"metric": "val_loss", "mode": "min"}
    if order.space is None:
        numbers = range(len(order.schedules))
        space = {"candidate": optuna.distributions.IntDistribution(0, max(1, len(numbers) - 1))}
        listed = OptunaSearch(space, points_to_evaluate=[{"candidate": number} for number in numbers], **aim)
        return tune.TuneConfig(search_alg=listed, num_samples=len(numbers), reuse_actors=True)
    ask = partial(ask_in, dict(order.space))
    return tune.TuneConfig(
        search_alg=OptunaSearch(ask, sampler=optuna.samplers.TPESampler(seed=order.search_seed), **aim),
        scheduler=ASHAScheduler(time_attr="training_iteration", max_t=min(EVALUATIONS, order.updates), **aim),
        num_samples=-1,
        max_concurrent_trials=order.processes,
        time_budget_s=max(1.0, order.until - time.time()),
        reuse_actors=True,
    )


def ask_in(space: Mapping[str, Any], trial: Any) -> None:
    """Ask Optuna's trial for a candidate of the space. (Ray pickles the search, so that it has a name.)"""
    from schedsearch.space import SearchSpace

    SearchSpace.from_dict(space).build(trial)


def ray_answer(grid: Any, order: Order) -> Answer:
    ends = [(one.metrics["timestamp"], one.metrics, one.config) for one in grid if one.metrics and not one.error]
    failed = [one.error for one in grid if one.error]
    if failed and order.space is None:
        raise SystemExit(str(failed[0]))
    ends = [one for one in ends if "update" in one[1]]
    scored = [(when, score(said, said["update"], order.updates), config) for when, said, config in ends]
    if order.space is None:
        scores = {config["candidate"]: value for _, value, config in scored}
        return Answer([scores.get(number) for number in range(len(order.schedules))])
    whole = [(float(when), value, schedule_of(order, config)) for when, value, config in scored if value is not None]
    return Answer(found=whole, stopped=len(grid) - len(whole))


# ---- confirmation


def run_confirm(folder: Path) -> Answer:
    """Pairs of schedule and seed by the plain loop, with nothing around it."""
    order = read_order(folder)
    in_processes("confirm-share", folder, order.processes)
    scores: dict[str, float | None] = {}
    for number in range(order.processes):
        scores |= json.loads((folder / f"share-{number}.json").read_text())
    return Answer([scores[str(number)] for number in range(len(order.schedules))])


def run_confirm_share(folder: Path, number: int) -> None:
    order = read_order(folder)
    set_one_thread()
    scores = {}
    for index in range(number, len(order.schedules), order.processes):
        *_, last = looks(order, order.schedules[index], order.seeds[index], order.device)
        scores[index] = score(last.values, last.step, order.updates)
    (folder / f"share-{number}.json").write_text(json.dumps(scores))


SYSTEMS = {"schedsearch": run_schedsearch, "optuna": run_optuna, "ray": run_ray, "confirm": run_confirm}
SHARES = {"optuna-share": run_optuna_share, "confirm-share": run_confirm_share}


def main() -> None:
    system, folder = sys.argv[1], Path(sys.argv[2])
    os.environ.update(QUIET)
    if system in SHARES:
        SHARES[system](folder, int(sys.argv[3]))
        return
    (folder / "answer.json").write_text(json.dumps(asdict(SYSTEMS[system](folder))))


if __name__ == "__main__":
    main()
