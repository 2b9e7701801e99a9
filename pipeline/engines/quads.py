"""Corners of text as readers return them, in the form this house uses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.records import Point, Quad, TextSpan


def quad_inside(corners: Sequence[Sequence[float]], width: int, height: int) -> Quad:
    """Take four corners, clockwise from the top left of the text, and keep them in the image.

    Args:
        corners: Four (x, y).
        width: Columns of the image.
        height: Rows of the image.

    Raises:
        ValueError: There are not four corners.
    """
    a, b, c, d = (_inside(x, y, width, height) for x, y in corners)
    return a, b, c, d


def _inside(x: float, y: float, width: int, height: int) -> Point:
    # In this order of arguments NaN stays NaN.
    return Point(min(max(float(x), 0.0), float(width)), min(max(float(y), 0.0), float(height)))


def reading_order(spans: Iterable[TextSpan]) -> tuple[TextSpan, ...]:
    """Order text top to bottom, then left to right, the same way on every run."""
    return tuple(sorted(spans, key=_top_left))


def _top_left(span: TextSpan) -> tuple[float, float, str]:
    return min(p.y for p in span.quad), min(p.x for p in span.quad), span.text
