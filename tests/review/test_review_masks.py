"""Masks to FiftyOne's frame and back, exactly; drift is told from edits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline import rle
from pipeline.labels.values import Content, Kind
from pipeline.records import Point
from pipeline.review.masks import (
    DRIFT,
    crop,
    place,
    relative,
    to_points,
    untouched_box,
    untouched_points,
)

sizes = st.tuples(st.integers(1, 90), st.integers(1, 90))
bitmaps = sizes.flatmap(lambda size: arrays(np.bool_, size)).filter(lambda b: bool(b.any()))


def content_of(bitmap: np.ndarray) -> Content:
    mask = rle.encode(bitmap)
    return Content(Kind.OBJECT, "x", mask=mask, box=rle.tight_box(mask))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(bitmap=bitmaps, factor=st.integers(1, 3))
def test_a_mask_comes_back_exactly_however_it_was_enlarged(bitmap: np.ndarray, factor: int) -> None:
    height, width = bitmap.shape
    mask = rle.encode(bitmap)
    box, pixels = crop(mask)
    enlarged = np.kron(pixels, np.ones((factor, factor))).astype(np.uint8) * 255
    assert place(relative(box, width, height), enlarged, width, height) == (mask, box)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    bitmap=bitmaps,
    drift=st.tuples(*[st.floats(-DRIFT * 0.99, DRIFT * 0.99)] * 4),
    factor=st.floats(1.0, 3.0),
)
def test_drift_is_no_edit(
    bitmap: np.ndarray, drift: tuple[float, float, float, float], factor: float
) -> None:
    height, width = bitmap.shape
    known = content_of(bitmap)
    box, pixels = crop(rle.encode(bitmap))
    rows = (np.arange(int(pixels.shape[0] * factor)) / factor).astype(int)
    columns = (np.arange(int(pixels.shape[1] * factor)) / factor).astype(int)
    stored = pixels[np.ix_(rows, columns)].astype(np.uint8)
    moved = [a + b for a, b in zip(relative(box, width, height), drift, strict=True)]
    if stored.shape == tuple(int(n * factor) for n in pixels.shape):
        same = untouched_box(known, moved, stored, width, height)
        back = place(relative(box, width, height), stored, width, height)[0]
        assert same == (back == known.mask)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(bitmap=bitmaps, data=st.data())
def test_one_pixel_painted_is_an_edit(bitmap: np.ndarray, data: st.DataObject) -> None:
    height, width = bitmap.shape
    box, pixels = crop(rle.encode(bitmap))
    y = data.draw(st.integers(0, pixels.shape[0] - 1))
    x = data.draw(st.integers(0, pixels.shape[1] - 1))
    painted = pixels.copy()
    painted[y, x] ^= True
    assert not untouched_box(
        content_of(bitmap), relative(box, width, height), painted, width, height
    )


def test_a_box_that_moved_is_an_edit() -> None:
    bitmap = np.zeros((100, 100), np.bool_)
    bitmap[10:30, 10:30] = True
    box, pixels = crop(rle.encode(bitmap))
    moved = [value + 2 * DRIFT for value in relative(box, 100, 100)]
    assert not untouched_box(content_of(bitmap), moved, pixels, 100, 100)
    assert not untouched_box(content_of(bitmap), relative(box, 100, 100), None, 100, 100)


def test_what_sticks_out_is_cut_off_and_an_erased_mask_is_none() -> None:
    mask, box = place([-0.1, 0.9, 0.2, 0.2], np.ones((4, 4)), 50, 50)
    assert mask is not None
    assert (box.x, box.y, box.width, box.height) == (0, 45, 5, 5)
    assert place([0.1, 0.1, 0.2, 0.2], np.zeros((4, 4), np.uint8), 50, 50)[0] is None
    assert place([0.1, 0.1, 0.2, 0.2], None, 50, 50)[0] is None


def test_a_mask_with_channels_covers_where_any_does() -> None:
    pixels = np.zeros((10, 10, 3), np.uint8)
    pixels[2, 3, 1] = 9
    mask, _ = place([0, 0, 1, 1], pixels, 10, 10)
    assert mask is not None
    assert rle.area(mask) == 1


def test_an_empty_mask_has_no_crop() -> None:
    with pytest.raises(ValueError, match="empty"):
        crop(rle.encode(np.zeros((3, 3), np.bool_)))


def test_corners_drift_too() -> None:
    corners = (Point(10, 10), Point(20, 10), Point(20, 16))
    known = Content(Kind.TEXT, "text", "x", points=corners)
    stored = [[0.101, 0.1], [0.2, 0.1], [0.2, 0.1605]]
    assert untouched_points(known, stored, 100, 100)
    assert not untouched_points(known, stored[:2], 100, 100)
    assert not untouched_points(known, [[0.11, 0.1], *stored[1:]], 100, 100)
    assert to_points([[0.101, 0.1]], 100, 100) == (Point(10.1, 10.0),)
