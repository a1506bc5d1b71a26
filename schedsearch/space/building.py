"""From suggestions to a schedule: the one place where a parameter's name meets a schedule's field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from schedsearch.schedule import (
    Constant,
    Cosine,
    Decay,
    Exponential,
    InverseSqrt,
    Linear,
    MultiStep,
    Polynomial,
    Restarts,
    Rex,
    Schedule,
    Spline,
    Step,
    Warmup,
    Wsd,
)
from schedsearch.space.document import (
    ConstantSpace,
    CosineSpace,
    Document,
    ExponentialSpace,
    InverseSqrtSpace,
    LinearSpace,
    MultiStepSpace,
    PolynomialSpace,
    RexSpace,
    SplineSpace,
    StepSpace,
    WsdSpace,
)
from schedsearch.space.suggest import Suggest
from schedsearch.space.values import Final, Integers, Range


def build(document: Document, base_lr: tuple[float, float], suggest: Suggest) -> Schedule:
    """Ask `suggest` for everything this candidate needs, in a fixed order, and make its schedule."""
    lr = suggest.suggest_float("base_lr", *base_lr, log=True)
    warmup = _warmup(document, suggest)
    kind = _choice("decay", document.decay.kinds, suggest)
    decay = BUILDERS[kind](getattr(document.decay, kind), suggest)
    restarts = _restarts(document, kind, suggest)
    return Schedule(lr, decay, warmup, restarts, document.step_every)


def read_back(schedule: Schedule) -> dict[str, Any]:
    """Everything that `build` could have asked for to make this schedule, by name; more than any one space asks."""
    kind = schedule.decay.kind
    values: dict[str, Any] = {
        "base_lr": schedule.base_lr,
        "warmup": "none" if schedule.warmup is None else schedule.warmup.kind,
        "decay": kind,
        "restarts": "single" if schedule.restarts is None else "restarts",
    }
    for part, made in (("warmup", schedule.warmup), (kind, schedule.decay), ("restarts", schedule.restarts)):
        values |= {} if made is None else {f"{part}.{name}": value for name, value in vars(made).items()}
    if isinstance(schedule.decay, Spline):
        values |= _shares(schedule.decay)
    values[f"{kind}.to_zero"] = values.get(f"{kind}.final_factor", values.get(f"{kind}.final_share")) == 0
    return values


def _shares(spline: Spline) -> dict[str, float]:
    return {
        "spline.first_knot": spline.x1,
        "spline.second_knot_share": (spline.x2 - spline.x1) / (1 - spline.x1),
        "spline.first_height": spline.y1,
        "spline.second_height_share": spline.y2 / spline.y1 if spline.y1 else 0.0,
        "spline.final_share": spline.final_factor / spline.y2 if spline.y2 else 0.0,
    }


def _choice(name: str, choices: Sequence[Any], suggest: Suggest) -> Any:
    return choices[0] if len(choices) == 1 else suggest.suggest_categorical(name, list(choices))


def _float(name: str, value: float | Range, suggest: Suggest) -> float:
    if isinstance(value, Range):
        return suggest.suggest_float(name, value.low, value.high, log=value.log)
    return value


def _int(name: str, value: int | Integers, suggest: Suggest) -> int:
    return suggest.suggest_int(name, value.low, value.high) if isinstance(value, Integers) else value


def _end(kind: str, value: float | Final, suggest: Suggest, name: str = "final_factor") -> float:
    if not isinstance(value, Final):
        return value
    if value.or_zero and suggest.suggest_categorical(f"{kind}.to_zero", [True, False]):
        return 0.0
    return suggest.suggest_float(f"{kind}.{name}", value.low, value.high, log=value.log)


def _warmup(document: Document, suggest: Suggest) -> Warmup | None:
    kind = _choice("warmup", document.warmup.kinds, suggest)
    if kind == "none":
        return None
    fraction = _float("warmup.fraction", document.warmup.fraction, suggest)
    return Warmup(kind, fraction, _float("warmup.start_factor", document.warmup.start_factor, suggest))


def _restarts(document: Document, decay: str, suggest: Suggest) -> Restarts | None:
    space = document.restarts
    if _choice("restarts", space.choices_for(decay), suggest) == "single":
        return None
    return Restarts(
        cycles=_int("restarts.cycles", space.cycles, suggest),
        growth=_float("restarts.growth", space.growth, suggest),
        peak_decay=_float("restarts.peak_decay", space.peak_decay, suggest),
    )


def _constant(space: ConstantSpace, suggest: Suggest) -> Decay:
    return Constant()


def _step(space: StepSpace, suggest: Suggest) -> Decay:
    return Step(_int("step.drops", space.drops, suggest), _float("step.gamma", space.gamma, suggest))


def _multistep(space: MultiStepSpace, suggest: Suggest) -> Decay:
    return MultiStep(space.milestones, _float("multistep.gamma", space.gamma, suggest))


def _exponential(space: ExponentialSpace, suggest: Suggest) -> Decay:
    return Exponential(_float("exponential.final_factor", space.final_factor, suggest))


def _cosine(space: CosineSpace, suggest: Suggest) -> Decay:
    return Cosine(_end("cosine", space.final_factor, suggest), _float("cosine.power", space.power, suggest))


def _linear(space: LinearSpace, suggest: Suggest) -> Decay:
    return Linear(_end("linear", space.final_factor, suggest))


def _polynomial(space: PolynomialSpace, suggest: Suggest) -> Decay:
    final = _end("polynomial", space.final_factor, suggest)
    return Polynomial(final, _float("polynomial.power", space.power, suggest))


def _rex(space: RexSpace, suggest: Suggest) -> Decay:
    return Rex(_end("rex", space.final_factor, suggest), _float("rex.beta", space.beta, suggest))


def _wsd(space: WsdSpace, suggest: Suggest) -> Decay:
    cooldown = _float("wsd.cooldown", space.cooldown, suggest)
    return Wsd(cooldown, _choice("wsd.shape", space.shape, suggest), _end("wsd", space.final_factor, suggest))


def _inverse_sqrt(space: InverseSqrtSpace, suggest: Suggest) -> Decay:
    return InverseSqrt(_float("inverse_sqrt.timescale", space.timescale, suggest))


def _spline(space: SplineSpace, suggest: Suggest) -> Decay:
    """Stick breaking: x2 is a share of what is right of x1; y2 is a share of y1, and the end a share of y2."""
    x1 = _float("spline.first_knot", space.first_knot, suggest)
    x2 = x1 + (1 - x1) * _float("spline.second_knot_share", space.second_knot_share, suggest)
    y1 = _float("spline.first_height", space.first_height, suggest)
    y2 = y1 * _float("spline.second_height_share", space.second_height_share, suggest)
    return Spline(x1, x2, y1, y2, y2 * _end("spline", space.final_share, suggest, "final_share"))


BUILDERS: dict[str, Callable[[Any, Suggest], Decay]] = {
    "constant": _constant,
    "step": _step,
    "multistep": _multistep,
    "exponential": _exponential,
    "cosine": _cosine,
    "linear": _linear,
    "polynomial": _polynomial,
    "rex": _rex,
    "wsd": _wsd,
    "inverse_sqrt": _inverse_sqrt,
    "spline": _spline,
}
