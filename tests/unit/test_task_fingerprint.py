"""A changed task is noticed: by its source, its options, its data; and nothing else changes its fingerprint."""

import subprocess
import sys

import torch
from task_examples import Plane, rows

from schedsearch.task import Splits, load_task

FILE = '''
from schedsearch.task.builtin.digits import Digits

class Mine(Digits):
    """{words}"""
'''


def data_of(splits):
    class Given(Plane):
        def data(self):
            return splits

    return Given().fingerprint()


def test_it_is_64_hexadecimal_digits_and_the_same_in_every_process():
    here = load_task("digits").fingerprint()
    assert len(here) == 64
    program = "from schedsearch.task import load_task; print(load_task('digits').fingerprint())"
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here == load_task("digits").fingerprint()


def test_options_change_it_and_defaults_given_by_hand_do_not():
    plain = Plane().fingerprint()
    assert Plane(batch_size=4).fingerprint() != plain
    assert Plane(total_updates=41).fingerprint() != plain
    assert Plane(batch_size="8").fingerprint() == plain


def test_data_changes_it_in_content_type_split_and_shape():
    x, y = rows(20, 1)
    nudged = x.clone()
    nudged[7, 1] += 1e-6
    every = [
        Splits((x, y), (x, y)),
        Splits((nudged, y), (x, y)),
        Splits((x, y), (nudged, y)),
        Splits((x, y), (x, y), (x, y)),
        Splits((x.double(), y), (x, y)),
        Splits((x.reshape(20, 3, 1), y), (x, y)),
        Splits([(x, y)], [(x, y)]),
        Splits([(x, y)] * 2, [(x, y)]),
    ]
    assert len({data_of(one) for one in every}) == len(every)
    assert data_of(Splits((x.clone(), y), (x.t().contiguous().t(), y))) == data_of(every[0])


def test_scalars_and_other_types_are_hashed():
    labels, mask = torch.arange(6), torch.ones(6, dtype=torch.bool)
    one = data_of(Splits((labels, mask), (labels,)))
    assert one != data_of(Splits((labels, ~mask), (labels,)))


def test_the_source_file_and_those_it_inherits_from_change_it(tmp_path):
    found = set()
    for number, words in enumerate(["One.", "Two."]):
        path = tmp_path / f"mine_{number}.py"
        path.write_text(FILE.format(words=words))
        found.add(load_task(f"{path}:Mine").fingerprint())
    copy = tmp_path / "elsewhere.py"
    copy.write_text(FILE.format(words="One."))
    found.add(load_task(f"{copy}:Mine").fingerprint())
    assert len(found) == 2
    assert load_task("digits").fingerprint() not in found
