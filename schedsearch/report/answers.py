"""The three answers of a study for the terminal, and as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from schedsearch.evidence import words
from schedsearch.evidence.intervals import Estimate
from schedsearch.report.finalists import question_facts
from schedsearch.report.rows import StudyRows
from schedsearch.report.values import AnswerFacts, Interval, QuestionFacts
from schedsearch.search.importance import QUESTIONS, Importances
from schedsearch.store import Verdict

HEADS = ("answer", "{metric}", "better than the best other by", "base LR", "measured")
METHODS = {"ped_anova": "PED-ANOVA", "fanova": "fANOVA"}


@dataclass(frozen=True)
class Answers:
    """What a study answers. seeds: fresh seeds a finalist."""

    study: str
    task: str
    metric: str
    direction: str
    seeds: int
    questions: tuple[QuestionFacts, ...]
    importances: Importances

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `importances` with the question that each method answers."""
        return {**asdict(self), "importances": {**asdict(self.importances), "answers": QUESTIONS}}


def answers_of_study(rows: StudyRows, verdict: Verdict) -> Answers:
    """The stored answers of a finished study, and what mattered in its search."""
    study = rows.study
    return Answers(
        study=study.name,
        task=study.task,
        metric=study.metric,
        direction=study.direction,
        seeds=max((one.seeds for one in verdict.standings), default=0),
        questions=question_facts(rows, verdict),
        importances=rows.importances,
    )


def answers_text(answers: Answers) -> str:
    """Question by question: the sentence, the answers side by side, the base LRs they like; then what mattered."""
    better = "lower" if answers.direction == "minimize" else "higher"
    head = f"{answers.study}: {answers.metric} on {answers.task}, {better} is better"
    head += f", {words.seeds(answers.seeds)} a finalist"
    parts = [head, *(_question(one, answers.metric) for one in answers.questions), _importances(answers.importances)]
    return "\n\n".join(parts)


def _question(facts: QuestionFacts, metric: str) -> str:
    if not facts.is_asked:
        return f"{facts.title}: {facts.chosen}. The space of this study has no other answer."
    rows = [[head.format(metric=metric) for head in HEADS], *(_answer(one) for one in facts.answers)]
    lines = [f"{facts.title}: {facts.chosen}. {facts.sentence}", *table(rows)]
    return "\n".join([*lines, facts.lr_sentence] if facts.lr_sentence else lines)


def _answer(one: AnswerFacts) -> list[str]:
    mark = "* " if one.is_chosen else "  "
    if not one.confirmed:
        return [f"  {one.answer}", _with_interval(one.score), "", words.lr(one.base_lr), "not confirmed"]
    lead = "" if one.lead is None else _with_interval(one.lead, one.p_permutation)
    runs = f"{one.runs} run{'' if one.runs == 1 else 's'}"
    return [f"{mark}{one.answer}", _with_interval(one.score), lead, words.lr(one.base_lr), runs]


def _with_interval(interval: Interval, p: float | None = None) -> str:
    if interval.value is None:
        return "diverged"
    return words.with_interval(Estimate(interval.value, interval.low, interval.high, p_permutation=p))


def _importances(found: Importances) -> str:
    if not found.choices:
        return found.note
    asked = [f"  {METHODS[key]}: {question}" for key, question in QUESTIONS.items()]
    rows = [["", *METHODS.values()]]
    rows += [[one.choice, f"{100 * one.ped_anova:.0f} %", f"{100 * one.fanova:.0f} %"] for one in found.choices]
    return "\n".join([f"What mattered in the search ({found.runs} runs, one seed each):", *table(rows), *asked])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of equally many texts as lines with aligned columns, indented by two."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
