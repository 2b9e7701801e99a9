"""Tags of the image as a whole: any number of classes may be true at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.config import PolicyConfig
from pipeline.fuse.reasons import accept, against, drop, review, rounded
from pipeline.fuse.vocabulary import Matrix, Vocabulary, sigmoid, softmax
from pipeline.records import Tag, Verdict

DROPPED_SHOWN: Final = 5
"""Most dropped tags listed per image; a vocabulary may have thousands of classes."""


def tag_scores(vector: NDArray[np.float32], vocabulary: Vocabulary) -> dict[str, float]:
    """Give every class that may tag its probability.

    Models with a bias were trained to say yes or no to each text on its own: the sigmoid is that
    answer. Models without were trained to choose between texts, so each class is held against
    the background prompts: a softmax over the class and them. Not a softmax over all classes:
    they would share one probability, and an image of a cat and a dog could have neither tag.

    Args:
        vector: (D,) of the image.
        vocabulary: With at least one class; without background prompts, softmax models fall back
            to one softmax over all classes, which ranks but says nothing absolute.

    Returns:
        Class → probability, rounded; in the order of the policy.

    Raises:
        EngineError: The vector is not as long as those of the prompts.

    Source: Zhai et al. 2023 (SigLIP) for the sigmoid; Radford et al. 2021 for the softmax.
    """
    positions = vocabulary.for_tags
    logits = vocabulary.logits(vector[None], positions)[0]
    scores = _probabilities(logits, len(positions), vocabulary)
    names = (vocabulary.names[at] for at in positions)
    return {name: rounded(score) for name, score in zip(names, scores, strict=True)}


def _probabilities(logits: Matrix, n_classes: int, vocabulary: Vocabulary) -> Matrix:
    if vocabulary.logit_bias is not None:
        return sigmoid(logits[:n_classes] + vocabulary.logit_bias)
    ground = logits[n_classes:]
    if not ground.size:
        return softmax(logits)
    rivals = np.broadcast_to(ground, (n_classes, ground.size))
    return softmax(np.column_stack([logits[:n_classes], rivals]))[:, 0]


def decide_tags(
    scores: Mapping[str, float], policy: PolicyConfig, vocabulary: Vocabulary
) -> tuple[Tag, ...]:
    """Turn scores into tags, best first.

    Args:
        scores: From ``tag_scores``.
        policy: Thresholds, and how many tags at most.
        vocabulary: Says what the scores mean.

    Returns:
        Every class that reached its threshold, up to ``max_tags``, and the best few of the rest
        as dropped; the last of these says how many more there were.
    """
    relative = vocabulary.logit_bias is None and not len(vocabulary.background)
    limits = {entry.name: entry.tag_threshold for entry in policy.classes}
    passing, rest = list[Tag](), list[Tag]()
    for name, score in sorted(scores.items(), key=lambda item: -item[1]):
        limit = limits[name]
        limit = policy.tags.threshold if limit is None else limit
        full = len(passing) >= policy.tags.max_tags
        verdict = _verdict(score, limit, policy, full=full, relative=relative)
        tag = Tag(name, score, limit, verdict)
        (passing if score >= limit and not full else rest).append(tag)
    return (*passing, *_first(rest))


def _verdict(
    score: float, limit: float, policy: PolicyConfig, *, full: bool, relative: bool
) -> Verdict:
    seen = f"score {against(score, limit)}, the threshold"
    if score < limit:
        return drop(seen)
    if full:
        return drop(f"{policy.tags.max_tags} better tags, as many as policy.tags.max_tags allows")
    if relative:
        return review("policy.background is empty: the score only ranks the classes", seen)
    lead = rounded(score - limit)
    if lead < policy.tags.review_margin:
        return review(f"{seen}: less than {policy.tags.review_margin:g} above it")
    return accept(seen)


def _first(rest: list[Tag]) -> list[Tag]:
    shown, hidden = rest[:DROPPED_SHOWN], len(rest) - DROPPED_SHOWN
    if hidden <= 0:
        return shown
    last = shown[-1]
    reason = f"{last.verdict.reason}; {hidden} more classes scored no better and are not listed"
    return [*shown[:-1], Tag(last.class_name, last.score, last.threshold, drop(reason))]
