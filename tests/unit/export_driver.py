"""Follows exported files with the framework that they are for, in a process of its own (frameworks start threads, and
warn): `python export_driver.py FRAMEWORK JOBS.json LRS.npz`.

Every tenth file checks itself, too. A job is a file, the horizons to follow it over, and settings of the framework to
follow at the first of them. The answer holds one array of learning rates for each: JOB/file/HORIZON and
JOB/setting/NUMBER.
"""

import importlib.util
import json
import runpy
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import make_dataclass
from typing import Any

import numpy as np

Lrs = Iterator[tuple[str, Any]]
Follow = Callable[[dict, dict], Lrs]


def optimizer_of(lr: float) -> Any:
    import torch

    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def follow_torch(optimizer: Any, step: Callable[[int], object], updates: int) -> list[float]:
    """The LR of every update; `step` is told how many are done."""
    lrs = []
    for t in range(updates):
        lrs.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        step(t + 1)
    return lrs


def timm(module: dict, job: dict) -> Lrs:
    import timm.scheduler

    for updates in job["horizons"]:
        optimizer = optimizer_of(7.0)
        scheduler = module["make_scheduler"](optimizer, updates)
        yield f"file/{updates}", follow_torch(optimizer, scheduler.step_update, updates)
    for number, (name, arguments) in enumerate(job["settings"]):
        optimizer = optimizer_of(job["base_lr"])
        functions = {key: module["decay"] for key, value in arguments.items() if value == "decay"}
        scheduler = getattr(timm.scheduler, name)(optimizer, **{**arguments, **functions})
        yield f"setting/{number}", follow_torch(optimizer, scheduler.step_update, job["horizons"][0])


def without_models() -> None:
    """timm's own __init__ imports its models and with them torchvision, whose wheels fit no CPU build of torch; the
    package is entered beside it, so that `timm.scheduler` is the real one."""
    package = types.ModuleType("timm")
    package.__path__ = list(importlib.util.find_spec("timm").submodule_search_locations)
    sys.modules["timm"] = package


def transformers(module: dict, job: dict) -> Lrs:
    from transformers import get_scheduler

    for updates in job["horizons"]:
        optimizer = optimizer_of(7.0)
        scheduler = module["make_scheduler"](optimizer, updates)
        yield f"file/{updates}", follow_torch(optimizer, lambda done: scheduler.step(), updates)  # noqa: B023
    for number, (name, arguments) in enumerate(job["settings"]):
        optimizer = optimizer_of(job["base_lr"])
        updates = job["horizons"][0]
        scheduler = get_scheduler(
            name, optimizer, arguments["warmup_steps"], updates, arguments["lr_scheduler_kwargs"]
        )  # fmt: skip
        yield f"setting/{number}", follow_torch(optimizer, lambda done: scheduler.step(), updates)  # noqa: B023
    optimizer = optimizer_of(job["base_lr"])
    named = module["named_scheduler"](optimizer)
    yield "named", follow_torch(optimizer, lambda done: named.step(), job["horizons"][0])


def torchtitan(module: dict, job: dict) -> Lrs:
    from torchtitan.components.optimizer.lr_scheduler import LRSchedulersContainer

    def follow(config: Any, updates: int) -> list[float]:
        optimizer = optimizer_of(job["base_lr"])
        schedulers = config.build(optimizers=[optimizer], training_steps=updates)
        return follow_torch(optimizer, lambda done: schedulers.step(), updates)

    own = "TrainedSchedule" not in module
    for updates in job["horizons"][: 1 if own else None]:
        yield f"file/{updates}", follow(module["LR_SCHEDULER"], updates)
    for number, (_, arguments) in enumerate(job["settings"]):
        yield f"setting/{number}", follow(LRSchedulersContainer.Config(**arguments), job["horizons"][0])
    yield "named", follow(from_flags(job["file"]), job["horizons"][0])


def from_flags(file: str) -> Any:
    """The configuration of the flags in the file, read as torchtitan's command line reads them."""
    import tyro
    from torchtitan.components.optimizer.lr_scheduler import LRSchedulersContainer

    top = make_dataclass("Top", [("lr_scheduler", LRSchedulersContainer.Config)])
    with open(file) as text:  # noqa: PTH123
        flags = next(line.partition(": ")[2] for line in text if "command line: " in line)
    return tyro.cli(top, args=flags.split()).lr_scheduler


def optax(module: dict, job: dict) -> Lrs:
    import jax
    import jax.numpy as jnp

    for updates in job["horizons"]:
        schedule = module["make_schedule"](updates)
        yield f"file/{updates}", np.asarray(jax.jit(jax.vmap(schedule))(jnp.arange(updates + 3)))


def optax_sgd(module: dict, job: dict) -> Lrs:
    """The LR that optax's own optimizer takes: the step of a gradient of -1."""
    import jax
    import jax.numpy as jnp
    import optax

    updates = job["horizons"][0]
    optimizer = optax.sgd(module["make_schedule"](updates))
    step = jax.jit(optimizer.update)
    state, lrs = optimizer.init(jnp.zeros(1)), []
    for _ in range(updates):
        change, state = step(-jnp.ones(1), state)
        lrs.append(float(change[0]))
    yield f"file/{updates}", lrs


def keras(module: dict, job: dict) -> Lrs:
    import keras

    for updates in job["horizons"]:
        made = module["TrainedSchedule"](updates)
        schedule = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made))
        yield f"file/{updates}", [float(schedule(t)) for t in range(updates + 3)]


def keras_fit(module: dict, job: dict) -> Lrs:
    """The LR that Keras's own optimizer takes in `fit`, saved and loaded half-way."""
    import keras

    lrs: list[float] = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
            lrs.append(float(self.model.optimizer.learning_rate))

    updates = job["horizons"][0]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(module["TrainedSchedule"](updates)), "mse")
    x = np.zeros((updates // 2, 1), "float32")
    model.fit(x, x, batch_size=1, verbose=0, callbacks=[Watch()])
    model.save("model.keras")
    keras.models.load_model("model.keras").fit(x, x, batch_size=1, verbose=0, callbacks=[Watch()])
    yield f"file/{updates}", lrs


def lightning(module: dict, job: dict) -> Lrs:
    import torch
    from lightning.pytorch import LightningModule, Trainer

    class Model(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.lrs = torch.nn.Linear(1, 1), []

        def training_step(self, batch: Any, index: int) -> Any:
            return self.layer(batch).sum()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=7.0)

        def on_before_optimizer_step(self, optimizer: Any) -> None:
            self.lrs.append(optimizer.param_groups[0]["lr"])

    class Scheduled(module["TrainedSchedule"], Model):
        pass

    for updates in job["horizons"]:
        epochs, accumulated = 2, 3  # an epoch ends within an accumulation's batches
        batches = torch.zeros(updates // epochs * accumulated, 1)
        model = Scheduled()
        trainer = Trainer(
            max_epochs=epochs, accumulate_grad_batches=accumulated, accelerator="cpu", logger=False,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(model, torch.utils.data.DataLoader(batches))
        yield f"file/{updates}", model.lrs


def trainer(module: dict, job: dict) -> Lrs:
    """The LR that transformers' Trainer takes: from its arguments, and from the file's own scheduler."""
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def forward(self, x: Any) -> dict[str, Any]:
            return {"loss": self.layer(x).sum()}

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.lrs: list[float] = []

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, optimizer: Any, **rest: Any) -> None:
            self.lrs.append(optimizer.param_groups[0]["lr"])

    def follow(updates: int, given: dict, **rest: Any) -> list[float]:
        arguments = TrainingArguments(
            "out", max_steps=updates, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True,
            logging_strategy="no", per_device_train_batch_size=1, **given,
        )  # fmt: skip
        watch = Watch()
        data = [{"x": torch.zeros(1)} for _ in range(updates)]
        Trainer(rest.pop("model", None) or Model(), arguments, train_dataset=data, callbacks=[watch], **rest).train()
        return watch.lrs

    updates = job["horizons"][0]
    if "TRAINING_ARGUMENTS" in module:
        yield "arguments", follow(updates, module["TRAINING_ARGUMENTS"])
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=7.0)
    scheduler = module["make_scheduler"](optimizer, updates)
    yield f"file/{updates}", follow(updates, {}, model=model, optimizers=(optimizer, scheduler))


FRAMEWORKS: dict[str, Follow] = {
    one.__name__: one
    for one in (timm, transformers, trainer, torchtitan, optax, optax_sgd, keras, keras_fit, lightning)
}  # fmt: skip


def main(framework: str, jobs: str, answer: str) -> None:
    without_models()
    lrs = {}
    with open(jobs) as file:  # noqa: PTH123
        for number, job in enumerate(json.load(file)):
            module = runpy.run_path(job["file"])
            if number % 10 == 0:
                module["check"]()
            lrs |= {f"{number}/{key}": np.asarray(one) for key, one in FRAMEWORKS[framework](module, job)}
    assert not [name for name in sys.modules if name.startswith("schedsearch")]
    np.savez(answer, **lrs)


if __name__ == "__main__":
    main(*sys.argv[1:])
