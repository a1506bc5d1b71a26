"""A study's report data, read from the results store and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from schedsearch.evidence import estimate_noise, pairing_correlation
from schedsearch.report.diagnosis import diagnosis_facts
from schedsearch.report.finalists import finalist_facts, prediction_facts, question_facts, verdict_facts
from schedsearch.report.model import model_facts, shape_facts
from schedsearch.report.rows import StudyRows
from schedsearch.report.searched import arm_facts, candidate_facts, searched_runs
from schedsearch.report.values import NoiseFacts, PhaseFacts, ReportData, StudyFacts
from schedsearch.search.importance import Importances
from schedsearch.store import Phase, Run, RunState, Store, Study
from schedsearch.task.script import shown_task

MEANINGS = {
    Phase.NOISE: "one baseline on several seeds: how much do results scatter?",
    Phase.SEARCH: "candidates of every arm, and every baseline's base LR, one seed each",
    Phase.SCREEN: "candidates at a shorter horizon, which decides what is trained in full",
    Phase.RACE: "the champion of every answer on fresh seeds; it only picks",
    Phase.CONFIRM: "the finalists and baselines on other fresh seeds: the only batch that is reported",
}


def load_report_data(store: Store, study_name: str) -> ReportData:
    """Everything the report shows. Raises UnknownStudy when there is no study of that name."""
    return assemble(read_rows(store, study_name))


NO_IMPORTANCES = Importances(0, (), "Importances are kept with the verdict; this study has none.")


def read_rows(store: Store, study_name: str, *, with_curves: bool = True) -> StudyRows:
    """The rows behind a report; with curves also the measurements of its runs."""
    study = store.study(study_name)
    verdict = store.verdict(study.id)
    kept = None if verdict is None else verdict.details.get("importances")
    return StudyRows(
        study=study,
        candidates=store.candidates(study.id),
        runs=store.runs(study.id),
        verdict=verdict,
        measurements=store.curves(study.id) if with_curves else {},
        model_checks=store.model_checks(study.id),
        importances=NO_IMPORTANCES if kept is None else Importances.from_dict(kept),
    )


def assemble(rows: StudyRows) -> ReportData:
    """The report data of these rows."""
    verdict = rows.verdict
    finalists = () if verdict is None else finalist_facts(rows, verdict)
    by_id = {one.candidate_id: one for one in finalists}
    return ReportData(
        study=_study(rows),
        verdict=None if verdict is None else verdict_facts(verdict),
        finalists=finalists,
        questions=() if verdict is None else question_facts(rows, verdict),
        importances=rows.importances,
        arms=arm_facts(rows, by_id),
        searched=searched_runs(rows),
        predictions=() if verdict is None else prediction_facts(rows, verdict),
        shape=None if verdict is None else shape_facts(verdict, by_id),
        model=None if verdict is None else model_facts(rows, verdict),
        diagnosis=diagnosis_facts(rows),
        candidates=candidate_facts(rows, by_id),
        phases=tuple(
            _phase(rows, phase) for phase in Phase if phase is not Phase.SCREEN or rows.ended(Phase.SCREEN)
        ),
        noise=_noise(rows),
        generated=_moment(datetime.now(UTC).timestamp()),
    )


def _study(rows: StudyRows) -> StudyFacts:
    study = rows.study
    details = {} if rows.verdict is None else rows.verdict.details
    return StudyFacts(
        name=study.name,
        task=shown_task(study.task),
        metric=study.metric,
        direction=study.direction,
        state=study.state.value,
        phase=study.phase.value,
        reason=study.reason,
        total_updates=study.total_updates,
        updates_per_epoch=study.updates_per_epoch,
        space=f"{study.space_name} ({study.space_version})",
        strategy=study.strategy,
        seed=study.seed,
        budget=_budget(study.budget),
        started=_moment(study.created_at),
        finished=_moment(study.finished_at),
        hours=_hours(rows.runs),
        copied=len(_copied(rows.runs)),
        devices=tuple(sorted({run.device for run in rows.runs if run.device})),
        base_lr_range=_base_lr_range(study),
        held_fixed=_held_fixed(study, details),
        versions=_texts({"schedsearch": study.code_version, **details.get("versions", {})}),
    )


def _budget(budget: Mapping[str, Any]) -> str:
    given = [f"{value:g} {name}" for name in ("trials", "updates", "hours") if (value := budget.get(name)) is not None]
    return ", ".join(given) or "not stated"


def _base_lr_range(study: Study) -> tuple[float, float] | None:
    given = study.space.get("base_lr")
    return None if given is None else (float(given["low"]), float(given["high"]))


def _held_fixed(study: Study, details: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What the verdict holds for: the task's settings that moved nowhere in the study.

    `details["held_fixed"]`: a mapping such as {"optimizer": "adamw", "batch_size": 64}; the task's options follow.
    """
    return _texts({**details.get("held_fixed", {}), **study.task_options})


def _texts(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(name).replace("_", " "), str(value)) for name, value in values.items())


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _hours(runs: Sequence[Run]) -> float:
    return sum(run.spent_s for run in runs) / 3600


def _copied(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.copied_from is not None]


def _phase(rows: StudyRows, phase: Phase) -> PhaseFacts:
    runs = [run for run in rows.runs if run.phase is phase]
    seeds = sorted({run.seed for run in runs})
    spread = f"{seeds[0]} .. {seeds[-1]}" if len(seeds) > 1 else "".join(map(str, seeds))
    return PhaseFacts(
        name=phase.value,
        meaning=MEANINGS[phase],
        runs=len(runs),
        completed=sum(run.state is RunState.COMPLETED for run in runs),
        diverged=sum(run.state is RunState.DIVERGED for run in runs),
        failed=sum(run.state is RunState.FAILED for run in runs),
        copied=len(_copied(runs)),
        seeds=spread,
        hours=_hours(runs),
        updates=sum(run.updates_done or 0 for run in runs if run.copied_from is None),
    )


def _noise(rows: StudyRows) -> NoiseFacts:
    noise, race = estimate_noise(rows.scores(Phase.NOISE)), rows.scores(Phase.RACE)
    compared = () if rows.verdict is None else rows.verdict.comparisons
    return NoiseFacts(
        sd=noise.sd,
        relative_sd=noise.relative_sd,
        seeds=noise.seeds,
        pairing_correlation=pairing_correlation(race),
        pairing_used=any(one.paired for one in compared),
        sentences=_sentences({} if rows.verdict is None else rows.verdict.details),
    )


def _sentences(details: Mapping[str, Any]) -> tuple[str, ...]:
    found = [(details.get(key) or {}).get("sentence") for key in ("resolution", "screening")]
    return tuple(one for one in found if one)
