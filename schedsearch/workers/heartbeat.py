"""The thread that keeps a claimed run's lease alive and carries its measurements to the store while it trains."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType

from schedsearch.errors import LeaseLost, StoreError
from schedsearch.store import Claim, MeasurementRow, Store

logger = logging.getLogger(__name__)


class Heartbeat:
    """Context manager around one run. Training only appends to a list; every write happens on this thread.

    `lost` is set once the store says that somebody else holds the run, `unwanted` once its study was stopped; whoever
    trains looks at both and stops.
    A store that cannot be reached is tried again at the next beat, with the measurements kept.
    """

    def __init__(self, store: Store, claim: Claim, lease_s: float) -> None:
        self._store = store
        self._claim = claim
        self._lease_s = lease_s
        self._buffer: list[MeasurementRow] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-run-{claim.run_id}", daemon=True)
        self.lost = threading.Event()
        self.unwanted = threading.Event()

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def record(self, measurements: Sequence[MeasurementRow]) -> None:
        """Keep these until the next beat; costs the training loop one list append."""
        with self._lock:
            self._buffer.extend(measurements)

    def take(self) -> list[MeasurementRow]:
        """What has not been written yet; the caller writes it."""
        with self._lock:
            taken, self._buffer = self._buffer, []
        return taken

    def _beat(self) -> None:
        while not self._ended.wait(self._lease_s / 3):
            try:
                self._renew()
            except LeaseLost:
                self.lost.set()
                return
            except StoreError as error:
                logger.warning(
                    "run %s: the store did not answer, trying again: %s", self._claim.run_id, error
                )

    def _renew(self) -> None:
        if not self._store.renew(self._claim, self._lease_s):
            self.unwanted.set()
        taken = self.take()
        try:
            if taken:
                self._store.write_measurements(self._claim, taken)
        except StoreError:
            with self._lock:
                self._buffer[:0] = taken
            raise
