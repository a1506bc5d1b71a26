"""`status`: where a study stands, once or until it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator

from schedsearch.commands.inspect import require_file_store
from schedsearch.commands.progress import Progress, read_progress
from schedsearch.store import Store, StudyState

WATCH_S = 1.0


def status(storage: str, name: str, *, watch: bool) -> Iterator[Progress]:
    """Yield the study's progress; with `watch` again every second until it is not running any more."""
    require_file_store(storage)
    with Store.open(storage) as store:
        while True:
            progress = read_progress(store, name)
            yield progress
            if not watch or progress.state != StudyState.RUNNING.value:
                return
            time.sleep(WATCH_S)
