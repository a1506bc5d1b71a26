"""`Store`: everything that is known about studies, behind one class."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, delete, insert, select, update

from schedsearch.errors import InvalidInput, StudyExists, UnknownStudy
from schedsearch.store import alike, copies, overview, planning, probes, queue, verdicts
from schedsearch.store.engine import epoch_now
from schedsearch.store.migrations import ensure
from schedsearch.store.planning import lock_study
from schedsearch.store.records import (
    Alike,
    Candidate,
    Claim,
    MeasurementRow,
    ModelCheck,
    NewCandidate,
    NewRun,
    NewStudy,
    Overview,
    Phase,
    Probe,
    Run,
    RunResult,
    RunState,
    Study,
    StudyState,
    Verdict,
)
from schedsearch.store.retries import connected, retrying
from schedsearch.store.rows import (
    candidate_values,
    check_fits,
    clean_text,
    insert_or_ignore,
    plain,
    to_candidate,
    to_measurement,
    to_run,
    to_study,
)
from schedsearch.store.tables import candidate, measurement, model_check, run, study

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
FINISHED = [state.value for state in RunState if state.is_finished]

T = TypeVar("T")


class Store:
    """The results store at one database URL (SQLite, PostgreSQL, MySQL or MariaDB).

    **Who owns what.** A WAITING run is nobody's; `claim` gives it to one worker, as a lease of `lease_s` seconds and an
    attempt number. While the run is RUNNING only the holder of its newest attempt may `renew`, `write_measurements`,
    `finish`, `fail` or `release` it; everybody else gets LeaseLost and has changed nothing. A lease that was not
    renewed in time is taken away by the next `claim` of any worker: the run waits again, and after three lost attempts
    it has FAILED; so it does after `fail`. `release` gives a run back without counting a loss. Ages are measured by the
    database's clock alone.

    **What may change after it finished.** Of a finished run only the marks `told` and `mirrored` and its id in MLflow;
    state, score and measurements never again. The measurements of an attempt that did not finish are dropped when its
    run is released or claimed anew. A FINISHED study keeps its state; a STOPPED or FAILED one may be set RUNNING again.
    Candidates never change.

    **Copies.** `add_runs` with `reuse` trains nothing twice: a run whose training some run of this database has ended
    already (see `copies`) never waits. It is written COMPLETED or DIVERGED at once, with that run's result and
    measurements, and names it in `copied_from`; no worker, attempt or claim is known of it. A run that was copied is
    never copied itself.

    **Planning.** A study has at most one planner: `take_planner` gives a token, and `advance` and `save_verdict` are
    refused with LeaseLost once a newer token was given, or once the planner was dropped. A planner's lease can be taken
    over when it has expired; `renew_planner` prolongs it, and the holder itself may take it again at any time, which
    makes its older token void.

    **Repeating.** Every method is one transaction and may be called again with the same arguments after a crash:
    studies by name, candidates by schedule, runs by (candidate, phase, seed, horizon) and measurements by update are
    written once; a result that was accepted already is accepted again if it is the same. The store repeats a
    transaction itself for up to three minutes while the database is restarted, locked or out of reach; if the answer to
    a `claim` was lost on the way, that run waits until its lease has expired.

    **Errors.** StoreError: the database failed, in one sentence without its password. SchemaMismatch: the schema is
    another version's. LeaseLost: as above. UnknownStudy: no such study. InvalidInput: a value that not every database
    can hold, so that all of them refuse the same. A number that is not finite is stored as "not known" where that is
    allowed (losses, metrics, intervals); a completed run's score must be finite.

    Safe for use by several threads. A context manager; `close` gives the connections back.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(sqlite_begin="DEFERRED")

    @classmethod
    def open(cls, url: str) -> Store:
        """Connect, make the schema in an empty database, and check it otherwise.

        Raises InvalidInput (no URL of a known kind), StoreError (not reachable or not writable), SchemaMismatch.
        """
        engine = connected(url)
        try:
            retrying(lambda: ensure(engine), engine.url)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The database's URL with its driver and its password: to connect with, never to show."""
        return self._engine.url.render_as_string(hide_password=False)

    # ---- studies

    def create_study(self, new: NewStudy) -> Study:
        """Write a study, RUNNING in phase NOISE. The same study again is given back as it stands.

        Raises InvalidInput for a bad name, StudyExists when the name belongs to a study that differs.
        """
        if NAME.fullmatch(new.name) is None:
            raise InvalidInput(
                "`study` must be 1 to 100 letters, digits, '.', '_' or '-' and begin with a letter or a digit, "
                f"but is {new.name!r} instead."
            )
        values = {one.name: plain(getattr(new, one.name)) for one in fields(NewStudy)}
        check_fits(study, values)

        def write(connection: Connection) -> Study:
            given = {**values, "phase": Phase.NOISE.value, "state": StudyState.RUNNING.value, "planner_token": 0}
            connection.execute(insert_or_ignore(study, connection.dialect).values(**given, created_at=epoch_now()))
            there = to_study(connection.execute(select(study).where(study.c.name == new.name)).one())
            if any(getattr(there, key) != value for key, value in values.items()):
                raise StudyExists(f"A study named {new.name!r} exists already and differs from this one.")
            return there

        return self._write(write)

    def study(self, name: str) -> Study:
        """The study of this name. Raises UnknownStudy."""
        asked = select(study).where(study.c.name == name)
        row = self._read(lambda it: it.execute(asked).one_or_none()) if NAME.fullmatch(name) else None
        if row is None:
            raise UnknownStudy(f"There is no study named {name!r} in the store.")
        return to_study(row)

    def studies(self) -> list[Study]:
        """Every study, oldest first."""
        return self._read(lambda it: [to_study(row) for row in it.execute(select(study).order_by(study.c.id))])

    def set_study_state(self, study_id: int, state: StudyState, reason: str | None = None) -> None:
        """Stop, fail or resume a study. One that is FINISHED stays so, without an error. Raises UnknownStudy."""
        ended_at = None if state is StudyState.RUNNING else epoch_now()

        def write(connection: Connection) -> None:
            lock_study(connection, study_id)
            connection.execute(
                update(study)
                .where(study.c.id == study_id, study.c.state != StudyState.FINISHED.value)
                .values(state=state.value, reason=clean_text(reason), finished_at=ended_at)
            )

        self._write(write)

    def set_mlflow_ids(self, study_id: int, experiment_id: str, run_id: str) -> None:
        """Remember the study's place in MLflow."""
        values = {"mlflow_experiment_id": experiment_id, "mlflow_run_id": run_id}
        self._write(lambda it: it.execute(update(study).where(study.c.id == study_id).values(**values)))

    # ---- planning

    def take_planner(self, study_id: int, worker_id: str, lease_s: float) -> int | None:
        """A token for planning this study during `lease_s` seconds; None while another worker plans it."""
        return self._write(lambda it: planning.take(it, study_id, worker_id, lease_s))

    def renew_planner(self, study_id: int, token: int, lease_s: float) -> None:
        """Plan with this token for `lease_s` seconds from now on. Raises LeaseLost when it is void."""
        self._write(lambda it: planning.renew(it, study_id, token, lease_s))

    def drop_planner(self, study_id: int, token: int) -> None:
        """Let another worker plan; nothing happens when the token is void already."""
        self._write(lambda it: planning.drop(it, study_id, token))

    def advance(self, study_id: int, token: int, phase: Phase, plan: Mapping[str, Any]) -> None:
        """Move the study to `phase` with `plan`. Raises LeaseLost when the token is void."""
        self._write(lambda it: planning.advance(it, study_id, token, phase, plan))

    def save_verdict(self, study_id: int, token: int, verdict: Verdict) -> None:
        """Store the verdict and finish the study. Raises LeaseLost when the token is void."""

        def write(connection: Connection) -> None:
            planning.require(connection, study_id, token)
            verdicts.write(connection, study_id, verdict)
            ended = {"state": StudyState.FINISHED.value, "reason": None, "finished_at": epoch_now()}
            connection.execute(update(study).where(study.c.id == study_id).values(**ended))

        self._write(write)

    def verdict(self, study_id: int) -> Verdict | None:
        """The study's verdict; None while it has none."""
        return self._read(lambda it: verdicts.read(it, study_id))

    def add_model_check(self, study_id: int, runs: int, rank_agreement: float | None) -> None:
        """How well the curve model ranked after `runs` runs; a later check after as many runs replaces it."""

        def write(connection: Connection) -> None:
            lock_study(connection, study_id)
            same = (model_check.c.study_id == study_id, model_check.c.runs == runs)
            connection.execute(delete(model_check).where(*same))
            row = {"study_id": study_id, "runs": runs, "rank_agreement": plain(rank_agreement)}
            connection.execute(insert(model_check).values(**row))

        self._write(write)

    def model_checks(self, study_id: int) -> list[ModelCheck]:
        """Every check of the curve model, in the order of runs."""
        asked = select(model_check).where(model_check.c.study_id == study_id).order_by(model_check.c.runs)
        return self._read(lambda it: [ModelCheck(row.runs, row.rank_agreement) for row in it.execute(asked)])

    # ---- probes

    def save_probe(self, new: Probe) -> None:
        """What a probe found; an earlier one of the same task and options is replaced."""
        self._write(lambda it: probes.write(it, new))

    def probe(self, task_fingerprint: str) -> Probe | None:
        """The newest probe of exactly this task and these options; None where there was none."""
        return self._read(lambda it: probes.read(it, task_fingerprint))

    # ---- candidates and runs

    def add_candidate(self, study_id: int, new: NewCandidate) -> int:
        """The number of this schedule in this study: a new one, or the one it has there already (by `schedule_key`).

        Raises UnknownStudy.
        """
        values = candidate_values(study_id, new)
        check_fits(candidate, values)
        same = (candidate.c.study_id == study_id, candidate.c.schedule_key == values["schedule_key"])

        def write(connection: Connection) -> int:
            lock_study(connection, study_id)
            there = connection.scalar(select(candidate.c.id).where(*same))
            if there is not None:
                return int(there)
            connection.execute(insert(candidate).values(**values))
            return int(connection.execute(select(candidate.c.id).where(*same)).scalar_one())

        return self._write(write)

    def candidates(self, study_id: int, *, ids: Collection[int] | None = None) -> list[Candidate]:
        """The study's candidates (those of these numbers, if given), oldest first."""
        asked = select(candidate).where(candidate.c.study_id == study_id).order_by(candidate.c.id)
        if ids is not None:
            asked = asked.where(candidate.c.id.in_(ids))
        return self._read(lambda it: [to_candidate(row) for row in it.execute(asked)])

    def add_runs(self, study_id: int, new: Sequence[NewRun], *, reuse: bool = False) -> int:
        """Queue these runs in this order; those that are there already (same candidate, phase, seed, horizon) stay as
        they are. reuse: what was trained once, in whatever study, is written as finished rather than queued. Returns
        how many were new. Raises UnknownStudy, and InvalidInput for a candidate of another study."""

        def write(connection: Connection) -> int:
            lock_study(connection, study_id)
            _require_candidates(connection, study_id, {one.candidate_id for one in new})
            there = connection.execute(
                select(run.c.candidate_id, run.c.phase, run.c.seed, run.c.total_updates).where(
                    run.c.study_id == study_id
                )
            )
            missing = {_key(one): one for one in new}
            for row in there:
                missing.pop(tuple(row), None)
            if missing:
                _insert_runs(connection, study_id, list(missing.values()), reuse=reuse)
            return len(missing)

        return self._write(write)

    def runs(self, study_id: int, *, phase: Phase | None = None) -> list[Run]:
        """The study's runs (of one phase, if named) in the order they were queued."""
        asked = select(run).where(run.c.study_id == study_id).order_by(run.c.id)
        if phase is not None:
            asked = asked.where(run.c.phase == phase.value)
        return self._read(lambda it: [to_run(row) for row in it.execute(asked)])

    def counts(self, study_id: int) -> dict[Phase, dict[RunState, int]]:
        """How many runs are in which state, for every phase; states that no run is in are left out."""
        return self._read(lambda it: queue.counts(it, study_id))

    def overview(self, study_id: int, direction: str) -> Overview:
        """Where the study stands, by a handful of grouped queries whatever its size."""
        lowest = direction == "minimize"
        return self._read(lambda it: overview.read(it, study_id, lowest_is_best=lowest))

    def clock(self) -> float:
        """Seconds since 1970 by the database's clock, which leases go by."""
        return self._read(overview.clock)

    def measurements(self, run_id: int) -> list[MeasurementRow]:
        """The run's measurements, by update."""
        asked = select(measurement).where(measurement.c.run_id == run_id).order_by(measurement.c.update_number)
        return self._read(lambda it: [to_measurement(row) for row in it.execute(asked)])

    def curves(self, study_id: int) -> dict[int, list[MeasurementRow]]:
        """The measurements of all runs of a study, by run and update, in one query."""
        mine = select(run.c.id).where(run.c.study_id == study_id)
        order = (measurement.c.run_id, measurement.c.update_number)
        asked = select(measurement).where(measurement.c.run_id.in_(mine)).order_by(*order)
        found: dict[int, list[MeasurementRow]] = {}
        for row in self._read(lambda it: it.execute(asked).all()):
            found.setdefault(row.run_id, []).append(to_measurement(row))
        return found

    # ---- the queue

    def claim(
        self,
        worker_id: str,
        *,
        lease_s: float,
        device: str,
        study_id: int | None = None,
        without: Collection[int] = (),
    ) -> Claim | None:
        """The oldest waiting run (of this study, if named; of a RUNNING one in any case), now held by this worker.

        None when nothing waits, but for runs of the studies `without`. Runs whose lease has expired are put back first.
        """
        return self._write(lambda it: queue.claim(it, worker_id, study_id, lease_s, device, without))

    def alike(self, claim: Claim) -> Alike:
        """The waiting runs that could be trained together with the one in hand, and who else is at work."""
        return self._read(lambda it: alike.count(it, claim))

    def claim_more(self, first: Claim, most: int, *, lease_s: float, device: str, mixed: bool) -> list[Claim]:
        """At most `most` further runs of the same study and horizon (and seed, unless `mixed`) that were never tried,
        held as `first` is."""
        return self._write(lambda it: alike.claim_more(it, first, most, lease_s, device, mixed=mixed))

    def renew(self, claim: Claim, lease_s: float, updates_done: int | None = None) -> bool:
        """Hold the run for another `lease_s` seconds from now. Returns whether its study still runs: of one that was
        stopped, the run should be given back. Raises LeaseLost."""
        return self._write(lambda it: queue.renew(it, claim, lease_s, updates_done))

    def write_measurements(self, claim: Claim, rows: Sequence[MeasurementRow]) -> None:
        """Add measurements of a run in hand; one of an update that is there already is ignored. Raises LeaseLost."""
        self._write(lambda it: queue.write_measurements(it, claim, rows))

    def finish(self, claim: Claim, result: RunResult, rows: Sequence[MeasurementRow]) -> None:
        """The run's result, with its last measurements. Raises LeaseLost, and InvalidInput for an impossible result."""
        queue.check_result(result)
        self._write(lambda it: queue.finish(it, claim, result, rows))

    def finish_together(self, ends: Sequence[tuple[Claim, RunResult, Sequence[MeasurementRow]]]) -> list[Claim]:
        """`finish` for several runs in one transaction. Those whose lease was lost are given back, unchanged."""
        for _, result, _ in ends:
            queue.check_result(result)
        return self._write(lambda it: alike.finish_all(it, ends))

    def fail(self, claim: Claim, result: RunResult, rows: Sequence[MeasurementRow], tries: int) -> None:
        """An attempt without a result, why (`result.failure`, `reason`) and what it printed last. The run waits to be
        tried again, unless it has lost `tries` attempts now: then this is its result. Raises LeaseLost."""
        queue.check_result(result)
        self._write(lambda it: queue.fail(it, claim, result, rows, tries))

    def release(self, claim: Claim) -> None:
        """Put the run back at its place in the queue, as if it had not been tried. Raises LeaseLost."""
        self._write(lambda it: queue.release(it, claim))

    def retry_failed(self, study_id: int) -> int:
        """Put the failed runs of a study back into its queue; for whoever has mended what made them fail."""
        return self._write(lambda it: queue.retry_failed(it, study_id))

    # ---- marks of what was passed on

    def mark_told(self, run_ids: Sequence[int]) -> None:
        """Optuna knows how these runs ended."""
        if run_ids:
            self._write(lambda it: it.execute(update(run).where(run.c.id.in_(run_ids)).values(told=True)))

    def mark_mirrored(self, run_id: int, mlflow_run_id: str) -> None:
        """MLflow shows this run, as its run `mlflow_run_id`."""
        values = {"mirrored": True, "mlflow_run_id": mlflow_run_id}
        self._write(lambda it: it.execute(update(run).where(run.c.id == run_id).values(**values)))

    def unmirrored(self, study_id: int, limit: int) -> list[Run]:
        """At most `limit` finished runs that MLflow does not show yet, oldest first."""
        waiting = (run.c.study_id == study_id, run.c.mirrored.is_(False), run.c.state.in_(FINISHED))
        asked = select(run).where(*waiting).order_by(run.c.id).limit(limit)
        return self._read(lambda it: [to_run(row) for row in it.execute(asked)])

    # ---- transactions

    def _write(self, action: Callable[[Connection], T]) -> T:
        return self._transaction(self._engine, action)

    def _read(self, action: Callable[[Connection], T]) -> T:
        """On SQLite a reading transaction waits for nobody and nobody waits for it."""
        return self._transaction(self._reader, action)

    def _transaction(self, engine: Engine, action: Callable[[Connection], T]) -> T:
        def once() -> T:
            with engine.begin() as connection:
                return action(connection)

        return retrying(once, self._engine.url)


def _require_candidates(connection: Connection, study_id: int, ids: set[int]) -> None:
    found = connection.scalars(select(candidate.c.id).where(candidate.c.study_id == study_id))
    missing = sorted(ids.difference(found))
    if missing:
        raise InvalidInput(f"`candidate_id` must be a candidate of study {study_id}, but is {missing[0]} instead.")


def _insert_runs(connection: Connection, study_id: int, new: Sequence[NewRun], *, reuse: bool) -> None:
    known = copies.earlier_results(connection, study_id, new) if reuse else [{}] * len(new)
    rows = [{**_waiting(study_id, one), **found} for one, found in zip(new, known, strict=True)]
    connection.execute(insert(run).values(created_at=epoch_now()), rows)
    if any(known):
        copies.complete_copies(connection, study_id)


def _key(new: NewRun) -> tuple[Any, ...]:
    return new.candidate_id, new.phase.value, new.seed, new.total_updates


def _waiting(study_id: int, new: NewRun) -> dict[str, Any]:
    values = {
        **copies.NOTHING_YET,
        **vars(new),
        "study_id": study_id,
        "phase": new.phase.value,
        "state": RunState.WAITING.value,
        "attempt": 0,
        "leases_lost": 0,
        "told": False,
        "mirrored": False,
    }
    check_fits(run, values)
    return values
