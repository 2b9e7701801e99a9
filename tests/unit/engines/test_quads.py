"""Corners stay in the image, texts come in one order, NaN stays visible."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engines.quads import quad_inside, reading_order
from pipeline.records import Point, TextSpan

COORDINATE = st.floats(-1e6, 1e6)


@given(corners=st.lists(st.tuples(COORDINATE, COORDINATE), min_size=4, max_size=4))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_corners_end_inside(corners: list[tuple[float, float]]) -> None:
    for point, (x, y) in zip(quad_inside(corners, 30, 20), corners, strict=True):
        assert 0 <= point.x <= 30
        assert 0 <= point.y <= 20
        assert point.x == x or not 0 <= x <= 30
        assert point.y == y or not 0 <= y <= 20


def test_nan_stays() -> None:
    corners = quad_inside([(math.nan, 1), (2, math.nan), (3, 3), (0, 3)], 9, 9)
    assert math.isnan(corners[0].x)
    assert math.isnan(corners[1].y)


def test_three_corners_are_an_error() -> None:
    with pytest.raises(ValueError, match="unpack"):
        quad_inside([(0, 0), (1, 0), (1, 1)], 9, 9)


def _span(text: str, x: float, y: float) -> TextSpan:
    return TextSpan((Point(x, y), Point(x + 9, y), Point(x + 9, y + 4), Point(x, y + 4)), text, 1.0)


def test_top_comes_before_left() -> None:
    spans = [_span("c", 0, 5), _span("b", 4, 1), _span("a", 2, 1)]
    assert [span.text for span in reading_order(spans)] == ["a", "b", "c"]
    assert reading_order(spans) == reading_order(spans[::-1])
