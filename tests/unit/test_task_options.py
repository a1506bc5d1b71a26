"""Options of a task: declared on the class, inherited, given other defaults, read from text, or refused."""

import pytest
from task_examples import Plane

from schedsearch.errors import InvalidTask
from schedsearch.task import Task, option
from schedsearch.task.options import Option, declared_options


class Wide(Plane):
    batch_size = 16
    width: int = option(64, at_least=1)
    deep: bool = option(False)
    rate: float | None = option(None, kind=float, above=0, below=1)
    activation: str = option("relu", choices=("relu", "gelu"))


def test_an_instance_has_the_values_and_a_plain_value_in_a_subclass_is_a_new_default():
    task = Wide()
    assert (task.width, task.deep, task.rate, task.activation, task.batch_size) == (64, False, None, "relu", 16)
    assert Plane().batch_size == 8
    assert task.options["batch_size"] == 16
    assert task.options["clip_grad_norm"] is None


def test_a_new_default_keeps_the_type_and_the_bounds():
    declared = declared_options(Wide)["batch_size"]
    assert declared.default == 16
    assert (declared.kind, declared.at_least) == (int, 1)

    class Broken(Plane):
        batch_size = 0

    with pytest.raises(InvalidTask, match=r"^`batch_size` must be an integer of at least 1, but is 0 instead.$"):
        Broken()


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("width", "32", 32),
        ("width", 32.0, 32),
        ("width", "6e2", 600),
        ("rate", "1e-3", 0.001),
        ("rate", "none", None),
        ("rate", None, None),
        ("scale", 2, 2.0),
        ("deep", "true", True),
        ("deep", True, True),
        ("activation", "gelu", "gelu"),
    ],
)
def test_values_are_read_as_the_declared_type(name, given, value):
    found = getattr(Wide(**{name: given}), name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("width", 0, "`width` must be an integer of at least 1, but is 0 instead."),
        ("width", 1.5, "`width` must be an integer of at least 1, but is 1.5 instead."),
        ("width", True, "`width` must be an integer of at least 1, but is True instead."),
        ("width", "many", "`width` must be an integer of at least 1, but is 'many' instead."),
        ("width", None, "`width` must be an integer of at least 1, but is None instead."),
        ("rate", 1, "`rate` must be a finite number above 0 and below 1 or none, but is 1 instead."),
        ("scale", float("nan"), "`scale` must be a finite number above 0, but is nan instead."),
        ("scale", float("inf"), "`scale` must be a finite number above 0, but is inf instead."),
        ("scale", [1], "`scale` must be a finite number above 0, but is [1] instead."),
        ("deep", 1, "`deep` must be true or false, but is 1 instead."),
        ("activation", "tanh", "`activation` must be one of 'relu', 'gelu', but is 'tanh' instead."),
        ("activation", 3, "`activation` must be one of 'relu', 'gelu', but is 3 instead."),
        ("total_updates", 1, "`total_updates` must be an integer of at least 2, but is 1 instead."),
        (
            "optimizer",
            "lion",
            "`optimizer` must be one of 'sgd', 'momentum', 'nesterov', 'adagrad', 'rmsprop', 'adam', 'adamw', "
            "but is 'lion' instead.",
        ),
        ("clip_grad_norm", 0, "`clip_grad_norm` must be a finite number above 0 or none, but is 0 instead."),
        ("weight_decay", -1, "`weight_decay` must be a finite number of at least 0, but is -1 instead."),
        ("momentum", 1, "`momentum` must be a finite number above 0 and below 1, but is 1 instead."),
    ],
)
def test_a_bad_value_is_one_sentence_with_name_bound_and_value(name, given, sentence):
    with pytest.raises(InvalidTask) as caught:
        Wide(**{name: given})
    assert caught.value.faults == (sentence,)


def test_every_fault_is_told_at_once_and_unknown_options_come_with_the_valid_ones():
    with pytest.raises(InvalidTask) as caught:
        Plane(widht=3, batch_size=0)
    assert caught.value.faults == (
        "The task 'plane' has no option `widht`; its options: batch_size, clip_grad_norm, momentum, optimizer, "
        "precision, scale, total_updates, weight_decay.",
        "`batch_size` must be an integer of at least 1, but is 0 instead.",
    )


def test_an_option_of_another_type_cannot_be_declared():
    with pytest.raises(TypeError, match="must be of type int, float, bool or str, but is list instead"):
        option([1, 2])


def test_a_text_without_bounds_is_told_as_such():
    assert Option("a", str).bound() == "a text"


def test_a_task_that_lacks_a_method_cannot_be_made():
    class Half(Task):
        def model(self): ...

    with pytest.raises(TypeError, match="data"):
        Half()
