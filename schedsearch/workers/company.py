"""Which waiting runs a worker trains together with the one that it has claimed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from schedsearch.errors import StoreFull
from schedsearch.store import Claim, Store, Study
from schedsearch.task.facts import Together
from schedsearch.task.script import is_script
from schedsearch.training.wire import Order
from schedsearch.workers.process import TrainingProcess

logger = logging.getLogger(__name__)

FEWEST = 4  # no fewer are ever quicker together


class Company:
    """Of one worker; peers: how many workers were started with it, itself included. What is quicker together is
    measured at the first chance, by its own process on its own device."""

    def __init__(self, store: Store, training: TrainingProcess, device: str, lease_s: float, peers: int) -> None:
        self._store = store
        self._training = training
        self._device = device
        self._lease_s = lease_s
        self._peers = peers
        self._sizes: dict[tuple[int, int], Together] = {}

    def of(self, first: Claim, study: Study, order: Order, should_stop: Callable[[], bool]) -> list[Claim]:
        """Further runs, claimed: this worker's fair share of those that wait, where they are quicker together than one
        by one. A run that was tried before is tried alone, so that it is known whose fault it is. order: of `first`."""
        if first.attempt > 1 or is_script(study.task) or not study.budget.get("arrays", True):
            return []
        alike = self._store.alike(first)
        of_its_seed, of_all_seeds = (
            alike.share(waiting, self._peers) for waiting in (alike.of_its_seed, alike.of_all_seeds)
        )
        if of_all_seeds < FEWEST:
            return []
        found = self._together(first, study, order, should_stop)
        one_seed, several = found.of(of_its_seed, mixed=False), found.of(of_all_seeds, mixed=True)
        most = max(one_seed, several)
        if most == 1:
            return []
        mixed = several > one_seed
        try:
            return self._store.claim_more(first, most - 1, lease_s=self._lease_s, device=self._device, mixed=mixed)
        except StoreFull:
            return []  # the run in hand can be trained meanwhile

    def is_impossible(self, claim: Claim) -> None:
        """Runs like this one proved to be no company: from now on they are trained one by one."""
        self._sizes[claim.study_id, claim.total_updates] = Together()

    def _together(self, first: Claim, study: Study, order: Order, should_stop: Callable[[], bool]) -> Together:
        key = first.study_id, first.total_updates
        if key not in self._sizes:
            found = self._sizes[key] = Together(**self._training.size(order, should_stop))
            if found.reason:
                logger.info("study %s: runs are trained one by one: %s", study.name, found.reason)
            if found.most > 1:
                about = {"study": study.name, "worker": first.worker_id, "most": found.most, "gain": found.gain}
                sentence = "study %s: up to %d runs are trained together, %.1f times as many an hour"
                logger.info(sentence, study.name, found.most, found.gain, extra=about)
        return self._sizes[key]
