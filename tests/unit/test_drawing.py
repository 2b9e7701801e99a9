"""Labels drawn into images: what must be seen is seen, and nothing else changes."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline import rle
from pipeline.contact_sheet import _cut
from pipeline.drawing import (
    PALETTE,
    TEXT,
    Shape,
    class_colour,
    drawn,
    font,
    ink_on,
    painted,
    shape_of,
    tinted,
)
from pipeline.labels.values import Content, Kind
from pipeline.panels import Said, heated, side_by_side
from pipeline.records import Bitmap, Box, Mask, Point

GREY = np.full((60, 80, 3), 120, np.uint8)


def block(left: int, top: int, width: int, height: int) -> Bitmap:
    bitmap = np.zeros(GREY.shape[:2], np.bool_)
    bitmap[top : top + height, left : left + width] = True
    return bitmap


def shape(mask: Mask, words: str = "cat", place: int = 0) -> Shape:
    box = rle.tight_box(mask)
    assert box is not None
    return Shape(mask, (), box, words, class_colour(place))


blocks = st.builds(
    block, st.integers(0, 70), st.integers(0, 50), st.integers(1, 40), st.integers(1, 40)
)


@given(blocks)
def test_a_tint_changes_the_mask_and_a_shadow_around_it(mask: Bitmap) -> None:
    picture = tinted(GREY, mask, PALETTE[1])
    changed = (picture != GREY).any(axis=-1)
    assert changed[mask].all()
    near = np.pad(mask, 1)
    grown = near[1:-1, 1:-1] | near[:-2, 1:-1] | near[2:, 1:-1] | near[1:-1, :-2] | near[1:-1, 2:]
    assert not changed[~grown].any()
    assert (picture[mask] == PALETTE[1]).all(axis=-1).any() or mask.all(), "an outline"
    assert (GREY == 120).all()


def test_a_small_object_lies_on_top_of_a_large_one_in_any_order() -> None:
    large = shape(rle.encode(block(5, 5, 60, 50)), place=0)
    small = shape(rle.encode(block(20, 20, 6, 6)), place=1)
    for shapes in ([large, small], [small, large]):
        picture = painted(GREY, shapes, 400)
        assert (picture[20, 20:26] == PALETTE[1]).all()


def test_masks_shrink_with_their_image_and_thin_ones_stay() -> None:
    image = np.full((900, 1200, 3), 120, np.uint8)
    line = np.zeros((900, 1200), np.bool_)
    line[450:454] = True
    picture = painted(image, [shape(rle.encode(line), place=1)], 300)
    assert picture.shape == (225, 300, 3)
    assert (picture == PALETTE[1]).all(axis=-1).any(axis=0).all(), "from edge to edge"
    of_another_size = shape(rle.encode(block(0, 0, 9, 9)))
    assert (painted(image, [of_another_size], 300) == 120).all()


def test_how_labels_are_drawn() -> None:
    classes = {"cat": 0, "dog": 1}
    assert shape_of(Content(Kind.TAG, "cat"), classes) is None
    mask = rle.encode(block(5, 5, 20, 20))
    cat = shape_of(Content(Kind.OBJECT, "cat", mask=mask, box=Box(5, 5, 20, 20)), classes, 0.5)
    assert cat == Shape(mask, (), Box(5, 5, 20, 20), "cat 0.50", PALETTE[0])
    dog = shape_of(Content(Kind.OBJECT, "dog", box=Box(1, 2, 3, 4)), classes)
    corners = (Point(1, 2), Point(4, 2), Point(4, 6), Point(1, 6))
    assert dog == Shape(None, corners, Box(1, 2, 3, 4), "dog", PALETTE[1])
    text = shape_of(Content(Kind.TEXT, "text", "EXIT", points=corners), classes)
    assert text == Shape(None, corners, Box(1, 2, 3, 4), "“EXIT”", TEXT)


@settings(deadline=None, max_examples=25)
@given(st.lists(blocks, min_size=1, max_size=4))
def test_words_are_inside_and_readable(masks: list[Bitmap]) -> None:
    shapes = [shape(rle.encode(mask), "wmwm", place) for place, mask in enumerate(masks)]
    picture = np.asarray(drawn(GREY, shapes, 400))
    assert picture.shape == (300, 400, 3)
    plates = [np.argwhere((picture == one.colour).all(axis=-1)) for one in shapes]
    assert all(len(found) > 200 for found in plates), "a plate of each class"


def test_ink_can_be_read_on_every_colour() -> None:
    for colour in (*PALETTE, TEXT):
        assert abs(np.mean(ink_on(colour)) - np.dot(colour, (0.3, 0.59, 0.11))) > 90


def panel(field: np.ndarray, mask: Bitmap | None) -> np.ndarray:
    said = Said("What speaks for tag “cat”, score 0.90 · a\n.png", "Chefer.", "mask of this object")
    data = side_by_side(GREY, field.astype(np.float32), mask, Box(0, 0, 80, 60), said)
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_a_panel_has_a_title_a_legend_and_a_ring_at_the_peak() -> None:
    field = np.zeros((60, 80))
    field[30, 40] = 1
    with_mask, without = panel(field, block(30, 20, 20, 20)), panel(field, None)
    assert with_mask.shape[1] - without.shape[1] > 290, "one picture more"
    assert (without[:34] < 100).any(), "a title"
    assert (without[-30:] < 100).any(), "a legend"
    flat = panel(np.zeros((60, 80)), None)
    assert (without == 255).all(axis=-1).sum() > (flat == 255).all(axis=-1).sum(), "a white ring"


def test_heat_is_dark_where_nothing_speaks_for_it() -> None:
    hot = heated(GREY, np.ones((60, 80), np.float32))
    cold = heated(GREY, np.zeros((60, 80), np.float32))
    assert hot.mean() > cold.mean() + 60


def test_captions_are_as_wide_as_their_tile() -> None:
    assert _cut("two\nlines") == "two lines"
    cut = _cut("w" * 300)
    assert cut.endswith("w…")
    assert font(13).getlength(cut) <= 280
