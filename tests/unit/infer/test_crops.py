"""Crops of regions: two per region, in order, never empty, grey outside the mask."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import rle
from pipeline.infer.crops import GREY, region_crops
from pipeline.records import Bitmap, Point, Region


def region_of(bitmap: Bitmap) -> Region:
    mask = rle.encode(bitmap)
    box = rle.tight_box(mask)
    assert box is not None
    return Region(mask, box, int(bitmap.sum()), 0.9, 0.9, Point(0, 0))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 20), st.integers(1, 20), st.randoms(use_true_random=False))
def test_masked_crops_show_the_mask_and_nothing_else(height: int, width: int, rnd: object) -> None:
    rng = np.random.default_rng(rnd.randint(0, 2**32 - 1))  # type: ignore[attr-defined]
    image = rng.integers(0, 100, (height, width, 3), np.uint8)
    bitmap = rng.random((height, width)) < 0.4
    bitmap[rng.integers(height), rng.integers(width)] = True
    plain, masked = region_crops(image, [region_of(bitmap)])
    assert plain.shape == masked.shape
    assert plain.size > 0
    shown = (masked != np.array(GREY)).any(axis=2)
    assert shown.sum() == bitmap.sum()
    assert np.array_equal(masked[shown], plain[shown])
    assert plain.flags.c_contiguous


def test_plain_crops_come_first_and_have_a_margin() -> None:
    image = np.arange(100 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 100, 3)
    bitmaps = np.zeros((2, 100, 100), bool)
    bitmaps[0, 40:60, 40:80] = True
    bitmaps[1, 0:10, 0:10] = True
    crops = region_crops(image, [region_of(b) for b in bitmaps])
    assert [crop.shape[:2] for crop in crops] == [(24, 44), (11, 11)] * 2
    assert np.array_equal(crops[0], image[38:62, 38:82])
    assert np.array_equal(crops[1], image[0:11, 0:11])


def test_no_regions_no_crops() -> None:
    assert region_crops(np.zeros((4, 4, 3), np.uint8), []) == []
