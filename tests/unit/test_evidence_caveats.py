"""Where the evidence is thin, the report says so; where it is sound, it is silent."""

from typing import Any

import pytest

from schedsearch.evidence import Circumstances, Finalist, Noise, Trust, decide, warnings
from schedsearch.space import Question

ANSWERS = {Question.WARMUP: "no", Question.DECAY: "cosine", Question.RESTARTS: "no"}
GOOD: dict[int, float | None] = {1: 1.0, 2: 1.1, 3: 0.9}
WORSE: dict[int, float | None] = {1: 2.0, 2: 2.1, 3: 1.9}


def found(scores: dict[int, float | None] = GOOD, **given: Any) -> tuple[str, ...]:
    finalists = [
        Finalist(1, "best", "winner", 0.1, ANSWERS, (1,), scores),
        Finalist(2, "worse", "baseline", 0.01, ANSWERS, (2,), {seed: WORSE[seed] for seed in scores}),
    ]
    verdict = decide(finalists, "minimize", use_pairing=False)
    return warnings(verdict, Circumstances(**given))


def test_sound_evidence_has_no_warnings() -> None:
    assert (
        found(
            base_lrs={1: 0.1},
            base_lr_range=(0.001, 1.0),
            runs_by_arm={"a": 2, "b": 3},
            trust=Trust(0.9, 0.8, 0.7, 9, 0.06),
            noise=Noise(0.1, 0.1, 3, 0),
            search_seeds={0},
            confirm_seeds={1, 2, 3},
        )
        == ()
    )


@pytest.mark.parametrize(("value", "edge"), [(1.0, "upper end"), (0.8, "upper end"), (0.001, "lower end")])
def test_a_base_lr_at_the_edge(value: float, edge: str) -> None:
    (sentence,) = found(base_lrs={1: value}, base_lr_range=(0.001, 1.0))
    assert sentence.startswith(f"The base LR of the recommended schedule, {value:.3g}, is at the {edge} of the range")


def test_arms_with_few_runs() -> None:
    assert found(runs_by_arm={"a": 0, "b": 1, "c": 5}) == (
        "2 of 3 arms have fewer than 2 searched runs (1 none); what is known of them comes from the curve model.",
    )


def test_a_model_that_explains_little() -> None:
    (sentence,) = found(trust=Trust(0.2, 0.3, 0.5, 9, 0.32))
    assert sentence == (
        "The curve model explains little here (it ranks runs that it has not seen at 0.20): "
        "more runs may find a better schedule."
    )
    assert found(trust=Trust(0.55, None, None, 2, None)) == ()


def test_a_search_seed_in_the_confirmation() -> None:
    (sentence,) = found(search_seeds={0, 2}, confirm_seeds={1, 2})
    assert sentence.startswith("Seeds 2 were used in the search and in the confirmation")


def test_few_seeds_and_divergence() -> None:
    (sentence,) = found({1: 1.0, 2: 1.1})
    assert sentence.startswith("The confirmation has 2 seeds a finalist")
    (sentence,) = found(noise=Noise(0.1, 0.1, 2, 1))
    assert sentence.startswith("Of the noise baseline's runs 1 diverged")


def test_a_recommendation_that_diverged() -> None:
    finalists = [Finalist(1, "only", "winner", 0.1, ANSWERS, (1,), {1: 1.0, 2: None, 3: 1.0})]
    verdict = decide(finalists, "minimize", use_pairing=False)
    assert warnings(verdict, Circumstances()) == ("The recommended schedule diverged on 1 of 3 fresh seeds.",)
