"""Who is whom: found labels and truth of one image, one to one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from pipeline.geometry import box_iou
from pipeline.records import Box, Mask


def mask_overlaps(found: Sequence[Mask], truth: Sequence[Mask]) -> NDArray[np.float64]:
    """IoU of found masks with true ones, (found, truth)."""
    return _compared(found, truth, crowds=False)


def mask_shares(
    found: Sequence[Mask], truth: Sequence[Mask]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Share of each found mask that lies on each true one, and the other way round.

    Returns:
        Area precision and area recall, both (found, truth), from 0 to 1.
    """
    return _compared(found, truth, crowds=True), _compared(truth, found, crowds=True).T


def _compared(
    masks: Sequence[Mask], others: Sequence[Mask], *, crowds: bool
) -> NDArray[np.float64]:
    """IoU, (masks, others); with crowds the shared area per area of the first."""
    if not masks or not others:
        return np.zeros((len(masks), len(others)))
    sides = [
        [{"size": [mask.height, mask.width], "counts": mask.counts} for mask in side]
        for side in (masks, others)
    ]
    ious = coco.iou(sides[0], sides[1], [int(crowds)] * len(others))  # type: ignore[arg-type]  # counts may be text
    return np.asarray(ious, dtype=np.float64)


def box_overlaps(found: Sequence[Box], truth: Sequence[Box]) -> NDArray[np.float64]:
    """IoU of found boxes with true ones, (found, truth)."""
    rows = [[box_iou(one, other) for other in truth] for one in found]
    return np.array(rows, np.float64).reshape(len(found), len(truth))


def by_score(
    overlaps: NDArray[np.float64], scores: Sequence[float], least: float
) -> dict[int, int]:
    """Give every found label the free true one it covers best, the surest label first.

    Args:
        overlaps: (found, truth) IoU; 0 where two may not meet.
        scores: Of the found ones.
        least: IoU from which two are one.

    Returns:
        Found → truth.

    Source: the rule of COCOeval at one threshold.
    """
    free = overlaps.copy()
    matches: dict[int, int] = {}
    for one in np.argsort(-np.asarray(scores, np.float64), kind="stable"):
        if free.shape[1] and free[one].max() >= least:
            best = int(free[one].argmax())
            matches[int(one)] = best
            free[:, best] = -1.0
    return matches


def by_overlap(overlaps: NDArray[np.float64], least: float) -> dict[int, int]:
    """Pair found and true ones, the best overlap first; found → truth."""
    matches: dict[int, int] = {}
    taken: set[int] = set()
    n_truth = overlaps.shape[1]
    for place in np.argsort(-overlaps, axis=None, kind="stable"):
        one, other = divmod(int(place), n_truth)
        if overlaps[one, other] < least or overlaps[one, other] <= 0:
            break
        if one not in matches and other not in taken:
            matches[one] = other
            taken.add(other)
    return matches
