from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import TextPolicy
from pipeline.fuse.lines import find_lines
from pipeline.fuse.reading import reading_order
from pipeline.records import Point, TextSpan

Place = tuple[str, float, float, float]


def read(draw: Any, *places: Place, degrees: float = 0.0) -> list[str]:
    spans = [draw.span(text, x, y, width) for text, x, y, width in places]
    spans = [_turned(span, degrees) for span in spans]
    lines = find_lines(spans, TextPolicy(line_gap=0.5))
    return [lines[at].text for at in reading_order(lines)]


def _turned(span: TextSpan, degrees: float) -> TextSpan:
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    first, second, third, fourth = (
        Point(p.x * cos - p.y * sin, p.x * sin + p.y * cos) for p in span.quad
    )
    return TextSpan((first, second, third, fourth), span.text, span.score)


TWO_COLUMNS: tuple[Place, ...] = (
    ("Title", 10, 0, 190),
    *((f"left {n}", 10, 20 + 13 * n, 85) for n in range(3)),
    *((f"right {n}", 115, 20 + 13 * n, 85) for n in range(3)),
    ("Footer", 10, 80, 190),
)
IN_COLUMNS = [
    "Title", "left 0", "left 1", "left 2", "right 0", "right 1", "right 2", "Footer",
]  # fmt: skip


def test_nothing_to_read(draw: Any) -> None:
    assert read(draw) == []


def test_lines_are_read_from_the_top(draw: Any) -> None:
    assert read(draw, ("c", 10, 40, 30), ("a", 30, 10, 30), ("b", 5, 25, 30)) == ["a", "b", "c"]


def test_columns_are_read_one_after_the_other(draw: Any) -> None:
    assert read(draw, *TWO_COLUMNS) == IN_COLUMNS


@pytest.mark.parametrize("degrees", [-35.0, -8.0, 3.0, 20.0, 40.0])
def test_a_page_photographed_askew_reads_the_same(draw: Any, degrees: float) -> None:
    assert read(draw, *TWO_COLUMNS, degrees=degrees) == IN_COLUMNS


def test_a_menu_is_read_row_by_row(draw: Any) -> None:
    menu = (
        ("Espresso", 10, 10, 50), ("2.10", 160, 12, 22),
        ("Latte", 10, 25, 32), ("3.40", 160, 24, 22),
        ("Tea", 10, 40, 20), ("1.90", 160, 39, 22),
    )  # fmt: skip
    assert read(draw, *menu) == ["Espresso", "2.10", "Latte", "3.40", "Tea", "1.90"]


def test_one_row_is_read_from_the_left_even_if_it_is_not_quite_level(draw: Any) -> None:
    assert read(draw, ("c", 150, 8, 20), ("a", 10, 12, 20), ("b", 80, 10, 20)) == ["a", "b", "c"]


def test_signs_side_by_side_are_read_one_after_the_other(draw: Any) -> None:
    signs = (
        ("NO", 10, 10, 40), ("ENTRY", 10, 24, 40),
        ("BUS", 150, 18, 40), ("STOP", 150, 32, 40),
    )  # fmt: skip
    assert read(draw, *signs) == ["NO", "ENTRY", "BUS", "STOP"]


def test_a_sign_above_is_read_before_one_below_on_the_left(draw: Any) -> None:
    assert read(draw, ("below", 10, 90, 40), ("above", 200, 10, 40)) == ["above", "below"]


def test_columns_of_a_script_from_right_to_left_start_at_the_right(draw: Any) -> None:
    left, right = "\u05d0\u05d1", "\u05d2\u05d3"
    places = [(f"{left}{n}", 10, 20 + 13 * n, 85) for n in range(3)]
    places += [(f"{right}{n}", 115, 20 + 13 * n, 85) for n in range(3)]
    assert read(draw, *places) == [f"{word}{n}" for word in (right, left) for n in range(3)]


def test_columns_that_run_downwards_are_read_from_the_right(draw: Any) -> None:
    spans = [draw.span("\u5317\u53e3", x, 10, 12, 40) for x in (10, 26, 42)]
    lines = find_lines(spans, TextPolicy())
    order = [lines[at].quad[0].x for at in reading_order(lines)]
    assert order == [42, 26, 10]


def test_more_lines_than_python_recurses(draw: Any) -> None:
    places = [(f"{n}", 10.0, 13.0 * n, 30.0) for n in range(1100)]
    assert read(draw, *reversed(places)) == [text for text, *_ in places]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.data())
def test_every_line_is_read_once_whatever_the_order(draw: Any, data: st.DataObject) -> None:
    number = st.integers(0, 150)
    spots = data.draw(st.lists(st.tuples(number, number), max_size=8, unique=True))
    places = [(f"{x},{y}", float(x), float(y), 25.0) for x, y in spots]
    order = read(draw, *places)
    words = sorted(word for text in order for word in text.split())
    assert words == sorted(text for text, *_ in places)
    assert read(draw, *data.draw(st.permutations(places))) == order
