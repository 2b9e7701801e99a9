"""Masks as polygons, exactly or as closely as asked. Pure.

Rings go along the edges of pixels, so COCO readers draw the very mask back. A union of polygons
cannot leave a hole open: who has to hold one asks ``edge_rings`` first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline import rle
from pipeline.records import Bitmap, Box, Mask

Ring: TypeAlias = NDArray[np.int64]
"""(N, 2) corners x, y in whole pixels, clockwise as seen; a hole's go the other way."""

_TOLERANCES: Final = (1.0, 0.75)
"""How far a corner may move, in pixels; from 0.71 on the steps of a slanted edge go."""

_DRAWN_CORNERS: Final = 3


@dataclass(frozen=True, slots=True)
class Polygons:
    """A mask drawn by polygons.

    Attributes:
        rings: ``[x0, y0, x1, y1, ...]`` each, as COCO writes them.
        drawn: The mask that COCO readers make of them.
        iou: Of ``drawn`` with the mask.
    """

    rings: list[list[float]]
    drawn: Mask
    iou: float


def edge_rings(mask: Mask) -> tuple[list[Ring], list[Ring]]:
    """Trace a mask along the edges of its pixels.

    Pixels that touch at a corner only belong to different parts.

    Returns:
        Outer rings and holes.
    """
    box = rle.tight_box(mask)
    if box is None:
        return [], []
    bitmap = rle.crop_bitmap(mask, box)
    offset = np.array([int(box.x), int(box.y)])
    outer: list[Ring] = []
    holes: list[Ring] = []
    for ring in _rings(bitmap):
        (outer if _signed_area(ring) > 0 else holes).append(ring + offset)
    return outer, holes


def polygons(mask: Mask, min_iou: float) -> Polygons | None:
    """Draw a mask with as few corners as keep it; None if polygons cannot.

    Args:
        mask: Not empty.
        min_iou: Least IoU with the mask of what readers will draw.
    """
    outer, holes = edge_rings(mask)
    if holes:
        return None
    for tolerance in _TOLERANCES:
        candidate = _drawn(mask, [_simplified(ring, tolerance) for ring in outer])
        if candidate is not None and candidate.iou >= min_iou:
            return candidate
    exact = _drawn(mask, outer)
    return exact if exact is not None and exact.iou >= min_iou else None


def _drawn(mask: Mask, rings: Sequence[Ring]) -> Polygons | None:
    sound = [ring for ring in rings if len(ring) >= _DRAWN_CORNERS and _signed_area(ring) > 0]
    if len(sound) < len(rings) or any(_walks_back(ring) for ring in sound):
        return None
    flat = [[float(value) for value in ring.ravel()] for ring in sound]
    drawn = rle.polygon_mask(flat, mask.width, mask.height)
    box = rle.tight_box(drawn)
    if box is None or not _fits(np.concatenate(sound), box):
        return None
    return Polygons(flat, drawn, float(rle.iou_matrix([mask, drawn])[0, 1]))


def _fits(points: Ring, box: Box) -> bool:
    """Whether a box is that of the outline, to a pixel: a spike can be too thin to be drawn."""
    gaps = points.min(0) - (box.x, box.y), points.max(0) - (box.x + box.width, box.y + box.height)
    return bool(np.abs(gaps).max() <= 1)


def _simplified(ring: Ring, tolerance: float) -> Ring:
    import cv2

    points = cv2.approxPolyDP(ring.astype(np.int32)[:, None, :], tolerance, closed=True)
    return np.asarray(points, np.int64).reshape(-1, 2)


def _walks_back(ring: Ring) -> bool:
    """Whether an edge is walked both ways, which readers may take for a bridge to a hole."""
    points = [(int(x), int(y)) for x, y in ring]
    edges = set(zip(points, [*points[1:], points[0]], strict=True))
    return any((b, a) in edges for a, b in edges)


def _signed_area(ring: Ring) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


_Corner: TypeAlias = tuple[int, int]
_Step: TypeAlias = tuple[int, int]


def _rings(bitmap: Bitmap) -> Iterator[Ring]:
    """Walk along all edges, the mask to the right; at a corner of four edges turn right.

    Yields:
        One ring after the other, corners only.
    """
    edges = _edges(bitmap)
    for start in sorted(edges):
        # All four edges of a corner can only be left at one that is not the first of its ring.
        if start in edges:
            yield _ring(edges, start)


def _ring(edges: dict[_Corner, list[_Step]], start: _Corner) -> Ring:
    at, heading = start, (0, 0)
    corners: list[_Corner] = []
    while at != start or not corners:
        step = _rightmost(edges[at], heading)
        edges[at].remove(step)
        if not edges[at]:
            del edges[at]
        if step != heading:
            corners.append(at)
        heading, at = step, (at[0] + step[0], at[1] + step[1])
    return np.array(corners, np.int64)


def _rightmost(steps: Sequence[_Step], heading: _Step) -> _Step:
    right = (-heading[1], heading[0])
    return right if right in steps else steps[0]


def _edges(bitmap: Bitmap) -> dict[_Corner, list[_Step]]:
    """Corner → the steps that lead on from it, along pixel edges with the mask to the right."""
    padded = np.pad(bitmap, 1)
    down = padded[1:, 1:-1].astype(np.int8) - padded[:-1, 1:-1]
    across = padded[1:-1, 1:].astype(np.int8) - padded[1:-1, :-1]
    edges: dict[_Corner, list[_Step]] = {}
    kinds = ((down, 1, (1, 0), (0, 0)), (down, -1, (-1, 0), (1, 0)))
    sides = ((across, 1, (0, -1), (0, 1)), (across, -1, (0, 1), (0, 0)))
    for changes, sign, step, (dx, dy) in (*kinds, *sides):
        for y, x in zip(*np.nonzero(changes == sign), strict=True):
            edges.setdefault((int(x) + dx, int(y) + dy), []).append(step)
    return edges
