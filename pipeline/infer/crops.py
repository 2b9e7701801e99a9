"""Cut regions out of an image for an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Final

import numpy as np

from pipeline import rle
from pipeline.records import Box, Region, RgbImage

CROP_VERSION: Final = 1
"""Bump when any pixel of a crop could change."""

MARGIN: Final = 0.05
"""Surroundings shown on each side, as a share of the box's longer side."""

GREY: Final = (122, 117, 104)
"""Fill outside the mask: the mean colour of CLIP's training images, so that it says nothing."""


def region_crops(image: RgbImage, regions: Sequence[Region]) -> list[RgbImage]:
    """Give two crops per region: all plain ones first, then all with the surroundings greyed.

    Returns:
        2N contiguous RGB arrays, each at least one pixel high and wide.
    """
    boxes = [crop_box(region.box, *image.shape[:2]) for region in regions]
    plain = [np.ascontiguousarray(_cut(image, box)) for box in boxes]
    masked = [
        _grey_outside(crop, region, box)
        for crop, region, box in zip(plain, regions, boxes, strict=True)
    ]
    return plain + masked


def crop_box(box: Box, height: int, width: int) -> tuple[int, int, int, int]:
    """Say where the crop of a region lies: left, top, right, bottom in whole pixels.

    Args:
        box: Of the region.
        height: Rows of the image.
        width: Columns of the image.
    """
    margin = MARGIN * max(box.width, box.height)
    left, top = floor(box.x - margin), floor(box.y - margin)
    right, bottom = ceil(box.x + box.width + margin), ceil(box.y + box.height + margin)
    return max(0, left), max(0, top), min(width, right), min(height, bottom)


def _cut(image: RgbImage, box: tuple[int, int, int, int]) -> RgbImage:
    left, top, right, bottom = box
    return image[top:bottom, left:right]


def _grey_outside(crop: RgbImage, region: Region, box: tuple[int, int, int, int]) -> RgbImage:
    left, top, right, bottom = box
    frame = Box(left, top, right - left, bottom - top)
    inside = rle.crop_bitmap(region.mask, frame)
    return np.where(inside[..., None], crop, np.array(GREY, np.uint8))
