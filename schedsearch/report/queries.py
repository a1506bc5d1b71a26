"""The SQL behind every figure of the report: what a reader types to have its numbers. One text on every database."""

from __future__ import annotations

import textwrap

SEARCHED = """
    select r.id as run_id, c.arm, c.answer_{question} as answer, c.base_lr, r.seed, r.score, r.state, c.description
    from schedsearch_run r
    join schedsearch_candidate c on c.id = r.candidate_id
    join schedsearch_study s on s.id = r.study_id
    where s.name = '{study}' and r.phase = 'search' and r.state in ('completed', 'diverged') and c.kind <> 'freeform'
    order by r.finished_at, r.id"""
ANSWERS = """
    select answer, best_base_lr, score, ci_low, ci_high, difference, diff_low, diff_high, p_permutation,
        is_chosen, sentence
    from schedsearch_answers where study = '{study}' and question = '{question}' order by phase, score"""
CURVES = """
    select candidate_id, seed, update_number, lr, train_loss, val_loss from schedsearch_curves
    where study = '{study}' and phase = 'confirm' order by candidate_id, seed, update_number"""
KEPT = """
    select v.details from schedsearch_verdict v join schedsearch_study s on s.id = v.study_id
    where s.name = '{study}'"""
CHECKS = """
    select m.runs, m.rank_agreement from schedsearch_model_check m join schedsearch_study s on s.id = m.study_id
    where s.name = '{study}' order by m.runs"""
QUERIES = {
    "shape": """
    select c.schedule, s.total_updates, s.updates_per_epoch
    from schedsearch_verdict v
    join schedsearch_candidate c on c.id = v.recommended_id
    join schedsearch_study s on s.id = v.study_id
    where s.name = '{study}'""",
    "question-warmup": ";".join([SEARCHED, ANSWERS]),
    "question-decay": ";".join([SEARCHED, ANSWERS]),
    "question-restarts": ";".join([SEARCHED, ANSWERS]),
    "importances": SEARCHED.replace(
        "c.answer_{question} as answer", "c.answer_warmup, c.answer_decay, c.answer_restarts"
    ),
    "finalists": """
    select r.candidate_id, t.role, r.seed, r.score, r.test_score, t.mean, t.ci_low, t.ci_high, t.probability_best
    from schedsearch_standing t
    join schedsearch_run r on r.candidate_id = t.candidate_id and r.phase = 'confirm'
    join schedsearch_study s on s.id = t.study_id
    where s.name = '{study}' order by t.rank_position, r.seed;
    select against_id, against_description, difference, ci_low, ci_high, p_value, p_permutation, paired
    from schedsearch_comparisons
    where study = '{study}' and is_recommended = 1 order by difference""",
    "curves": CURVES,
    "shapes": ";".join([KEPT, CURVES]),
    "arms": SEARCHED.replace("c.answer_{question} as answer, ", ""),
    "search": SEARCHED.replace("c.answer_{question} as answer, ", "").replace(" and c.kind <> 'freeform'", ""),
    "model": ";".join([KEPT, CHECKS]),
    "diagnosis": """
    select run_id, arm, phase, seed, update_number, lr, train_loss, val_loss from schedsearch_curves
    where study = '{study}' order by run_id, update_number;
    select r.id as run_id, r.initial_loss, r.diverged_at, r.total_updates, c.base_lr
    from schedsearch_run r
    join schedsearch_candidate c on c.id = r.candidate_id
    join schedsearch_study s on s.id = r.study_id
    where s.name = '{study}' and r.state in ('completed', 'diverged') order by r.id""",
    "budget": """
    select r.phase, count(*) as runs, count(r.copied_from) as copied,
        sum(case when r.copied_from is null then r.updates_done else 0 end) as updates,
        sum(case when r.copied_from is null then r.duration_s else 0 end) as seconds
    from schedsearch_run r join schedsearch_study s on s.id = r.study_id
    where s.name = '{study}' group by r.phase""",
}


def query_of(figure: str, study: str) -> str:
    """The statements behind a figure, for this study."""
    question = figure.removeprefix("question-")
    text = QUERIES[figure].replace("{question}", question).replace("{study}", study.replace("'", "''"))
    return ";\n".join(textwrap.dedent(one).strip() for one in text.split(";")) + ";"
