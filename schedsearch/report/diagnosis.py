"""What happened in every run, as the report shows it."""

from __future__ import annotations

from collections.abc import Sequence

from schedsearch.evidence.diagnosis import Curve, Diagnosed, Kind, counts, diagnose, startup_sentence
from schedsearch.report.rows import FREEFORM, StudyRows, name_of
from schedsearch.report.values import DiagnosedRun, DiagnosisFacts, Line
from schedsearch.store import Candidate, MeasurementRow, Run

MEANINGS = {
    Kind.UNSTABLE_START: "the loss climbed, or the run diverged, while the LR was still near its first values",
    Kind.PLATEAU_ESCAPE: "the loss stood for long at a high LR and then broke out without help from the LR",
    Kind.WANDERING: "the loss got nowhere while the LR was high, and fell only once it dropped",
    Kind.FROZEN_EARLY: "the LR was effectively gone while the loss was still falling",
    Kind.HEALTHY: "none of these",
}


def diagnose_run(run: Run, candidate: Candidate, measurements: Sequence[MeasurementRow]) -> Diagnosed:
    """The diagnosis of one run that completed or diverged, from its measurements in the store."""
    curve = Curve(
        total_updates=run.total_updates,
        updates=[one.update for one in measurements],
        lrs=[one.lr for one in measurements],
        train_losses=[one.train_loss for one in measurements],
        val_losses=[one.val_loss for one in measurements],
        initial_loss=run.initial_loss,
        diverged_at=run.diverged_at,
    )
    return Diagnosed(
        run_id=run.id,
        arm="free shape" if candidate.kind == FREEFORM else candidate.arm,
        has_warmup=candidate.schedule.warmup is not None,
        base_lr=candidate.schedule.base_lr,
        diagnosis=diagnose(curve),
    )


def diagnosis_facts(rows: StudyRows) -> DiagnosisFacts:
    """Counts by arm, the sentence about the start, and every run that ended, the troubled first."""
    ended = {run.id: run for run in rows.ended()}
    found = [
        diagnose_run(run, rows.by_id[run.candidate_id], rows.measurements.get(run.id, ())) for run in ended.values()
    ]
    kinds = list(Kind)
    arms = sorted(counts(found).items(), key=lambda pair: (pair[1][Kind.HEALTHY] - pair[1].total(), -pair[1].total()))
    ordered = sorted(found, key=lambda one: (kinds.index(one.diagnosis.kind), -one.base_lr))
    return DiagnosisFacts(
        sentence=startup_sentence(found),
        kinds=tuple((kind.value, MEANINGS[kind]) for kind in kinds),
        arms=tuple((arm, tuple(of[kind] for kind in kinds)) for arm, of in arms),
        runs=tuple(_run(rows, ended[one.run_id], one) for one in ordered),
    )


def _run(rows: StudyRows, run: Run, found: Diagnosed) -> DiagnosedRun:
    candidate = rows.by_id[run.candidate_id]
    measured = rows.measurements.get(run.id, ())
    updates = tuple(float(one.update) for one in measured)
    losses = tuple(one.val_loss if one.train_loss is None else one.train_loss for one in measured)
    if run.initial_loss is not None:
        updates, losses = (0.0, *updates), (run.initial_loss, *losses)
    return DiagnosedRun(
        run_id=run.id,
        schedule=f"{name_of(candidate)}: {candidate.schedule.describe()}",
        arm=found.arm,
        has_warmup=found.has_warmup,
        base_lr=found.base_lr,
        phase=run.phase.value,
        seed=run.seed,
        kind=found.diagnosis.kind.value,
        sentence=found.diagnosis.sentence,
        losses=Line(updates, losses),
        lrs=Line(tuple(float(one.update) for one in measured), tuple(one.lr for one in measured)),
    )
