"""How far masks are those of the library, and from where on that counts as lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from pycocotools import mask as coco

from benchmarks.figures import significant
from benchmarks.sam.arms import EXACT, FAST, Found
from pipeline.engines.fast_sam import FoundMask
from pipeline.records import Mask

EXACT_IOU, EXACT_BYTES, FAST_IOU = 0.999, 0.95, 0.99
"""Each mask of ``exact`` against the library's, the share of its strings that must be the same,
and the mean of the matched masks of ``fast``."""

_MATCHED: Final = 0.5
"""IoU from which on two masks are one and the same thing."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Masks of one arm against those of the library, over some images.

    Attributes:
        images: How many images.
        masks: The library's masks.
        found: The arm's masks.
        count_differences: Images with another number of masks.
        other_sets: Images where other prompts gave the masks that were kept; None if the arm
            does not say which prompt gave a mask.
        byte_equal: The library's masks whose run lengths are there byte for byte.
        ious: IoU of each of the library's masks with the best of the arm's.
    """

    images: int
    masks: int
    found: int
    count_differences: int
    other_sets: int | None
    byte_equal: int
    ious: tuple[float, ...]

    @property
    def matched_iou(self) -> float:
        """Mean IoU of those masks that have a counterpart."""
        matched = [iou for iou in self.ious if iou >= _MATCHED]
        return float(np.mean(matched)) if matched else float(not self.masks)

    def figures(self) -> dict[str, Any]:
        """Lay them out for the table."""
        out: dict[str, Any] = {
            "masks": self.found,
            "byte-equal": f"{self.byte_equal}/{self.masks}",
            "least IoU": significant(min(self.ious, default=1.0), 5),
            "mean matched IoU": significant(self.matched_iou, 5),
        }
        if self.images > 1:
            out["images with another count"] = self.count_differences
            out["with another kept set"] = self.other_sets
        return {key: value for key, value in out.items() if value is not None}

    def lost(self, arm: str) -> Iterator[str]:
        """Say what an arm promises and did not keep; nothing is promised for those of others.

        Yields:
            One line each.
        """
        if arm == EXACT:
            if self.count_differences:
                yield f"{arm}: {self.count_differences} images with another number of masks"
            if self.other_sets:
                yield f"{arm}: {self.other_sets} images with another kept set"
            if min(self.ious, default=1.0) < EXACT_IOU:
                yield f"{arm}: IoU {min(self.ious):.5f} with a mask of stock, below {EXACT_IOU}"
            if self.byte_equal < EXACT_BYTES * self.masks:
                yield f"{arm}: {self.byte_equal} of {self.masks} masks byte-equal"
        if arm == FAST and self.matched_iou < FAST_IOU:
            yield f"{arm}: mean matched IoU {self.matched_iou:.4f}, below {FAST_IOU}"
        if arm in {EXACT, FAST} and not self.masks:
            yield "stock found no mask at all: nothing was compared"


def agree(stock: Found, ours: Found) -> Agreement:
    """Compare masks per image."""
    pairs = [(_masks(theirs), _masks(mine)) for theirs, mine in zip(stock, ours, strict=True)]
    named = all(mask.point[0] == mask.point[0] for image in ours for mask in image)
    sets = sum(_points(a) != _points(b) for a, b in zip(stock, ours, strict=True))
    return Agreement(
        images=len(pairs),
        masks=sum(len(theirs) for theirs, _ in pairs),
        found=sum(len(mine) for _, mine in pairs),
        count_differences=sum(len(theirs) != len(mine) for theirs, mine in pairs),
        other_sets=sets if named else None,
        byte_equal=sum(len(set(theirs) & set(mine)) for theirs, mine in pairs),
        ious=tuple(iou for theirs, mine in pairs for iou in best_ious(theirs, mine)),
    )


def best_ious(stock: list[Mask], ours: list[Mask]) -> list[float]:
    """IoU of each of the library's masks with the best of ours."""
    if not stock or not ours:
        return [0.0] * len(stock)
    table = np.asarray(coco.iou(_runs(stock), _runs(ours), [0] * len(ours)))
    best: list[float] = table.max(1).tolist()
    return best


def _points(found: list[FoundMask]) -> list[tuple[float, float]]:
    return sorted(mask.point for mask in found)


def _masks(found: list[FoundMask]) -> list[Mask]:
    return [mask.mask for mask in found]


def _runs(masks: list[Mask]) -> Any:  # noqa: ANN401  pycocotools is loosely typed
    return [{"size": [m.height, m.width], "counts": m.counts.encode()} for m in masks]
