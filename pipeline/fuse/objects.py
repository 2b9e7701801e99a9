"""One object, one label: which regions are the same thing, parts of a thing, or several things.

Nothing here looks at a threshold on scores, so raising one cannot bring up a label that was
hidden before. Nothing depends on the order in which regions come.
"""

from __future__ import annotations

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
        box_iou: (N, N), of their boxes.
        area: (N,), in pixels.
    """

    inside: _Shares
    iou: _Shares
    box_iou: _Shares
    area: _Shares

    @classmethod
    def of(cls, regions: Sequence[Region]) -> Overlaps:
        """Compare every region with every other one."""
        shared = rle.intersection_matrix([region.mask for region in regions]).astype(np.float64)
        area = np.diag(shared).copy()
        union = area[:, None] + area[None, :] - shared
        inside = shared / np.maximum(area[:, None], 1.0)
        iou = shared / np.maximum(union, 1.0)
        return cls(inside, iou, _box_iou(regions), area)

    def only(self, rows: Sequence[int]) -> Overlaps:
        """The same for some of the regions, in the order given."""
        at = np.ix_(rows, rows)
        picked = np.asarray(rows, dtype=np.intp)
        return Overlaps(self.inside[at], self.iou[at], self.box_iou[at], self.area[picked])


def _box_iou(regions: Sequence[Region]) -> _Shares:
    boxes = [(r.box.x, r.box.y, r.box.x + r.box.width, r.box.y + r.box.height) for r in regions]
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    low = np.maximum(corners[:, None, :2], corners[None, :, :2])
    high = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    area = np.diag(shared)
    union = area[:, None] + area[None, :] - shared
    iou: _Shares = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
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
    return float(np.clip(np.nan_to_num(region.predicted_iou), 0.0, 1.0))


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
    same = (overlaps.iou >= policy.duplicate_iou) | (nested & (overlaps.box_iou >= _SAME_BOX))
    stands = np.full(len(same), -1, dtype=np.intp)
    for at in range(len(same)):
        if stands[at] < 0:
            stands[same[at] & (stands < 0)] = at
            stands[at] = at
    return stands
