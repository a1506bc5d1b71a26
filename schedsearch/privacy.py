"""What is nobody else's business: passwords in texts, control of a terminal, folders of one's own."""

import re
from pathlib import Path

CREDENTIALS = re.compile(r"(?<=://)\S*@")  # rather too much than a part of a password that holds an @
SECRET_PARAMETER = re.compile(r"([?&][^=&\s]*passw[^=&\s]*=)[^&\s'\"]*", re.IGNORECASE)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def redact(text: str) -> str:
    """The text with the credentials of every URL in it left out: `http://user:pass@host` becomes `http://host`, and
    `?password=pass` becomes `?password=***`."""
    return SECRET_PARAMETER.sub(r"\1***", CREDENTIALS.sub("", text))


def printable(text: str) -> str:
    """The text without what a terminal would obey (ESC, carriage returns, other control characters)."""
    return CONTROLS.sub("", text)


def make_folder(path: Path) -> None:
    """Make this folder, and those above it that are missing, for their owner only, whatever the umask."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        one.mkdir(mode=0o700, exist_ok=True)
