"""What is wrong with a space, in sentences: each names the key's path, the bound, and the value that was given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from schedsearch.privacy import redact
from schedsearch.space.document import Document
from schedsearch.space.values import FIXED, SEARCHED

Place = Sequence[int | str]
INSTEAD = {
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "string_pattern_mismatch": "must start with a letter or digit and hold only letters, digits, `.`, `_` and `-`",
    "literal_error": "must be {expected}",
    "tuple_type": "must be a list",
    "dict_type": "must hold `key: value` pairs",
    "model_type": "must hold `key: value` pairs",
    "model_attributes_type": "must hold `key: value` pairs",
}


def sentences(error: ValidationError, model: type[BaseModel] = Document) -> list[str]:
    """One sentence a fault, without repetitions."""
    found = [text for fault in error.errors() for text in _of_one(fault, model)]
    return list(dict.fromkeys(found))


def _of_one(fault: Any, model: type[BaseModel]) -> list[str]:
    place = [part for part in fault["loc"] if part not in (FIXED, SEARCHED)]
    name = ".".join(map(str, place)) or "The file"
    kind = fault["type"]
    if kind == "missing":
        return [f"`{name}` is missing."]
    if kind == "extra_forbidden":
        return [_unknown(place, model)]
    if kind == "value_error":
        lines = str(fault["ctx"]["error"]).split("\n")
        return [f"`{name}` {line}" for line in lines] if place else lines
    bound = INSTEAD.get(kind, f"is refused ({fault['msg']})").format(**fault.get("ctx", {}))
    return [f"`{name}` {bound}, but is {_shown(fault['input'])} instead."]


def _unknown(place: Place, model: type[BaseModel]) -> str:
    *above, key = place
    known = ", ".join(_model_at(above, model).model_fields)
    where = f"`{'.'.join(map(str, above))}`" if above else "The file"
    return f"{where} has no key {key!r}; valid keys: {known or 'none'}."


def _model_at(place: Place, model: type[BaseModel]) -> type[BaseModel]:
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The one model among the alternatives of an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(one) for one in get_args(annotation))
    return next((one for one in found if one is not None), None)


def _shown(value: Any) -> str:
    text = redact(repr(dict(value)) if isinstance(value, Mapping) else repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
