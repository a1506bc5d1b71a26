"""Prometheus metrics of every study of a store, read at the moment of asking; prometheus_client's one door."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from schedsearch.commands.inspect import require_file_store
from schedsearch.store import Overview, Store, Study, StudyState

RUN_LABELS = ("study", "phase", "state")


class StudyCollector(Collector):
    """Reads the store at every scrape: a handful of grouped queries a study, whatever its size."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        """All metric families of all studies."""
        found = [(study, self._store.overview(study.id, study.direction)) for study in self._store.studies()]
        yield from (_states(found), _runs(found), _failures(found))
        yield _each("retried_runs", "Runs that took more than one attempt.", found, lambda one: one.retried)
        yield _each("trained_seconds", "Seconds trained, of all runs that ended.", found, lambda one: one.trained_s)
        yield _each("copied_runs", "Runs that were taken from earlier studies.", found, lambda one: one.copied)
        yield _each("active_workers", "Runs that are being trained now.", found, lambda one: len(one.active))
        yield _each("expired_leases", "Runs whose worker has gone silent.", found, _expired)
        yield _each("best_score", "The best score so far; absent before the first.", found, _best)
        yield _each("peak_memory_bytes", "The most memory that any run took.", found, lambda one: one.peak_memory_bytes)
        yield _each("utilization", "Mean share of their time in which runs kept their device busy.",
                    found, lambda one: one.utilization)
        yield _each("energy_joules", "Joules of the training, where a driver tells.", found, lambda one: one.energy_j)


def metrics_text(storage: str) -> str:
    """The metrics of this store in Prometheus' text format."""
    require_file_store(storage)
    with Store.open(storage) as store:
        registry = CollectorRegistry()
        registry.register(StudyCollector(store))
        return generate_latest(registry).decode()


def serve_metrics(storage: str, host: str, port: int) -> None:
    """Answer scrapes at http://host:port/metrics until interrupted."""
    require_file_store(storage)
    with Store.open(storage) as store:
        registry = CollectorRegistry()
        registry.register(StudyCollector(store))
        _, thread = start_http_server(port, host, registry)
        thread.join()


Found = list[tuple[Study, Overview]]


def _gauge(name: str, meaning: str, labels: tuple[str, ...]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"schedsearch_{name}", meaning, labels=labels)


def _states(found: Found) -> Metric:
    gauge = _gauge("study_state", "1 for the state that a study is in.", ("study", "state"))
    for study, _ in found:
        for state in StudyState:
            gauge.add_metric((study.name, state.value), float(study.state is state))
    return gauge


def _runs(found: Found) -> Metric:
    gauge = _gauge("runs", "Runs by phase and state.", RUN_LABELS)
    for study, overview in found:
        for phase, states in overview.counts.items():
            for state, number in states.items():
                gauge.add_metric((study.name, phase.value, state.value), number)
    return gauge


def _failures(found: Found) -> Metric:
    gauge = _gauge("failed_attempts", "Runs by the class of an attempt without a result.", ("study", "failure"))
    for study, overview in found:
        for failure, number in overview.failures.items():
            gauge.add_metric((study.name, failure.value), number)
    return gauge


def _each(name: str, meaning: str, found: Found, value: Callable[[Overview], float | None]) -> Metric:
    gauge = _gauge(name, meaning, ("study",))
    for study, overview in found:
        number = value(overview)
        if number is not None:
            gauge.add_metric((study.name,), number)
    return gauge


def _expired(one: Overview) -> int:
    return sum(active.lease_left_s < 0 for active in one.active)


def _best(one: Overview) -> float | None:
    return None if one.best is None else one.best[1]
