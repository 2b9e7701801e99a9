"""Lines of text as four corners, which most formats want."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from pipeline.export.example import Example
from pipeline.geometry import clip_quad, order_quad, quad_area
from pipeline.labels import MergedLabel
from pipeline.records import Point, Quad

_CORNERS: Final = 4
_DIGITS: Final = 2


def quad_of(example: Example, label: MergedLabel) -> Quad:
    """Corners of a line of text, inside the image.

    What a person drew with more or fewer corners gets the smallest rectangle around it.
    """
    points = label.content.points
    if len(points) == _CORNERS:
        first, second, third, fourth = points
        return _rounded(clip_quad((first, second, third, fourth), example.width, example.height))
    quad = _around(points) if points else None
    if quad is None or not quad_area(quad):
        box = example.box(label)
        right, bottom = box.x + box.width, box.y + box.height
        quad = (
            Point(box.x, box.y),
            Point(right, box.y),
            Point(right, bottom),
            Point(box.x, bottom),
        )
    return _rounded(clip_quad(quad, example.width, example.height))


def _around(points: tuple[Point, ...]) -> Quad:
    import cv2

    corners = np.array([(point.x, point.y) for point in points], np.float32)
    return order_quad(
        [Point(float(x), float(y)) for x, y in cv2.boxPoints(cv2.minAreaRect(corners))]
    )


def _rounded(quad: Quad) -> Quad:
    first, second, third, fourth = (
        Point(round(point.x, _DIGITS) + 0.0, round(point.y, _DIGITS) + 0.0) for point in quad
    )
    assert all(math.isfinite(value) for point in quad for value in (point.x, point.y))
    return first, second, third, fourth
