-- Views for analysis: the same text on SQLite, PostgreSQL, MySQL and MariaDB. A semicolon ends a statement.

drop view if exists schedsearch_leaderboard;

-- One row a candidate. `phase` says where its score comes from: the confirmation's fresh seeds where it was confirmed,
-- else the race, else the search. Ranked within the study: confirmed before raced before searched before not finished,
-- within a phase those that never diverged first, then by score. `copied`: runs of that phase that an earlier study
-- had trained.
create view schedsearch_leaderboard as
with by_phase as (
    select
        candidate_id,
        phase,
        case phase when 'confirm' then 1 when 'race' then 2 when 'search' then 3 else 4 end as phase_order,
        count(distinct seed) as seeds,
        sum(case when state = 'diverged' then 1 else 0 end) as diverged,
        avg(score) as score,
        min(score) as lowest_score,
        max(score) as highest_score,
        avg(test_score) as test_score,
        count(copied_from) as copied
    from schedsearch_run
    where state in ('completed', 'diverged')
    group by candidate_id, phase
),
latest as (
    select by_phase.*, row_number() over (partition by candidate_id order by phase_order) as place
    from by_phase
)
select
    s.name as study,
    c.id as candidate_id,
    c.kind,
    c.label,
    c.arm,
    c.answer_warmup as warmup,
    c.answer_decay as decay,
    c.answer_restarts as restarts,
    c.base_lr,
    c.description,
    l.phase,
    l.score,
    l.lowest_score,
    l.highest_score,
    l.test_score,
    coalesce(l.seeds, 0) as seeds,
    coalesce(l.diverged, 0) as diverged,
    coalesce(l.copied, 0) as copied,
    rank() over (
        partition by s.id
        order by
            coalesce(l.phase_order, 9),
            case when l.diverged > 0 then 1 else 0 end,
            case when l.score is null then 1 else 0 end,
            case s.direction when 'maximize' then -l.score else l.score end
    ) as rank_position
from schedsearch_candidate c
join schedsearch_study s on s.id = c.study_id
left join latest l on l.candidate_id = c.id and l.place = 1;

drop view if exists schedsearch_curves;

-- One row a measurement: after update number `update_number` (from 0) of the run's `total_updates`. `copied_from`: the
-- run that trained the same before, where this one was not trained.
create view schedsearch_curves as
select
    s.name as study,
    r.id as run_id,
    r.candidate_id,
    c.arm,
    r.phase,
    r.seed,
    r.state,
    r.total_updates,
    r.copied_from,
    m.update_number,
    m.lr,
    m.train_loss,
    m.val_loss
from schedsearch_measurement m
join schedsearch_run r on r.id = m.run_id
join schedsearch_candidate c on c.id = r.candidate_id
join schedsearch_study s on s.id = r.study_id;

drop view if exists schedsearch_answers;

-- One row a question and answer, at that answer's best candidate. `phase` is 'confirm' where the score is confirmed,
-- intervals are 95 %, `difference` is to the best of the question's other answers, `p_permutation` is that difference's
-- p-value by a sign-flip permutation test over the seeds that both ran.
create view schedsearch_answers as
select
    s.name as study,
    a.question,
    a.answer,
    a.is_chosen,
    a.phase,
    a.runs,
    a.mean as score,
    a.ci_low,
    a.ci_high,
    a.difference,
    a.diff_low,
    a.diff_high,
    a.p_permutation,
    a.best_base_lr,
    a.candidate_id,
    c.description,
    a.sentence
from schedsearch_answer a
join schedsearch_candidate c on c.id = a.candidate_id
join schedsearch_study s on s.id = a.study_id;

drop view if exists schedsearch_comparisons;

-- One row a pair: a candidate (the recommended one, or the winner of the race) minus another, on the confirmation's fresh
-- seeds, in the metric's own units, with its 95 % interval. `p_value` is that of the interval's t test, `p_permutation`
-- that of a sign-flip permutation test over the seeds that both ran.
create view schedsearch_comparisons as
select
    s.name as study,
    p.candidate_id,
    case when v.recommended_id = p.candidate_id then 1 else 0 end as is_recommended,
    c.description,
    p.against_id,
    b.label as against_label,
    b.description as against_description,
    p.difference,
    p.ci_low,
    p.ci_high,
    p.p_value,
    p.p_permutation,
    p.paired,
    p.seeds
from schedsearch_comparison p
join schedsearch_study s on s.id = p.study_id
join schedsearch_verdict v on v.study_id = p.study_id
join schedsearch_candidate c on c.id = p.candidate_id
join schedsearch_candidate b on b.id = p.against_id;
