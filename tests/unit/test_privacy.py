"""Passwords in texts, control of a terminal, folders of one's own."""

import os
from pathlib import Path

import pytest

from schedsearch.commands.live import print_table
from schedsearch.privacy import make_folder, printable, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://me:pass@host:5000/x", "at http://host:5000/x"),
        ("s3://key:a@b/c@bucket", "s3://bucket"),
        ("postgresql://host/db?user=me&password=p%40ss&x=1", "postgresql://host/db?user=me&password=***&x=1"),
        ("mysql://host/db?passwd=p'", "mysql://host/db?passwd=***'"),
        ("MySQL://host/db?PASSWORD=p", "MySQL://host/db?PASSWORD=***"),
        ("sqlite:///study.db and http://host", "sqlite:///study.db and http://host"),
    ],
)
def test_a_text_without_its_passwords(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_a_terminal_obeys_nothing() -> None:
    assert printable("a\x1b[2Jb\x07\rc\x9b1md\x00\n\te") == "a[2Jbc1md\n\te"
    assert printable("Übung – 学習率 🔥") == "Übung – 学習率 🔥"


def test_a_table_obeys_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"task": "\x1b]0;pwned\x07x.py:T"}], empty="")
    assert "\x1b" not in capsys.readouterr().out


def test_folders_are_their_owners_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        make_folder(tmp_path / "a" / "b")
        make_folder(tmp_path / "a" / "b")
    finally:
        os.umask(old)
    assert [(tmp_path / one).stat().st_mode & 0o777 for one in ("a", "a/b")] == [0o700, 0o700]


def test_a_file_in_the_way_is_an_error_of_the_file_system(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file" / "inside")
