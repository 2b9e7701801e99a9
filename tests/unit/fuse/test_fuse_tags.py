from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.config import ClassConfig
from pipeline.fuse import Vocabulary, fuse
from pipeline.fuse.tags import DROPPED_SHOWN, decide_tags, tag_scores
from pipeline.records import Decision, Tag


def _tags(draw: Any, policy: Any, shares: dict[str, float]) -> dict[str, Tag]:
    findings = draw.findings(policy, tags=shares)
    return {tag.class_name: tag for tag in fuse(findings, policy, draw.vocabulary(policy)).tags}


def test_two_things_in_one_image_are_two_tags(draw: Any) -> None:
    policy = draw.policy("cat", "dog", "car")
    tags = _tags(draw, policy, {"cat": 0.49, "dog": 0.49, "background": 0.02})
    assert tags["cat"].verdict.decision is Decision.ACCEPT
    assert tags["dog"].verdict.decision is Decision.ACCEPT
    assert tags["car"].verdict.decision is Decision.DROP


def test_each_class_is_held_against_the_background_alone(draw: Any) -> None:
    policy = draw.policy("cat", "dog")
    tags = _tags(draw, policy, {"cat": 0.6, "dog": 0.3, "background": 0.1})
    assert tags["cat"].score == pytest.approx(0.6 / 0.7, abs=1e-4)
    assert tags["dog"].score == pytest.approx(0.3 / 0.4, abs=1e-4)


def test_models_with_a_bias_answer_each_class_on_its_own(draw: Any) -> None:
    policy = draw.policy("cat", "dog")
    vocabulary = draw.vocabulary(policy, bias=-2.0)
    image = np.zeros(len(vocabulary.classes[0]), dtype=np.float32)
    image[0] = 1.0
    scores = tag_scores(image, vocabulary)
    assert scores["cat"] == pytest.approx(1.0)
    assert scores["dog"] == pytest.approx(1 / (1 + np.exp(2.0)), abs=1e-6)


@pytest.mark.parametrize(
    ("score", "decision", "words"),
    [
        (0.62, Decision.ACCEPT, "score 0.62 >= 0.50, the threshold"),
        (0.6, Decision.ACCEPT, "score 0.60 >= 0.50"),
        (0.54, Decision.REVIEW, "less than 0.1 above"),
        (0.5, Decision.REVIEW, "score 0.50 >= 0.50"),
        (0.499999, Decision.DROP, "score 0.499999 < 0.500000"),
        (0.31, Decision.DROP, "score 0.31 < 0.50"),
    ],
)
def test_reasons_tell_the_numbers(draw: Any, score: float, decision: Decision, words: str) -> None:
    policy = draw.policy("cat", tags={"threshold": 0.5, "review_margin": 0.1})
    (tag,) = decide_tags({"cat": score}, policy, draw.vocabulary(policy))
    assert tag.verdict.decision is decision
    assert words in tag.verdict.reason
    assert (tag.score, tag.threshold) == (score, 0.5)


def test_a_class_may_have_its_own_threshold_even_zero(draw: Any) -> None:
    easy = ClassConfig(name="easy", tag_threshold=0.0)
    policy = draw.policy(easy, "hard", tags={"review_margin": 0.0})
    tags = decide_tags({"easy": 0.2, "hard": 0.2}, policy, draw.vocabulary(policy))
    assert [tag.verdict.decision for tag in tags] == [Decision.ACCEPT, Decision.DROP]


def test_classes_for_regions_only_never_tag(draw: Any) -> None:
    policy = draw.policy("cat", ClassConfig(name="wheel", use="region"))
    assert set(_tags(draw, policy, {"wheel": 0.9, "cat": 0.05, "background": 0.05})) == {"cat"}


def test_more_than_max_tags_are_dropped_with_that_reason(draw: Any) -> None:
    policy = draw.policy("a", "b", "c", tags={"max_tags": 2})
    tags = decide_tags({"a": 0.7, "b": 0.9, "c": 0.8}, policy, draw.vocabulary(policy))
    assert [(t.class_name, t.verdict.decision) for t in tags] == [
        ("b", Decision.ACCEPT),
        ("c", Decision.ACCEPT),
        ("a", Decision.DROP),
    ]
    assert tags[-1].verdict.reason == "2 better tags, as many as policy.tags.max_tags allows"


def test_thousands_of_classes_leave_a_few_dropped_tags_and_say_how_many_more(draw: Any) -> None:
    names = [f"class {n}" for n in range(2000)]
    policy = draw.policy(*names)
    scores = {name: n / 10_000 for n, name in enumerate(names)}
    tags = decide_tags(scores, policy, Vocabulary.build(policy, None))
    assert [tag.class_name for tag in tags] == names[: -DROPPED_SHOWN - 1 : -1]
    assert f"{2000 - DROPPED_SHOWN} more classes scored no better" in tags[-1].verdict.reason


def test_without_background_prompts_a_softmax_model_only_ranks(draw: Any) -> None:
    policy = draw.policy("cat", background=())
    tags = _tags(draw, policy, {"cat": 0.9})
    assert tags["cat"].verdict.decision is Decision.REVIEW
    assert "policy.background is empty" in tags["cat"].verdict.reason


def test_equal_scores_keep_the_order_of_the_policy(draw: Any) -> None:
    policy = draw.policy("z", "a", "m")
    tags = decide_tags(dict.fromkeys("zam", 0.8), policy, draw.vocabulary(policy))
    assert [tag.class_name for tag in tags] == ["z", "a", "m"]


def test_an_image_that_was_not_embedded_has_no_tags(draw: Any) -> None:
    policy = draw.policy("cat")
    assert fuse(draw.findings(policy), policy, draw.vocabulary(policy)).tags == ()
