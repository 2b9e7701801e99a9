"""Means over patches, against counting pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import rle
from pipeline.engines.base import Patches
from pipeline.infer.pooling import cut, pool, squares
from pipeline.records import Box, Point, Region

SIDES = st.integers(1, 60)


@given(SIDES, SIDES, st.integers(1, 5))
def test_squares_cover_the_image_and_stay_inside(height: int, width: int, tiles: int) -> None:
    seen = np.zeros((height, width), np.int64)
    places = squares(height, width, tiles)
    for left, top, right, bottom in places:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert right - left == bottom - top
        seen[top:bottom, left:right] += 1
    assert seen.min() >= 1
    assert len(set(places)) == len(places)


def region_of(bitmap: np.ndarray) -> Region:
    mask = rle.encode(bitmap)
    box = rle.tight_box(mask)
    assert box is not None
    return Region(mask, box, int(bitmap.sum()), 1.0, 1.0, Point(0, 0))


@given(
    st.integers(2, 40), st.integers(2, 40), st.integers(1, 3),
    st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_means_are_those_of_pixels(
    height: int, width: int, tiles: int, grid: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    bitmaps = rng.random((3, height, width)) < rng.random((3, 1, 1))
    bitmaps[:, rng.integers(height), rng.integers(width)] = True
    places = squares(height, width, tiles)
    patches = []
    sums, pixels = np.zeros((2, 3, 4)), np.zeros((2, 3))
    for left, top, right, _bottom in places:
        side = right - left
        cells = rng.standard_normal((*grid, 4)).astype(np.float32)
        patches.append(Patches(cells, Box(0, 0, side, side)))
        rows, columns = (np.linspace(0, side, n + 1).round().astype(int) for n in grid)
        for row in range(grid[0]):
            for column in range(grid[1]):
                here = bitmaps[
                    :, top + rows[row] : top + rows[row + 1],
                    left + columns[column] : left + columns[column + 1],
                ]  # fmt: skip
                for one, counts in enumerate((here.sum((1, 2)), (~here).sum((1, 2)))):
                    sums[one] += counts[:, None] * cells[row, column]
                    pixels[one] += counts
    found = pool([region_of(bitmap) for bitmap in bitmaps], patches, places)
    means = sums / np.maximum(pixels, 1)[..., None]
    np.testing.assert_allclose(found.inside, means[0], atol=1e-5)
    np.testing.assert_allclose(found.outside, means[1], atol=1e-5)


def test_cells_beyond_the_image_and_edges_that_are_not_seen_count_for_nothing() -> None:
    bitmap = np.zeros((10, 10), bool)
    bitmap[:, :2] = True
    cells = np.eye(4, dtype=np.float32).reshape(1, 4, 4)
    # The model sees columns -2 to 6: its first cell lies outside, columns 6 to 9 are not seen.
    found = pool([region_of(bitmap)], [Patches(cells, Box(-2, 0, 8, 10))], [(0, 0, 10, 10)])
    np.testing.assert_allclose(found.inside, [[0, 1, 0, 0]])
    np.testing.assert_allclose(found.outside, [[0, 0, 0.5, 0.5]])


def test_a_regions_vectors_do_not_depend_on_other_regions() -> None:
    rng = np.random.default_rng(0)
    bitmaps = rng.random((20, 31, 47)) < 0.3
    places = squares(31, 47, 2)
    patches = [
        Patches(rng.standard_normal((7, 7, 33)).astype(np.float32), Box(0, 0, b - t, b - t))
        for _, t, _, b in places
    ]
    together = pool([region_of(bitmap) for bitmap in bitmaps], patches, places)
    for at in (0, 13):
        alone = pool([region_of(bitmaps[at])], patches, places)
        assert alone.inside[0].tobytes() == together.inside[at].tobytes()
        assert alone.outside[0].tobytes() == together.outside[at].tobytes()


def test_cut_gives_contiguous_pixels() -> None:
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    part = cut(image, (2, 1, 5, 4))
    np.testing.assert_array_equal(part, image[1:4, 2:5])
    assert part.flags.c_contiguous


@pytest.mark.models
def test_patches_of_open_clip_are_those_that_explain_shows() -> None:
    from pathlib import Path

    from pipeline.config import ModelsConfig
    from pipeline.engines.openclip import OpenClipEmbedder
    from pipeline.engines.relevance import ClipRelevance
    from pipeline.relevance import Method
    from pipeline.weights import locate

    files = locate("tiny-synthetic-clip", ModelsConfig(), Path())
    engine = OpenClipEmbedder(files, 3, "cpu", "fp32")
    images = [
        np.random.default_rng(n).integers(0, 256, (40 + n, 64, 3), np.uint8) for n in range(4)
    ]
    texts = engine.embed_texts(["red shape", "sky background"])
    for image, patches in zip(images, engine.embed_patches(images), strict=True):
        maps = ClipRelevance(engine).maps(image, texts, Method.DENSE)
        for text, shown in zip(texts, maps, strict=True):
            np.testing.assert_allclose(patches.vectors @ text, shown.cells, atol=1e-5)
            assert patches.frame == shown.frame
