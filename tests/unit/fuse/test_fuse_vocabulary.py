from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import ClassConfig, PolicyConfig
from pipeline.errors import EngineError
from pipeline.fuse import Vocabulary, prompts_of
from pipeline.fuse.reasons import against
from pipeline.fuse.vocabulary import sigmoid, softmax
from pipeline.records import PromptVectors

CUP = ClassConfig(name="cup", synonyms=("mug",), prompts=("a steaming cup",))


def _policy(**changes: Any) -> PolicyConfig:
    given_values = {
        "classes": (CUP, ClassConfig(name="dog")),
        "templates": ("a {}.", "the {}"),
        "background": ("wall",),
    }
    return PolicyConfig(**(given_values | changes))


def _prompts(vectors: dict[str, list[float]], bias: float | None = None) -> PromptVectors:
    arrays = {name: np.array(values, dtype=np.float32) for name, values in vectors.items()}
    return PromptVectors(arrays, 10.0, bias)


def test_prompts_are_templates_times_words_then_whole_prompts_then_background() -> None:
    assert prompts_of(_policy()) == (
        *("a cup.", "the cup", "a mug.", "the mug", "a steaming cup"),
        *("a dog.", "the dog"),
        *("a wall.", "the wall", "wall"),
    )


def test_prompts_shared_by_two_classes_are_named_once() -> None:
    policy = _policy(classes=(CUP, ClassConfig(name="mug")))
    assert len(prompts_of(policy)) == len(set(prompts_of(policy)))
    assert prompts_of(policy).count("a mug.") == 1


def test_braces_in_a_name_are_not_a_template() -> None:
    policy = _policy(classes=(ClassConfig(name="{0} {x}"),), background=())
    assert prompts_of(policy) == ("a {0} {x}.", "the {0} {x}")


def test_no_classes_need_no_prompts() -> None:
    policy = PolicyConfig()
    assert prompts_of(policy) == ()
    built = Vocabulary.build(policy, _prompts({}))
    assert (built.names, built.for_tags, built.for_regions) == ((), (), ())


def test_a_class_is_the_mean_of_its_prompts_at_length_one_for_softmax_models() -> None:
    policy = _policy(classes=(ClassConfig(name="cup"),), background=())
    prompts = _prompts({"a cup.": [1, 0], "the cup": [0, 1]})
    built = Vocabulary.build(policy, prompts)
    np.testing.assert_allclose(built.classes, [[0.5**0.5, 0.5**0.5]])


def test_a_prompt_that_is_there_twice_counts_once() -> None:
    twice = ClassConfig(name="cup", prompts=("a cup.",))
    policy = _policy(classes=(twice,), background=("wall",), templates=("a {}.", "{}"))
    prompts = _prompts({"a cup.": [1, 0], "cup": [0, 1], "a wall.": [1, 0], "wall": [0, 1]})
    built = Vocabulary.build(policy, prompts)
    np.testing.assert_allclose(built.classes, [[0.5**0.5, 0.5**0.5]])
    np.testing.assert_allclose(built.background, [[0.5**0.5, 0.5**0.5]])


def test_sigmoid_models_keep_the_mean_cosine_their_bias_was_learnt_for() -> None:
    policy = _policy(classes=(ClassConfig(name="cup"),), background=())
    prompts = _prompts({"a cup.": [1, 0], "the cup": [0, 1]}, bias=-4.0)
    built = Vocabulary.build(policy, prompts)
    image = np.array([[1.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(built.logits(image, (0,)), [[10.0 * (1.0 + 0.0) / 2]])


def test_use_decides_which_classes_tag_and_which_name_regions() -> None:
    classes = tuple(ClassConfig(name=use, use=use) for use in ("both", "tag", "region"))
    policy = _policy(classes=classes, templates=("{}",), background=())
    prompts = _prompts({name: [1, 0] for name in ("both", "tag", "region")})
    built = Vocabulary.build(policy, prompts)
    assert [built.names[at] for at in built.for_tags] == ["both", "tag"]
    assert [built.names[at] for at in built.for_regions] == ["both", "region"]


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ({"a cup.": [1, 0]}, "'the cup' has no text vector"),
        ({"a cup.": [1, 0], "the cup": [float("nan"), 0]}, "'the cup' has values"),
    ],
)
def test_unusable_prompt_vectors_are_refused(vectors: dict[str, list[float]], message: str) -> None:
    policy = _policy(classes=(ClassConfig(name="cup"),), background=())
    with pytest.raises(EngineError, match=message):
        Vocabulary.build(policy, _prompts(vectors))


def test_vectors_of_another_model_are_refused() -> None:
    policy = _policy(classes=(ClassConfig(name="cup"),), templates=("{}",), background=())
    built = Vocabulary.build(policy, _prompts({"cup": [1, 0]}))
    with pytest.raises(EngineError, match=r"3 dimensions, prompt vectors 2"):
        built.logits(np.zeros((1, 3), dtype=np.float32), (0,))


def test_values_that_are_not_finite_never_come_out() -> None:
    policy = _policy(classes=(ClassConfig(name="cup"),), templates=("{}",), background=())
    built = Vocabulary.build(policy, _prompts({"cup": [1, 0]}))
    odd = np.array([[np.nan, np.inf], [-np.inf, 1.0], [0.0, 0.0]], dtype=np.float32)
    assert np.isfinite(built.logits(odd, (0,))).all()


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_probabilities_are_probabilities_however_large_the_logits(logits: list[float]) -> None:
    values = np.array(logits)
    assert softmax(values).sum() == pytest.approx(1.0)
    assert ((sigmoid(values) >= 0) & (sigmoid(values) <= 1)).all()
    np.testing.assert_allclose(sigmoid(values) + sigmoid(-values), 1.0)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_reason_never_contradicts_its_decision(score: int, limit: int) -> None:
    left, sign, right = against(score / 10**6, limit / 10**6).split()
    assert sign == (">=" if score >= limit else "<")
    assert (float(left) >= float(right)) == (score >= limit)
    assert (left == right) == (score == limit)
