"""Devices by name."""

import pytest
import torch

from schedsearch.errors import InvalidInput
from schedsearch.training.devices import default_devices, find_device


def test_the_machines_devices_are_its_gpus_or_its_cpu():
    count = torch.cuda.device_count()
    assert default_devices() == ([f"cuda:{index}" for index in range(count)] or ["cpu"])


def test_a_device_by_name():
    assert find_device("cpu") == torch.device("cpu")
    assert [str(find_device(name)) for name in default_devices()] == default_devices()


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "cuda:x", "meta", "cpu:3"])
def test_an_unknown_device_is_one_sentence_with_the_valid_ones(name):
    valid = ", ".join(sorted({"cpu", *default_devices()}))
    with pytest.raises(InvalidInput) as caught:
        find_device(name)
    assert caught.value.faults == (f"`device` must be one of {valid} on this machine, but is {name!r} instead.",)
