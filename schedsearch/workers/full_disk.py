"""A store whose disk is full: whatever writes to it waits for somebody to make space, as it waits out an outage."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from schedsearch.errors import StoreFull

FULL_FOR_S = 600.0
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0  # shorter than a lease, which may be renewed between two tries

logger = logging.getLogger(__name__)

T = TypeVar("T")


def once_there_is_space(action: Callable[[], T], stopping: threading.Event, for_s: float = FULL_FOR_S) -> T:
    """What `action` returns; it may be repeated, and is, with growing waits, while the store's disk is full.

    Raises StoreFull after `for_s` seconds, or once `stopping` is set.
    """
    began = time.monotonic()
    wait_s = FIRST_WAIT_S
    while True:
        try:
            done = action()
        except StoreFull as error:
            if stopping.is_set() or time.monotonic() + wait_s > began + for_s:
                raise
            if wait_s == FIRST_WAIT_S:
                logger.warning("waiting up to %g s for space on its disk: %s", for_s, error)
        else:
            if wait_s > FIRST_WAIT_S:
                logger.warning("the store has space again after %.0f s", time.monotonic() - began)
            return done
        stopping.wait(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
