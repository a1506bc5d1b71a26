"""Every curve that torch's own schedulers were recorded at, update by update."""

import json
from pathlib import Path

import numpy as np
import pytest

from schedsearch import Schedule

FILE = Path(__file__).parent.parent / "reference" / "torch_schedules.json"
CURVES = json.loads(FILE.read_text())


def test_the_reference_is_complete():
    assert len(CURVES) == 11
    assert all(len(curve["lr"]) == curve["total_updates"] for curve in CURVES)


@pytest.mark.parametrize("curve", CURVES, ids=[curve["name"] for curve in CURVES])
def test_equals_torch_at_every_update(curve):
    lrs = Schedule.from_dict(curve["schedule"]).lrs(curve["total_updates"])
    np.testing.assert_allclose(lrs, curve["lr"], rtol=0, atol=1e-12)
