"""The fake engines answer about what is really in the image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline import rle
from pipeline.config import FakeEmbedConfig
from pipeline.engines.fake import (
    FakeEmbedder,
    FakeReader,
    FakeSegmenter,
    connected,
    draw_text,
    nearest_colours,
)
from pipeline.records import RgbImage

COLOURS = {"red": (220, 30, 30), "green": (30, 160, 50), "blue": (40, 70, 220)}


def _filled(colour: tuple[int, int, int], size: int = 32) -> RgbImage:
    return np.full((size, size, 3), colour, np.uint8)


@pytest.mark.parametrize("dimensions", [12, 32, 512])
def test_prompts_find_their_colour(dimensions: int) -> None:
    engine = FakeEmbedder(FakeEmbedConfig(engine="fake", dimensions=dimensions))
    images = engine.embed_images([_filled(colour) for colour in COLOURS.values()])
    prompts = engine.embed_texts([f"a photo of a {name} thing" for name in COLOURS])
    cosines = images @ prompts.T
    np.testing.assert_allclose(cosines, np.eye(3), atol=1e-6)


def test_a_prompt_without_colour_is_like_no_colour() -> None:
    engine = FakeEmbedder(FakeEmbedConfig(engine="fake", dimensions=256))
    cosines = engine.embed_texts(["background", "dog"]) @ engine.embed_texts(list(COLOURS)).T
    assert np.abs(cosines).max() < 0.25


def test_a_small_object_shows() -> None:
    engine = FakeEmbedder(FakeEmbedConfig(engine="fake"))
    image = _filled((128, 128, 128))
    image[4:12, 4:12] = COLOURS["red"]
    red, green = (engine.embed_images([image]) @ engine.embed_texts(["red", "green"]).T)[0]
    assert red > 0.2 > green


def test_synonyms_name_the_same_colour() -> None:
    engine = FakeEmbedder(FakeEmbedConfig(engine="fake"))
    gray, grey = engine.embed_texts(["gray", "Grey"])
    np.testing.assert_array_equal(gray, grey)


def _flooded(colours: NDArray[np.int32]) -> NDArray[np.int64]:
    """Label areas one pixel at a time: slow and obvious."""
    labels = np.full(colours.shape, -1, np.int64)
    for start in range(colours.size):
        todo = [divmod(start, colours.shape[1])]
        while todo:
            y, x = todo.pop()
            inside = 0 <= y < colours.shape[0] and 0 <= x < colours.shape[1]
            if not inside or labels[y, x] >= 0 or colours[y, x] != colours.flat[start]:
                continue
            labels[y, x] = start
            todo += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return labels


@given(
    arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2))
)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_areas_are_connected(colours: NDArray[np.int32]) -> None:
    np.testing.assert_array_equal(connected(colours), _flooded(colours))


def test_a_spiral_is_one_area() -> None:
    spiral = np.array(
        [[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]]
    )
    assert len(np.unique(connected(spiral.astype(np.int32)))) == 2


def test_two_red_squares_are_two_regions() -> None:
    image = _filled((255, 255, 255), 40)
    image[4:12, 4:12] = image[20:34, 20:34] = COLOURS["red"]
    areas = {region.area for region in FakeSegmenter().segment([image])[0]}
    assert areas == {64, 196, 1600 - 64 - 196}


def test_noise_gives_a_bounded_number_of_regions() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    regions = FakeSegmenter().segment([noise])[0]
    assert len(regions) == 32
    assert not np.logical_and.reduce([rle.decode(r.mask) for r in regions]).any()


def test_nearest_colour_is_the_nearest() -> None:
    image = np.array([[[250, 250, 250], [10, 5, 0], [30, 150, 60]]], np.uint8)
    assert nearest_colours(image).tolist() == [[1, 0, 4]]


@given(text=st.text(min_size=1, max_size=12), x=st.integers(0, 20), y=st.integers(0, 30))
@settings(deadline=None, derandomize=True, max_examples=100)
def test_drawn_text_is_read_back(text: str, x: int, y: int) -> None:
    image = draw_text(_filled((90, 120, 40), 80), text, x, y, height=5)
    (span,) = FakeReader().read([image])[0]
    assert (span.text, span.score) == (text, 1.0)
    assert (span.quad[0].x, span.quad[0].y) == (x, y)
    assert (span.quad[2].x, span.quad[2].y) == (x + 2 + len(text.encode()), y + 5)


def test_several_texts_come_in_reading_order() -> None:
    image = _filled((0, 0, 0), 60)
    for word, x, y in (("low", 2, 40), ("right", 30, 4), ("left", 2, 4)):
        image = draw_text(image, word, x, y)
    assert [span.text for span in FakeReader().read([image])[0]] == ["left", "right", "low"]


def test_only_whole_marks_are_text() -> None:
    image = draw_text(_filled((0, 0, 0)), "word", 2, 2)
    image[:, 5] = 7
    assert FakeReader().read([image, _filled((255, 0, 254))]) == [(), ()]


@pytest.mark.parametrize(("text", "x"), [("", 0), ("too long", 25), ("word", -1)])
def test_text_that_does_not_fit_is_an_error(text: str, x: int) -> None:
    with pytest.raises(ValueError, match="needs"):
        draw_text(_filled((0, 0, 0)), text, x, 0)
