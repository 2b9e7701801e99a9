"""Boxes and quads: overlap, clipping, order of corners, suppression of duplicates.

Pure. Coordinates are float pixels of the upright image; a box from x to x + width covers
``[x, x + width)``, so whole-pixel boxes have whole-pixel areas.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Box, Point, Quad


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, in [0, 1]; 0 if neither has an area."""
    overlap = _overlap(a, b)
    union = a.width * a.height + b.width * b.height - overlap
    return overlap / union if union > 0 else 0.0


def box_containment(inner: Box, outer: Box) -> float:
    """Share of ``inner``'s area that lies inside ``outer``, in [0, 1]; 0 if it has no area."""
    area = inner.width * inner.height
    return min(_overlap(inner, outer) / area, 1.0) if area > 0 else 0.0


def _overlap(a: Box, b: Box) -> float:
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return width * height if width > 0 and height > 0 else 0.0


def clip_box(box: Box, width: int, height: int) -> Box | None:
    """Cut a box to an image of ``width`` x ``height``; None if no area of it is inside."""
    left, top = max(box.x, 0.0), max(box.y, 0.0)
    right = min(box.x + box.width, float(width))
    bottom = min(box.y + box.height, float(height))
    return Box(left, top, right - left, bottom - top) if right > left and bottom > top else None


def quad_box(quad: Quad) -> Box:
    """Smallest upright box around the four corners."""
    xs, ys = [point.x for point in quad], [point.y for point in quad]
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def quad_area(quad: Quad) -> float:
    """Area inside the corners in pixels, whichever way round they go.

    Source: the shoelace formula, taken relative to the first corner, which keeps it exact for
    small quads far from the origin.
    """
    base = quad[0]
    steps = [(point.x - base.x, point.y - base.y) for point in quad]
    pairs = zip(steps, [*steps[1:], steps[0]], strict=True)
    return abs(math.fsum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


def quad_height(quad: Quad) -> float:
    """Height of the text in pixels, across its reading direction: mean of left and right edge."""
    top_left, top_right, bottom_right, bottom_left = quad
    return (_distance(top_left, bottom_left) + _distance(top_right, bottom_right)) / 2


def _distance(a: Point, b: Point) -> float:
    return math.hypot(a.x - b.x, a.y - b.y)


def clip_quad(quad: Quad, width: int, height: int) -> Quad:
    """Move every corner into the frame ``[0, width] x [0, height]``.

    It stays a quad, at the price that a slanted one which sticks out changes its shape a little.
    One that lies outside altogether ends with no area.
    """
    first, second, third, fourth = (
        Point(min(max(point.x, 0.0), float(width)), min(max(point.y, 0.0), float(height)))
        for point in quad
    )
    return first, second, third, fourth


def order_quad(points: Sequence[Point]) -> Quad:
    """Put four corners in clockwise order as seen, the one nearest the top left first.

    The answer does not depend on the order of ``points``, and crossed corners come out uncrossed.

    Raises:
        ValueError: There are not four points.
    """
    if len(points) != 4:  # noqa: PLR2004
        raise ValueError(f"a quad has 4 corners, got {len(points)}")
    # fsum, because a plain sum would let the order of the points reach the last bit.
    x, y = math.fsum(p.x for p in points) / 4, math.fsum(p.y for p in points) / 4

    def turn(point: Point) -> tuple[float, float, float]:
        """Order points by angle around the centre; of equal angles by place."""
        return math.atan2(point.y - y, point.x - x), point.x, point.y

    ring = sorted(points, key=turn)
    start = min(range(4), key=lambda i: (ring[i].x + ring[i].y, ring[i].y, ring[i].x))
    first, second, third, fourth = ring[start:] + ring[:start]
    return first, second, third, fourth


def box_nms(boxes: Sequence[Box], scores: Sequence[float], threshold: float) -> list[int]:
    """Keep the best of every group of boxes that overlap more than ``threshold``.

    Greedy, best score first; of equal scores the lower index goes first. Only among equal scores
    does the order of the input matter, so callers who want it not to sort them by geometry.

    Args:
        boxes: N boxes.
        scores: N scores; NaN is not allowed.
        threshold: IoU in [0, 1]; a box goes only if it is above.

    Returns:
        Indices of the boxes that stay, best first.

    Raises:
        ValueError: There are not as many scores as boxes, or one is NaN.

    Source: the choices are those of ``torchvision.ops.nms``, so results can be compared.
    """
    values = np.asarray(scores, dtype=np.float64)
    if len(boxes) != len(scores) or bool(np.isnan(values).any()):
        raise ValueError(f"expected {len(boxes)} scores, none NaN; got {list(scores)[:8]}")
    corners = _corners(boxes)
    order = np.argsort(-values, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[_iou_with(corners[best], corners[rest]) <= threshold]
    return kept


def _corners(boxes: Sequence[Box]) -> NDArray[np.float64]:
    rows = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes]
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _iou_with(one: NDArray[np.float64], many: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.minimum(one[2:], many[:, 2:]) - np.maximum(one[:2], many[:, :2])
    overlap = np.clip(sides, 0, None).prod(axis=1)
    union = (one[2:] - one[:2]).prod() + (many[:, 2:] - many[:, :2]).prod(axis=1) - overlap
    iou: NDArray[np.float64] = np.zeros_like(overlap)
    np.divide(overlap, union, out=iou, where=union > 0)
    return iou
