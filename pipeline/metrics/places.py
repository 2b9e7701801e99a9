"""Which lines of text mean the same place, however tight their boxes, split or joined.

Source: Wolf and Jolion, "Object count/area graphs for the evaluation of object detection and
segmentation algorithms" (IJDAR 8, 2006), known as DetEval, with the weights of ICDAR 2013 (Focused
Scene Text): a truth must be covered, and what covers it must not be much larger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.metrics.matching import mask_shares
from pipeline.records import Mask

_SPLIT_WORTH: Final = 0.8
"""What a truth is worth that was found in pieces."""


@dataclass(frozen=True, slots=True)
class Least:
    """From when on a found line and a true one are in the same place.

    Attributes:
        recall: Share of the truth that is covered.
        precision: Share of what was found that lies on truth.
    """

    recall: float
    precision: float


DETEVAL: Final = Least(0.8, 0.4)
"""The values of the source and of ICDAR 2013."""


@dataclass(frozen=True, slots=True)
class Group:
    """Lines that mean the same place: one to one, one truth in pieces, or several in one."""

    found: tuple[int, ...]
    truth: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Detection:
    """How well places were found, over all images.

    Attributes:
        truth: Number of true lines.
        found: Number of found lines.
        one_to_one: Truths that one found line covers.
        split: Truths found in pieces; each is worth 0.8.
        merged: Truths that share one found line.
        split_found: Found lines that are such pieces; worth 0.8 each too.
        merged_found: Found lines that cover several truths.
    """

    truth: int = 0
    found: int = 0
    one_to_one: int = 0
    split: int = 0
    merged: int = 0
    split_found: int = 0
    merged_found: int = 0

    @property
    def recall(self) -> float | None:
        """Worth of the truths found, per truth; None without truth."""
        worth = self.one_to_one + self.merged + _SPLIT_WORTH * self.split
        return worth / self.truth if self.truth else None

    @property
    def precision(self) -> float | None:
        """Worth of the lines found, per line; None if nothing was found."""
        worth = self.one_to_one + self.merged_found + _SPLIT_WORTH * self.split_found
        return worth / self.found if self.found else None

    @property
    def hmean(self) -> float | None:
        """Harmonic mean of both."""
        p, r = self.precision, self.recall
        if p is None or r is None:
            return None
        return 2 * p * r / (p + r) if p + r else 0.0


def count(images: Iterable[tuple[int, int, Sequence[Group]]]) -> Detection:
    """Count what was found.

    Args:
        images: Of each image the number of true lines, of found ones, and their groups.
    """
    total = dict.fromkeys(Detection.__slots__, 0)
    for n_truth, n_found, groups in images:
        total["truth"] += n_truth
        total["found"] += n_found
        for group in groups:
            if len(group.found) > 1:
                total["split"] += 1
                total["split_found"] += len(group.found)
            elif len(group.truth) > 1:
                total["merged"] += len(group.truth)
                total["merged_found"] += 1
            else:
                total["one_to_one"] += 1
    return Detection(**total)


def group(found: Sequence[Mask], truth: Sequence[Mask], least: Least) -> list[Group]:
    """Bring lines together that mean the same place.

    First one to one, the best overlap first; then lines that cover several truths; then truths
    that several lines cover only together. Unlike the source, which takes it for a truth in
    pieces, a second line over the same truth is in no group, so that it counts as wrong.

    Args:
        found: Outlines, filled.
        truth: The same.
        least: From when on two are in the same place.

    Returns:
        Each line and each truth is in one group at most.
    """
    precision, recall = mask_shares(found, truth)
    groups = _one_to_one(precision, recall, least)
    free = _Free(groups, len(found), len(truth))
    for line in range(len(found)):
        places = np.flatnonzero((recall[line] >= least.recall) & free.truth)
        if (
            free.found[line]
            and len(places) > 1
            and precision[line, places].sum() >= least.precision
        ):
            groups.append(free.take([line], places))
    for place in range(len(truth)):
        lines = np.flatnonzero((precision[:, place] >= least.precision) & free.found)
        if free.truth[place] and len(lines) > 1 and recall[lines, place].sum() >= least.recall:
            groups.append(free.take(lines, [place]))
    return groups


class _Free:
    """What is in no group yet."""

    def __init__(self, groups: Iterable[Group], n_found: int, n_truth: int) -> None:
        self.found, self.truth = np.ones(n_found, np.bool_), np.ones(n_truth, np.bool_)
        for one in groups:
            self.take(one.found, one.truth)

    def take(self, found: Iterable[int], truth: Iterable[int]) -> Group:
        """Make a group of these and take them out of what is free."""
        taken = Group(tuple(map(int, found)), tuple(map(int, truth)))
        self.found[list(taken.found)] = False
        self.truth[list(taken.truth)] = False
        return taken


def _one_to_one(
    precision: NDArray[np.float64], recall: NDArray[np.float64], least: Least
) -> list[Group]:
    fits = (precision >= least.precision) & (recall >= least.recall)
    # A line that fits several truths has joined them, unless each has a line of its own.
    fits &= fits.sum(axis=1, keepdims=True) == 1
    pairs = np.argwhere(fits)
    worth = (precision * recall)[pairs[:, 0], pairs[:, 1]]
    groups: list[Group] = []
    taken: set[int] = set()
    for line, place in pairs[np.argsort(-worth, kind="stable")].tolist():
        if place not in taken:
            taken.add(place)
            groups.append(Group((line,), (place,)))
    return groups
