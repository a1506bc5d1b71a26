"""The thread that keeps the leases of runs alive and carries their measurements to the store while they train."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from types import TracebackType

from schedsearch.errors import LeaseLost, StoreError
from schedsearch.store import Claim, MeasurementRow, Store

logger = logging.getLogger(__name__)


class Heartbeat:
    """Context manager around a run, or several that are trained together (`add`); they are named by their position.
    Training only appends to a list; every write happens on this thread.

    `lost` is set once the store says that somebody else holds them all, `unwanted` once their study was stopped;
    whoever trains looks at both and stops. A store that cannot be reached is tried again at the next beat, with the
    measurements kept.
    """

    def __init__(self, store: Store, claim: Claim, lease_s: float) -> None:
        self._store = store
        self._claims = [claim]
        self._lease_s = lease_s
        self._buffers: dict[int, list[MeasurementRow]] = {}
        self._gone: set[int] = set()
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

    def add(self, claims: Sequence[Claim]) -> None:
        """Keep these alive, too."""
        self._claims = [*self._claims, *claims]

    def record(self, run: int, measurements: Sequence[MeasurementRow]) -> None:
        """Keep these until the next beat; costs the training loop one list append."""
        with self._lock:
            self._buffers.setdefault(run, []).extend(measurements)

    def take(self, run: int) -> list[MeasurementRow]:
        """What has not been written yet; the caller writes it."""
        with self._lock:
            return self._buffers.pop(run, [])

    def _beat(self) -> None:
        while not self.lost.is_set() and not self._ended.wait(self._lease_s / 3):
            claims = self._claims
            for run, claim in enumerate(claims):
                if run not in self._gone and not self._renew(run, claim):
                    break  # the store does not answer: the others would wait for it as long
            if len(self._gone) == len(claims):
                self.lost.set()

    def _renew(self, run: int, claim: Claim) -> bool:
        """Whether the store answered."""
        try:
            if not self._store.renew(claim, self._lease_s):
                self.unwanted.set()
            self._write(run, claim)
        except LeaseLost:
            self._gone.add(run)
        except StoreError as error:
            logger.warning("run %s: the store did not answer, trying again: %s", claim.run_id, error)
            return False
        return True

    def _write(self, run: int, claim: Claim) -> None:
        taken = self.take(run)
        try:
            if taken:
                self._store.write_measurements(claim, taken)
        except StoreError:
            with self._lock:
                self._buffers[run] = taken + self._buffers.get(run, [])
            raise
