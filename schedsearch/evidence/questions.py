"""The three questions, answered from the confirmed finalists: which answer, by how much, and in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from schedsearch.evidence import words
from schedsearch.evidence.finalists import Finalist
from schedsearch.evidence.intervals import Estimate, difference, mean_of, parts
from schedsearch.evidence.race import far_behind, shared_answers
from schedsearch.evidence.scores import BySeed, Scores, badness, diverged, sign_of
from schedsearch.space import Question

TITLES = {Question.WARMUP: "Warm-up", Question.DECAY: "Decay", Question.RESTARTS: "Restarts"}
CONFIRM = "confirm"
NOTABLE_RATIO = 1.25  # of the base LRs that go with and without a warm-up


@dataclass(frozen=True)
class AnswerResult:
    """One answer to one question at its best candidate of `phase`.

    difference, diff_low, diff_high: mean of this answer minus mean of the best other answer, in the metric's units
    (None where there is no other, a side diverged, or the phase is not the confirmation). runs: completed runs behind
    the mean. p_permutation: of the difference, by a sign-flip test. sentence: on the chosen answer what a person should
    read; elsewhere empty.
    """

    question: str
    answer: str
    candidate_id: int
    phase: str
    runs: int
    mean: float | None
    ci_low: float | None
    ci_high: float | None
    difference: float | None
    diff_low: float | None
    diff_high: float | None
    best_base_lr: float
    is_chosen: bool
    is_tie: bool
    sentence: str
    p_permutation: float | None = None


@dataclass(frozen=True)
class Side:
    """One answer to a question, and the finalist that speaks for it. given: it shares the answers decided before."""

    question: Question
    answer: str
    speaker: Finalist
    given: bool = True


@dataclass(frozen=True)
class Reading:
    """How the confirmation is read: the sign of the metric, its name, whether pairs are used; everybody's scores."""

    sign: float
    metric: str
    use_pairing: bool
    scores: Scores = field(default_factory=dict)

    def between(self, one: Finalist, other: Finalist) -> Estimate | None:
        """mean(one) - mean(other)."""
        return self.between_scores(one.scores, other.scores)

    def far_behind(self, one: Finalist, other: Finalist) -> bool:
        """Whether it is worse than the other by more than the noise of all explains, whatever its own scatter."""
        known = {one.candidate_id, other.candidate_id} <= self.scores.keys()
        return known and far_behind(self.scores, self.sign, one.candidate_id, other.candidate_id)

    def level(self, one: Finalist, other: Finalist) -> bool:
        """Whether the two cannot be told apart: 0 is in the interval, and neither is far behind."""
        gap = self.between(one, other)
        far = self.far_behind(one, other) or self.far_behind(other, one)
        return gap is not None and gap.holds_zero and not far

    def between_scores(self, one: BySeed, other: BySeed) -> Estimate | None:
        """mean(one) - mean(other)."""
        return difference(one, other, use_pairing=self.use_pairing)


def answer_questions(
    finalists: Sequence[Finalist], leader: Finalist, recommended: Finalist, reading: Reading
) -> tuple[AnswerResult, ...]:
    """Every answer among the finalists, question by question, the chosen one (the recommended schedule's) first.

    Questions are decided in order: warm-up, then the decay given that answer, then restarts given both. So an answer
    is spoken for by a finalist that shares the answers chosen before, where there is one, and the chosen answer is
    compared with the best other that does (with the best of all, where none does). Among those that may speak for an
    answer the leader goes first, so that no side of a lead is picked by the scores that measure it; every other answer
    is spoken for by its best finalist, which can only understate the lead.
    """
    found: list[AnswerResult] = []
    for question in Question:
        found += _answer(question, finalists, leader, recommended, reading)
    return tuple(found)


def _answer(
    question: Question, finalists: Sequence[Finalist], leader: Finalist, recommended: Finalist, reading: Reading
) -> list[AnswerResult]:
    decided = recommended.answers
    values = _values(finalists, question)
    sides = [_side(question, value, finalists, leader, decided, reading) for value in values]
    sides.sort(key=lambda side: (side.answer != decided[question], not side.given, _rank(side.speaker, reading)))
    rest = {side.answer: [other for other in sides if other is not side] for side in sides}
    return [_result(side, rest[side.answer], reading, chosen=side is sides[0]) for side in sides]


def _values(finalists: Sequence[Finalist], question: Question) -> list[str]:
    return list(dict.fromkeys(one.answers[question] for one in finalists))


def _side(
    question: Question,
    value: str,
    finalists: Sequence[Finalist],
    leader: Finalist,
    decided: Mapping[Question, str],
    reading: Reading,
) -> Side:
    same = [one for one in finalists if one.answers[question] == value]
    earlier = list(Question).index(question)
    given = [one for one in same if shared_answers(one.answers, decided, question) == earlier]
    pool = given or same
    speaker = leader if leader in pool else min(pool, key=lambda one: _rank(one, reading))
    return Side(question, value, speaker, bool(given))


def _rank(one: Finalist, reading: Reading) -> tuple[float, int, int]:
    return (badness(one.scores, reading.sign), diverged(one.scores), one.candidate_id)


def _result(side: Side, others: Sequence[Side], reading: Reading, *, chosen: bool) -> AnswerResult:
    best = _best([other for other in others if other.given] or others, reading)
    gap = None if best is None else reading.between(side.speaker, best.speaker)
    mean, low, high = parts(mean_of(side.speaker.scores))
    change, change_low, change_high = parts(gap)
    tie = best is not None and _is_tie(side, best, reading)
    return AnswerResult(
        question=side.question.value,
        answer=side.answer,
        candidate_id=side.speaker.candidate_id,
        phase=CONFIRM,
        runs=len(side.speaker.scores) - diverged(side.speaker.scores),
        mean=mean,
        ci_low=low,
        ci_high=high,
        difference=change,
        diff_low=change_low,
        diff_high=change_high,
        best_base_lr=side.speaker.base_lr,
        is_chosen=chosen,
        is_tie=tie,
        sentence=_sentence(side, best, gap, reading, tie=tie) if chosen else "",
        p_permutation=None if gap is None else gap.p_permutation,
    )


def _best(sides: Sequence[Side], reading: Reading) -> Side | None:
    return min(sides, key=lambda side: _rank(side.speaker, reading), default=None)


def _is_tie(side: Side, other: Side, reading: Reading) -> bool:
    if reading.between(side.speaker, other.speaker) is not None:
        return reading.level(side.speaker, other.speaker)
    return diverged(side.speaker.scores) == diverged(other.speaker.scores)


def _sentence(side: Side, other: Side | None, gap: Estimate | None, reading: Reading, *, tie: bool) -> str:
    head = f"{TITLES[side.question]}: {side.answer}"
    if other is None:
        return f"{head}; no other answer was confirmed."
    if gap is None:
        counts = words.capital(f"{_divergence(side)}, {_divergence(other)}")
        return f"{head}. {counts}, at tuned base LRs {_both_lrs(side, other)}."
    if tie:
        differs = f"{words.the(reading.metric)} differs by {words.with_interval(gap)}"
        return f"{head}, in a tie with {_rival(other)}: {differs} at tuned base LRs {_both_lrs(side, other)}."
    lead = words.gain(gap, reading.sign)
    if lead.value < 0:
        ahead = f"{other.answer} at its best is ahead by {words.with_interval(words.gain(gap, -reading.sign))}"
        return f"{head}, the simplest of those that tie with the winner; {ahead}."
    if gap.holds_zero:
        worse = f"{words.the(reading.metric)} is worse by {words.with_interval(lead)}"
        lrs = f"at tuned base LRs {_both_lrs(side, other)}"
        return f"{head}. {words.capital(_named(other))} {worse} and scatters far more between seeds, {lrs}."
    effect = f"{words.improves(reading.sign, reading.metric)} by {words.with_interval(lead)}"
    return f"{head}. {_subject(side)} {effect} {_against(side, other)}."


def _subject(side: Side) -> str:
    """What does the improving: `It`, `Doing without` (a warm-up), `One descent`."""
    if side.question is Question.WARMUP:
        return "It" if side.answer == "yes" else "Doing without"
    return "It" if side.question is Question.DECAY or side.answer == "yes" else "One descent"


def _rival(side: Side) -> str:
    """The answer as a thing to tie with: `a warm-up`, `doing without`, `cosine`, `restarts`, `one descent`."""
    if side.question is Question.WARMUP:
        return "a warm-up" if side.answer == "yes" else "doing without"
    if side.question is Question.DECAY:
        return side.answer
    return "restarts" if side.answer == "yes" else "one descent"


def _against(side: Side, other: Side) -> str:
    """What the chosen answer is compared with, and at which base LRs."""
    own, its = words.lr(side.speaker.base_lr), words.lr(other.speaker.base_lr)
    ratio = side.speaker.base_lr / other.speaker.base_lr
    if side.question is Question.WARMUP and side.answer == "yes" and ratio >= NOTABLE_RATIO:
        return f"and makes a base LR of {own} possible: without it the best is {its}, {ratio:.2g}x lower"
    if side.question is Question.DECAY:
        return f"against {other.answer}, at tuned base LRs {own} and {its}"
    return f"at a tuned base LR of {own} against {its} {_named(other)}"


def _both_lrs(side: Side, other: Side) -> str:
    return f"{words.lr(side.speaker.base_lr)} and {words.lr(other.speaker.base_lr)}"


def _named(side: Side) -> str:
    """The answer as the end of a sentence: `with it`, `without`, `with cosine`."""
    if side.question is Question.DECAY:
        return f"with {side.answer}"
    what = "warm-up" if side.question is Question.WARMUP else "restarts"
    return f"with {what}" if side.answer == "yes" else f"without {what}"


def _divergence(side: Side) -> str:
    lost, count = diverged(side.speaker.scores), len(side.speaker.scores)
    return f"{_named(side)} {lost} of {words.seeds(count)} diverged"


def liked_base_lrs(base_lrs: Mapping[str, float]) -> str:
    """How far the answers to one question agree on the base LR, which is the interaction of the two; empty below two.

    base_lrs: by answer, each at its own best candidate.
    """
    if len(base_lrs) < 2:
        return ""
    low, high = min(base_lrs, key=base_lrs.__getitem__), max(base_lrs, key=base_lrs.__getitem__)
    ratio = base_lrs[high] / base_lrs[low]
    if ratio < NOTABLE_RATIO:
        return f"All its answers like about the same base LR ({words.lr(base_lrs[low])} to {words.lr(base_lrs[high])})."
    return (
        f"Its answers like different base LRs: from {words.lr(base_lrs[low])} ({low}) to {words.lr(base_lrs[high])} "
        f"({high}), {ratio:.2g}x apart."
    )


def unconfirmed_answers(
    candidates: Sequence[Finalist], direction: str, *, phase: str, confirmed: Collection[tuple[str, str]]
) -> tuple[AnswerResult, ...]:
    """Answers that reached only an earlier phase, each at its best candidate there: for the record only.

    `confirmed`: the (question, answer) pairs that have a row already. Scores of an earlier phase were used to choose,
    so they are shown without interval or difference.
    """
    reading = Reading(sign_of(direction), "", use_pairing=False)
    rows = []
    for question in Question:
        for value in _values(candidates, question):
            if (question.value, value) not in confirmed:
                same = [one for one in candidates if one.answers[question] == value]
                best = min(same, key=lambda one: _rank(one, reading))
                rows.append(_unconfirmed(Side(question, value, best), phase))
    return tuple(rows)


def _unconfirmed(side: Side, phase: str) -> AnswerResult:
    mean, _, _ = parts(mean_of(side.speaker.scores))
    return AnswerResult(
        question=side.question.value,
        answer=side.answer,
        candidate_id=side.speaker.candidate_id,
        phase=phase,
        runs=len(side.speaker.scores) - diverged(side.speaker.scores),
        mean=mean,
        ci_low=None,
        ci_high=None,
        difference=None,
        diff_low=None,
        diff_high=None,
        best_base_lr=side.speaker.base_lr,
        is_chosen=False,
        is_tie=False,
        sentence="",
    )
