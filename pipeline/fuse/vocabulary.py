"""The classes of a policy as matrices: which prompts are needed, and what vectors score on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.config import ClassConfig, PolicyConfig
from pipeline.errors import EngineError
from pipeline.records import PromptVectors

Matrix: TypeAlias = NDArray[np.float64]

DECIMALS: Final = 6
"""Scores are rounded to this many decimals before anything is decided.

Two BLAS libraries differ in the last bits of a product, far below this.
"""
_ZERO: Final = 1e-12


def prompts_of(policy: PolicyConfig) -> tuple[str, ...]:
    """Name every prompt whose text vector ``Vocabulary.build`` needs.

    Returns:
        Prompts in the order of the policy, each once; none if there are no classes.
    """
    if not policy.classes:
        return ()
    of_classes = [_of_class(entry, policy) for entry in policy.classes]
    of_background = [_of_background(word, policy) for word in policy.background]
    return _distinct(prompt for some in [*of_classes, *of_background] for prompt in some)


def _of_class(entry: ClassConfig, policy: PolicyConfig) -> tuple[str, ...]:
    return _distinct([*_filled((entry.name, *entry.synonyms), policy), *entry.prompts])


def _of_background(word: str, policy: PolicyConfig) -> tuple[str, ...]:
    # Through the templates as well: the words of a template alone lift the cosine with any
    # photograph, so a bare prompt would compete with a handicap.
    return _distinct([*_filled((word,), policy), word])


def _filled(words: Iterable[str], policy: PolicyConfig) -> list[str]:
    # No str.format: a class name may hold braces.
    return [template.replace("{}", word) for word in words for template in policy.templates]


def _distinct(prompts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(prompts))


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """Classes and background prompts, ready to be compared with image vectors.

    Attributes:
        names: Classes in the order of the policy.
        for_tags: Positions in ``names`` of the classes that may tag images.
        for_regions: Positions in ``names`` of the classes that may name regions.
        classes: (C, D), one vector per class.
        background: (B, D), one vector per entry of ``policy.background``.
        logit_scale: Factor on the cosine.
        logit_bias: Added after scaling; None for models trained with a softmax.
    """

    names: tuple[str, ...]
    for_tags: tuple[int, ...]
    for_regions: tuple[int, ...]
    classes: Matrix
    background: Matrix
    logit_scale: float
    logit_bias: float | None

    @classmethod
    def build(cls, policy: PolicyConfig, prompts: PromptVectors | None) -> Self:
        """Average the prompts of every class.

        A class is the mean of the vectors of all its prompts. For models trained with a softmax
        the mean is brought back to length 1, as only the differences between classes count. For
        models trained with a sigmoid it is not: its product with an image is then the mean of
        the prompts' cosines, for which the model's bias was learnt; at length 1, classes with
        many different prompts would score too high.

        Args:
            policy: Says which classes there are.
            prompts: Vectors of at least ``prompts_of(policy)``; None if nothing is embedded,
                which gives a vocabulary without classes, as a policy without classes does.

        Raises:
            EngineError: A prompt has no vector, or one that is not finite.

        Source: ``build_zero_shot_classifier`` of mlfoundations/open_clip (mean over templates,
            then normalised); Radford et al. 2021, section 3.1.4.
        """
        if prompts is None or not policy.classes:
            empty = np.zeros((0, 0))
            return cls((), (), (), empty, empty, 1.0, None)
        unit = prompts.logit_bias is None
        classes = [_mean(_of_class(entry, policy), prompts, unit) for entry in policy.classes]
        ground = [_mean(_of_background(word, policy), prompts, unit) for word in policy.background]
        return cls(
            names=tuple(entry.name for entry in policy.classes),
            for_tags=_positions(policy, "region"),
            for_regions=_positions(policy, "tag"),
            classes=_stack(classes),
            background=_stack(ground),
            logit_scale=float(prompts.logit_scale),
            logit_bias=None if prompts.logit_bias is None else float(prompts.logit_bias),
        )

    def logits(self, vectors: NDArray[np.float32], positions: tuple[int, ...]) -> Matrix:
        """Score image vectors on some classes and on every background prompt, without the bias.

        Args:
            vectors: (N, D); brought to length 1. Values that are not finite count as 0.
            positions: Classes, as positions in ``names``.

        Returns:
            (N, len(positions) + B), background prompts last.

        Raises:
            EngineError: The vectors are not as long as those of the prompts.
        """
        texts = _stack([*self.classes[list(positions)], *self.background])
        if texts.shape[1] != vectors.shape[1]:
            raise EngineError(
                f"image vectors have {vectors.shape[1]} dimensions, prompt vectors "
                f"{texts.shape[1]}: they come from different models; remove the findings of "
                "stage embed from the workspace and run again"
            )
        scores: Matrix = _normalised(vectors) @ texts.T * self.logit_scale
        return scores

    def relevance(self, means: NDArray[np.float32], positions: tuple[int, ...]) -> Matrix:
        """Score means of unit vectors on some classes, each against the mean of all of them.

        Args:
            means: (N, D), as they are: their length says how much the vectors agree.
            positions: Classes, as positions in ``names``.

        Returns:
            (N, len(positions)), cosines; of a single class against nothing.

        Raises:
            EngineError: The vectors are not as long as those of the prompts.
        """
        texts = _normalised(self.classes[list(positions)])
        if texts.shape[1] != means.shape[1]:
            raise EngineError(
                f"pooled vectors have {means.shape[1]} dimensions, prompt vectors "
                f"{texts.shape[1]}: they come from different models; remove the findings of "
                "stage pool_regions from the workspace and run again"
            )
        if len(texts) > 1:
            texts = texts - texts.mean(axis=0)
        scores: Matrix = np.nan_to_num(means.astype(np.float64), posinf=0.0, neginf=0.0) @ texts.T
        return scores


def softmax(logits: Matrix) -> Matrix:
    """Probabilities along the last axis; each row adds up to 1."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: Matrix = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def sigmoid(logits: Matrix) -> Matrix:
    """Probability of each logit on its own; never overflows."""
    probabilities: Matrix = np.exp(-np.logaddexp(0.0, -logits))
    return probabilities


def _positions(policy: PolicyConfig, other_use: str) -> tuple[int, ...]:
    return tuple(at for at, entry in enumerate(policy.classes) if entry.use != other_use)


def _mean(words: tuple[str, ...], prompts: PromptVectors, unit: bool) -> Matrix:
    mean: Matrix = np.mean([_vector(word, prompts) for word in words], axis=0)
    return _normalised(mean[None])[0] if unit else mean


def _vector(prompt: str, prompts: PromptVectors) -> Matrix:
    vector = prompts.vectors.get(prompt)
    if vector is None:
        raise EngineError(f"prompt {prompt!r} has no text vector: embed all of prompts_of(policy)")
    if not np.isfinite(vector).all():
        raise EngineError(f"the text vector of prompt {prompt!r} has values that are not finite")
    return vector.astype(np.float64)


def _normalised(vectors: NDArray[np.floating]) -> Matrix:
    finite = np.nan_to_num(vectors.astype(np.float64), posinf=0.0, neginf=0.0)
    lengths = np.linalg.norm(finite, axis=1, keepdims=True)
    unit: Matrix = finite / np.maximum(lengths, _ZERO)
    return unit


def _stack(rows: list[Matrix]) -> Matrix:
    return np.stack(rows) if rows else np.zeros((0, 0))
