"""Every error of the project, under one base class. The command line catches that class once."""

from collections.abc import Sequence


class SchedsearchError(Exception):
    """Something went wrong in a way that one sentence explains. `exit_code` is what the command line ends with."""

    exit_code = 1


class InvalidInput(SchedsearchError):
    """The user gave something impossible; nothing was written. Holds every fault found, one sentence each."""

    exit_code = 2

    def __init__(self, faults: str | Sequence[str]) -> None:
        self.faults: tuple[str, ...] = (faults,) if isinstance(faults, str) else tuple(faults)
        super().__init__("\n".join(self.faults))


class InvalidSchedule(InvalidInput):
    """A schedule that cannot exist (a value out of bounds, a warm-up longer than the horizon, ...)."""


class InvalidSpace(InvalidInput):
    """A search space file that cannot be used."""


class InvalidTask(InvalidInput):
    """A task that cannot be loaded or does not train for two updates."""


class UnknownStudy(InvalidInput):
    """No study of that name in the store."""


class StudyExists(InvalidInput):
    """A study of that name exists already and differs from the one asked for."""


class StoreError(SchedsearchError):
    """The results store could not be reached, read or written."""


class StoreFull(StoreError):
    """The disk under the results store is full; nothing was written."""


class SchemaMismatch(StoreError):
    """The store's schema is older or newer than this code; the message names the command to run."""


class LeaseLost(StoreError):
    """The run is no longer this worker's: its lease expired and somebody else holds it, or it was finished."""


class RunInterrupted(SchedsearchError):
    """The run was asked to stop before its horizon; it goes back to the queue."""

    exit_code = 130


class NotBatchable(SchedsearchError):
    """These runs cannot be trained as one array with the results of single runs; nothing was recorded. Train them one
    by one."""


class StudyInterrupted(SchedsearchError):
    """The study was asked to stop; what is trained is kept and it can be resumed."""

    exit_code = 130


class TrackingError(SchedsearchError):
    """MLflow could not be reached or refused the request. Never stops a study."""


class NoSuccessfulRun(SchedsearchError):
    """The study ended without one run that reached its horizon."""

    exit_code = 4
