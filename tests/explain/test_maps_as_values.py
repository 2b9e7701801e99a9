"""Where maps lie in an image, and how they are scored."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import Box
from pipeline.relevance import (
    Fading,
    RelevanceMap,
    model_frame,
    pixel_auroc,
    points_at,
    share_inside,
    spread,
)

sides = st.integers(3, 60)


@given(sides, sides, st.sampled_from(["squash", "shortest", "longest"]))
def test_a_map_covers_what_the_model_saw_and_no_more(height: int, width: int, mode: str) -> None:
    frame = model_frame(height, width, (32, 32), mode)
    # Nothing in the first row of cells, everything below it, as a flat map has no relief.
    cells = np.array([[0.0], [1.0]], np.float32)
    shown = spread(RelevanceMap(cells, frame), height, width) > 0
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    below = (rows - frame.y > frame.height / 4 + 1e-9) & (rows - frame.y <= frame.height)
    across = (columns - frame.x >= 0) & (columns - frame.x <= frame.width)
    np.testing.assert_array_equal(shown, np.outer(below, across))


@given(sides, sides, st.integers(2, 8), st.integers(2, 8), st.data())
def test_the_peak_stays_in_its_cell(
    height: int, width: int, rows: int, columns: int, data: st.DataObject
) -> None:
    rows, columns = min(rows, height), min(columns, width)
    row = data.draw(st.integers(0, rows - 1))
    column = data.draw(st.integers(0, columns - 1))
    cells = np.zeros((rows, columns), np.float32)
    cells[row, column] = 1
    frame = Box(0, 0, float(width), float(height))
    field = spread(RelevanceMap(cells, frame), height, width)
    y, x = np.unravel_index(field.argmax(), field.shape)
    assert abs((y + 0.5) / height * rows - (row + 0.5)) <= 0.5 + rows / height
    assert abs((x + 0.5) / width * columns - (column + 0.5)) <= 0.5 + columns / width
    assert 0 <= field.min() <= field.max() <= 1


def test_what_speaks_against_counts_as_nothing() -> None:
    cells = np.array([[-5.0, -1.0], [0.0, 2.0]], np.float32)
    field = spread(RelevanceMap(cells, Box(0, 0, 2, 2)), 2, 2)
    np.testing.assert_allclose(field, [[0, 0], [0, 1]], atol=1e-6)
    nothing = spread(RelevanceMap(-np.ones((2, 2), np.float32), Box(0, 0, 4, 4)), 4, 4)
    assert not nothing.any()


def test_a_map_of_a_crop_lies_where_the_crop_was() -> None:
    cells = np.array([[0.0, 1.0], [0.0, 0.0]], np.float32)
    field = spread(RelevanceMap(cells, Box(0, 0, 10, 10)).moved(20, 5), 40, 40)
    y, x = np.unravel_index(field.argmax(), field.shape)
    assert 5 <= y < 10
    assert 25 <= x < 30
    assert not field[:, :20].any()
    assert not field[15:].any()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_the_share_of_pairs_in_order(pixels: list[tuple[int, bool]]) -> None:
    field = np.array([[value for value, _ in pixels]], np.float32)
    mask = np.array([[inside for _, inside in pixels]])
    pairs = [(a, b) for a, i in pixels if i for b, j in pixels if not j]
    value = pixel_auroc(field, mask)
    if not pairs:
        assert math.isnan(value)
    else:
        expected = sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)
        assert value == pytest.approx(expected)


def test_pointing_forgives_three_percent() -> None:
    field = np.zeros((100, 100), np.float32)
    field[50, 50] = 1
    mask = np.zeros((100, 100), bool)
    mask[50, 53:60] = True
    assert points_at(field, mask)
    mask[50, 53] = False
    assert not points_at(field, mask)
    assert not points_at(field, np.zeros_like(mask))


def test_the_share_inside_is_of_all_relevance() -> None:
    field = np.array([[0.5, 0.25, 0.25]], np.float32)
    assert share_inside(field, np.array([[True, False, True]])) == pytest.approx(0.75)
    assert math.isnan(share_inside(np.zeros((1, 2), np.float32), np.array([[True, False]])))


def test_areas_below_the_curves() -> None:
    fading = Fading((1.0, 0.0, 0.0), (0.0, 1.0, 1.0))
    assert (fading.deletion_area, fading.insertion_area) == (0.25, 0.75)
