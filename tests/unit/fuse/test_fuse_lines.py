from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import TextPolicy
from pipeline.fuse.lines import find_lines, plain
from pipeline.geometry import quad_box, quad_height
from pipeline.records import Box, Point, Quad, TextSpan

POLICY = TextPolicy()


def texts(spans: list[TextSpan], policy: TextPolicy = POLICY) -> list[str]:
    return sorted(line.text for line in find_lines(spans, policy))


def box_quad(x: float, y: float, width: float, height: float) -> Quad:
    right, bottom = x + width, y + height
    return Point(x, y), Point(right, y), Point(right, bottom), Point(x, bottom)


def turned(span: TextSpan, degrees: float) -> TextSpan:
    """The span turned clockwise as seen, with the image."""
    sin, cos = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))

    def turn(p: Point) -> Point:
        return Point(p.x * cos - p.y * sin, p.x * sin + p.y * cos)

    first, second, third, fourth = (turn(point) for point in span.quad)
    return TextSpan((first, second, third, fourth), span.text, span.score)


def test_words_beside_each_other_are_one_line(draw: Any) -> None:
    spans = [draw.span("ENTRY", 35, 11), draw.span("NO", 10, 10), draw.span("TODAY", 62, 10)]
    (line,) = find_lines(spans, POLICY)
    assert line.text == "NO ENTRY TODAY"
    assert [span.text for span in line.spans] == ["NO", "ENTRY", "TODAY"]
    assert quad_box(line.quad) == Box(10, 10, 72, 11)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ((45, 10, 20, 10), "the gap is 1.5 text heights"),
        ((32, 17, 20, 10), "it stands lower"),
        ((32, 4, 60, 22), "it is more than twice as large"),
        ((12, 10, 20, 10), "it lies on the other one"),
        ((10, 22, 20, 10), "it is the next line"),
    ],
)
def test_words_that_are_not_one_line(draw: Any, other: tuple[int, int, int, int], why: str) -> None:
    assert texts([draw.span("ONE", 10, 10), draw.span("TWO", *other)]) == ["ONE", "TWO"], why


def test_words_in_two_directions_are_two_lines(draw: Any) -> None:
    level = TextSpan(box_quad(-30, -5, 28, 10), "ONE", 0.9)
    slanted = turned(TextSpan(box_quad(0, -5, 30, 10), "TWO", 0.9), 30)
    assert texts([level, slanted]) == ["ONE", "TWO"]
    assert texts([level, turned(slanted, -20)]) == ["ONE TWO"]


def test_line_gap_is_in_text_heights(draw: Any) -> None:
    spans = [draw.span("ONE", 10, 10), draw.span("TWO", 45, 10)]
    assert texts(spans, TextPolicy(line_gap=1.5)) == ["ONE TWO"]
    assert texts(spans, TextPolicy(line_gap=1.4)) == ["ONE", "TWO"]


def test_a_line_is_as_sure_as_its_weakest_word(draw: Any) -> None:
    (line,) = find_lines(
        [draw.span("NO", 10, 10, score=0.9), draw.span("WAY", 35, 10, score=0.6)], POLICY
    )
    assert line.score == 0.6


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.floats(-40, 40))
def test_slanted_words_are_joined_along_their_own_direction(draw: Any, degrees: float) -> None:
    level = [draw.span("A1", 10, 10), draw.span("B2", 33, 10), draw.span("C3", 58, 10)]
    below = [draw.span("D4", 10, 26), draw.span("E5", 33, 26)]
    lines = find_lines([turned(span, degrees) for span in level + below], POLICY)
    assert sorted(line.text for line in lines) == ["A1 B2 C3", "D4 E5"]
    for line in lines:
        assert quad_height(line.quad) == pytest.approx(10.0)
        assert line.height == pytest.approx(10.0)


def test_the_quad_of_a_slanted_line_is_slanted(draw: Any) -> None:
    spans = [draw.span("A1", 10, 10), draw.span("B2", 33, 10)]
    (line,) = find_lines([turned(span, 30) for span in spans], POLICY)
    whole = turned(draw.span("A1 B2", 10, 10, width=43), 30)
    for ours, theirs in zip(line.quad, whole.quad, strict=True):
        assert (ours.x, ours.y) == pytest.approx((theirs.x, theirs.y))


def test_words_that_run_downwards_are_joined_downwards(draw: Any) -> None:
    # Readers return upright quads for these; side by side they are two lines, not one.
    left = [draw.span("SOUTH", 10, 10, 12, 50), draw.span("GATE", 10, 66, 12, 40)]
    right = [draw.span("EXIT", 26, 10, 12, 45)]
    lines = find_lines(left + right, POLICY)
    assert sorted(line.text for line in lines) == ["EXIT", "SOUTH GATE"]
    assert {line.height for line in lines} == {12}


def test_a_narrow_single_character_does_not_run_downwards(draw: Any) -> None:
    assert texts([draw.span("1", 10, 10, 4, 10), draw.span("ST", 16, 10)]) == ["1 ST"]


def test_words_from_right_to_left_are_read_in_that_order(draw: Any) -> None:
    spans = [
        draw.span("\u05e2\u05d5\u05dc\u05dd", 10, 10),
        draw.span("\u05e9\u05dc\u05d5\u05dd", 33, 10),
    ]
    assert texts(spans) == ["\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"]


def test_a_weak_word_does_not_spoil_its_line(draw: Any) -> None:
    spans = [
        draw.span("PALAIS", 10, 10, score=0.98),
        draw.span("|", 33, 10, width=4, score=0.12),
        draw.span("ROYAL", 40, 10, score=0.97),
    ]
    lines = {line.text: line for line in find_lines(spans, POLICY)}
    assert set(lines) == {"PALAIS ROYAL", "|"}
    assert lines["PALAIS ROYAL"].score == 0.97
    assert lines["PALAIS ROYAL"].doubts == (
        "incomplete: '|' (0.12) in the same line is below the threshold",
    )
    assert lines["|"].doubts == ()


def test_a_pictogram_read_as_a_foreign_character_is_not_part_of_the_line(draw: Any) -> None:
    # Seen with RapidOCR on a French street sign: every arrow became this character.
    spans = [draw.span("\u7a74", 10, 10, width=10, score=0.86), draw.span("LES ARTS", 22, 10, 60)]
    lines = {line.text: line for line in find_lines(spans, POLICY)}
    assert set(lines) == {"\u7a74", "LES ARTS"}
    assert "pictogram" in lines["\u7a74"].doubts[0]
    assert lines["LES ARTS"].doubts == ()


@pytest.mark.parametrize("neighbours", [("\u51fa", "\u53e3"), ("7", "EXIT"), ("B", "WING")])
def test_single_characters_of_the_same_script_stay_in_the_line(
    draw: Any, neighbours: tuple[str, str]
) -> None:
    spans = [draw.span(neighbours[0], 10, 10, 10), draw.span(neighbours[1], 22, 10)]
    assert texts(spans) == [" ".join(neighbours)]


def test_control_characters_and_broken_characters_are_no_text() -> None:
    assert plain(" a\x00\nb\t\u2028c \ud83d") == "a b c \ufffd"
    assert plain("\u0645\u06cc\u200c\u062e") == "\u0645\u06cc\u200c\u062e"


def quads() -> st.SearchStrategy[Quad]:
    number = st.integers(-20, 140)
    corner = st.builds(Point, number.map(float), number.map(float))
    return st.tuples(corner, corner, corner, corner)


spans_anywhere = st.lists(
    st.builds(
        TextSpan,
        quads(),
        st.sampled_from(["A", "\u7a74", "STOP", "", "7", "\u05e9"]),
        st.floats(0, 1),
    ),
    max_size=7,
)


@settings(deadline=None, derandomize=True, max_examples=80)
@given(st.data())
def test_every_span_is_in_exactly_one_line_whatever_the_order(data: st.DataObject) -> None:
    spans = data.draw(spans_anywhere)
    lines = find_lines(spans, POLICY)
    inside = [span for line in lines for span in line.spans]
    assert sorted(map(repr, inside)) == sorted(map(repr, spans))
    shuffled = data.draw(st.permutations(spans))
    assert find_lines(shuffled, POLICY) == lines
    for line in lines:
        assert math.hypot(line.direction.x, line.direction.y) == pytest.approx(1.0)
        assert all(math.isfinite(v) for p in line.quad for v in (p.x, p.y))
