"""What stands on a relevance panel, for somebody who has never seen one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pipeline.explain.values import WORDS, Explained, MapScores
from pipeline.panels import Said
from pipeline.relevance import Method

_METHODS: Final = {
    Method.CHEFER: "Chefer: gradient x attention, through all layers",
    Method.DENSE: "Dense: how well each patch fits the words by itself",
    Method.OCCLUSION: "Occlusion: how much the score falls when a place is covered",
    Method.ROLLOUT: "Attention rollout, not tag-specific: the same map for every tag",
}
_MASKS: Final = {
    "own": "mask of this object",
    "class": "masks of this class",
    "truth": "mask of the truth",
}


def said_of(one: Explained) -> Said:
    """Put a map into words: what of which image, how made, how good."""
    kind = "words asked for:" if one.kind == WORDS else one.kind
    score = "" if one.score is None else f", score {one.score:.2f}"
    title = f"What speaks for {kind} “{one.words}”{score} · {one.file_name}"
    below = "; ".join([_METHODS[one.method], *_measured(one.scores)])
    return Said(title, f"{below}.", _MASKS.get(one.scores.held_against or "", "mask"))


def _measured(scores: MapScores) -> Iterator[str]:
    if scores.points is not None:
        yield "points at the mask" if scores.points else "points beside the mask"
    if scores.inside is not None:
        yield f"{scores.inside:.0%} of the relevance on it"
    if scores.auroc is not None:
        yield f"pixel AUROC {scores.auroc:.2f}"
    if scores.deletion is not None and scores.insertion is not None:
        yield f"deletion {scores.deletion:.2f}, insertion {scores.insertion:.2f}"
