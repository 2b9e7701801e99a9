"""One object, one label: which regions are the same thing, parts of a thing, or several things.

Nothing here looks at a threshold on scores, so raising one cannot bring up a label that was
hidden before. Nothing depends on the order in which regions come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline import rle
from pipeline.config import RegionPolicy
from pipeline.fuse.naming import Named
from pipeline.fuse.reasons import rounded
from pipeline.records import Region

_SAME_BOX: Final = 0.8
"""Box IoU from which two nested masks outline the same thing.

A ring and the disc around it share their box however thin the ring is; a part hardly ever
shares the box of its whole.
"""
SortKey = tuple[bool, float, float, int, float, float, str, float, float]
_Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """How regions lie on each other.

    Attributes:
        inside: (N, N), share of region i that lies in region j.
        iou: (N, N), of the masks.
        boxes: (N, 4), left, top, right, bottom in pixels.
        area: (N,), in pixels.
    """

    inside: _Shares
    iou: _Shares
    boxes: _Shares
    area: _Shares

    @classmethod
    def of(cls, regions: Sequence[Region]) -> Overlaps:
        """Compare every region with every other one."""
        shared = rle.intersection_matrix([region.mask for region in regions]).astype(np.float64)
        area = np.diag(shared).copy()
        union = area[:, None] + area[None, :] - shared
        boxes = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in (r.box for r in regions)]
        return cls(
            inside=shared / np.maximum(area[:, None], 1.0),
            iou=shared / np.maximum(union, 1.0),
            boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
            area=area,
        )

    def only(self, rows: Sequence[int]) -> Overlaps:
        """The same for some of the regions, in the order given."""
        at = np.asarray(rows, dtype=np.intp)
        pairs = np.ix_(at, at)
        return Overlaps(self.inside[pairs], self.iou[pairs], self.boxes[at], self.area[at])


def _box_iou(first: _Shares, second: _Shares) -> _Shares:
    """IoU of boxes pair by pair; boxes of masks always have an area."""
    sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    shared = np.maximum(sides, 0.0).prod(axis=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (first, second)]
    iou: _Shares = shared / (areas[0] + areas[1] - shared)
    return iou


def rank(named: Named) -> SortKey:
    """Sort key, best region first: how sure the name is times how good the mask is.

    Background comes last. What is left equal is told apart by where it is, never by its place
    in the input.

    Source: score of a mask as class score times mask IoU, Huang et al. 2019 (Mask Scoring R-CNN).
    """
    region = named.region
    worth = rounded(named.score * quality(region))
    box, point = region.box, region.point
    order = (-worth, -named.score, -region.area, box.y, box.x, region.mask.counts, point.y, point.x)
    return (named.is_background, *order)


def quality(region: Region) -> float:
    """The segmenter's estimate of the mask's IoU, in [0, 1]; models overshoot a little."""
    iou = region.predicted_iou
    return min(max(iou, 0.0), 1.0) if math.isfinite(iou) else 0.0


def fold(overlaps: Overlaps, policy: RegionPolicy) -> NDArray[np.intp]:
    """Find for every region the better region that is the same object.

    Two regions are one object if their masks overlap as much as ``duplicate_iou``, whatever
    their names, or if one lies in the other and both fill the same box, as a ring and its disc.

    Args:
        overlaps: Of N regions, best first.
        policy: Says how much overlap is too much.

    Returns:
        (N,) index of the region that stands for each one; its own if it stands for itself.

    Source: greedy suppression, as in every detector; on masks, since boxes of different objects
        overlap (facebookresearch/segment-anything#199).
    """
    nested = np.maximum(overlaps.inside, overlaps.inside.T) >= policy.part_containment
    same = overlaps.iou >= policy.duplicate_iou
    first, second = np.nonzero(nested & ~same)
    same[first, second] = _box_iou(overlaps.boxes[first], overlaps.boxes[second]) >= _SAME_BOX
    stands = np.full(len(same), -1, dtype=np.intp)
    for at in range(len(same)):
        if stands[at] < 0:
            stands[same[at] & (stands < 0)] = at
            stands[at] = at
    return stands
