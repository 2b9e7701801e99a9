"""What makes an image worth a look: contradictions, and how close its calls are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Final

from pipeline import rle
from pipeline.labels.values import Content, Kind, MergedLabel, Status
from pipeline.records import Decision

SURE: Final = 1.0
"""Margin of an image on which nothing is left to decide."""


def min_margin(labels: Iterable[MergedLabel]) -> float:
    """Smallest margin among labels that wait for a person, 1 if none does."""
    waiting = [
        label.facts.margin
        for label in labels
        if label.status is Status.PENDING
        and label.facts.decision == Decision.REVIEW
        and label.facts.margin is not None
    ]
    return min(waiting, default=SURE)


def conflicts(
    labels: Sequence[MergedLabel], both: frozenset[str], *, same_object: float, owners: bool
) -> list[str]:
    """Say what in the labels of one image contradicts itself; rejected labels say nothing.

    Args:
        labels: All labels of the image.
        both: Classes that can be tags as well as objects.
        same_object: IoU above which two masks are one object.
        owners: Whether texts should lie on objects, that is, whether objects were looked for.
    """
    living = [label.content for label in labels if label.status is not Status.REJECTED]
    objects = [content for content in living if content.kind is Kind.OBJECT]
    named = {content.label for content in objects}
    tags = [content.label for content in living if content.kind is Kind.TAG]
    found = [f"tag {tag} without an object" for tag in tags if tag in both - named]
    found += _clashes(objects, same_object)
    if owners:
        found += [
            f"text {label.content.text!r} belongs to no object"
            for label in labels
            if label.content.kind is Kind.TEXT
            and label.status is not Status.REJECTED
            and label.facts.owner is None
        ]
    return found


def _clashes(objects: Sequence[Content], same_object: float) -> list[str]:
    masks = [content.mask for content in objects if content.mask is not None]
    names = [content.label for content in objects if content.mask is not None]
    if len({(mask.height, mask.width) for mask in masks}) != 1 or len(set(names)) == 1:
        return []
    overlap = rle.iou_matrix(masks)
    return [
        f"{names[a]} and {names[b]} cover the same place"
        for a, b in combinations(range(len(masks)), 2)
        if names[a] != names[b] and overlap[a, b] > same_object
    ]
