"""The studies that a worker passes over, because their task is not here, not allowed here, or another version here."""

from __future__ import annotations

import time
from collections.abc import Collection

LOOKS_AGAIN_AFTER_S = 300.0


class PassedOver:
    """Studies of one worker, by their ids; after `for_s` seconds all of them are to be looked at again."""

    def __init__(self, for_s: float = LOOKS_AGAIN_AFTER_S) -> None:
        self._for_s = for_s
        self._studies: set[int] = set()
        self._told: dict[int, str] = {}
        self._since = 0.0

    @property
    def studies(self) -> Collection[int]:
        """Those that are passed over now."""
        return frozenset(self._studies)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look again."""
        return bool(self._studies) and time.monotonic() - self._since >= self._for_s

    def add(self, study_id: int, reason: str) -> bool:
        """Pass this one over, too. Returns whether that is news: it was not passed over for this reason before."""
        if not self._studies:
            self._since = time.monotonic()
        self._studies.add(study_id)
        is_news = self._told.get(study_id) != reason
        self._told[study_id] = reason
        return is_news

    def clear(self) -> None:
        """Pass none over any more; what was told of them is remembered."""
        self._studies.clear()
