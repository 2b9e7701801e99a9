"""Regions by the patches that they cover: a few passes over an image instead of two crops a region.

An image is looked at in squares, so that a patch is small against a region; the means over patches
are taken by pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline import rle
from pipeline.engines.base import Patches
from pipeline.records import Box, PooledVectors, Region, RgbImage

POOLING_VERSION: Final = 1
"""Bump when any vector could change."""

Square = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels."""


def squares(height: int, width: int, tiles: int) -> list[Square]:
    """Cover an image with squares of one size, evenly spread; they overlap where they must.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        tiles: Squares along the shorter side.
    """
    side = ceil(min(height, width) / tiles)
    tops, lefts = _starts(height, side), _starts(width, side)
    return [(left, top, left + side, top + side) for top in tops for left in lefts]


def cut(image: RgbImage, square: Square) -> RgbImage:
    """Give the pixels of a square."""
    left, top, right, bottom = square
    return np.ascontiguousarray(image[top:bottom, left:right])


def pool(
    regions: Sequence[Region], patches: Sequence[Patches], places: Sequence[Square]
) -> PooledVectors:
    """Average the patches under each region, and all others.

    Args:
        regions: Of the image.
        patches: Of each square.
        places: Where the squares lie in the image.
    """
    cells = np.concatenate([one.vectors.reshape(-1, one.vectors.shape[-1]) for one in patches])
    grids = [_edges(one, place) for one, place in zip(patches, places, strict=True)]
    whole = np.concatenate(
        [np.outer(np.diff(down), np.diff(across)).ravel() for down, across in grids]
    )
    covered = np.stack([_covered(region, grids) for region in regions])
    return PooledVectors(_means(covered, cells), _means(whole - covered, cells))


def _starts(length: int, side: int) -> list[int]:
    n = ceil(length / side)
    places: list[int] = np.linspace(0, length - side, n).round().astype(int).tolist()
    return places


def _edges(patches: Patches, place: Square) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges of the cells down and across, in whole pixels of the image, inside the square."""
    left, top, right, bottom = place
    rows, columns = patches.vectors.shape[:2]
    frame = patches.frame
    # Rounded before they are moved: halves go to even numbers, in every square to the same ones.
    down = np.linspace(frame.y, frame.y + frame.height, rows + 1).round() + top
    across = np.linspace(frame.x, frame.x + frame.width, columns + 1).round() + left
    return (
        np.clip(down, top, bottom).astype(np.int64),
        np.clip(across, left, right).astype(np.int64),
    )


def _covered(
    region: Region, grids: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]
) -> NDArray[np.float64]:
    """Pixels of a region in every cell, from sums over its box."""
    box = region.box
    left, top, width, height = int(box.x), int(box.y), int(box.width), int(box.height)
    sums = np.zeros((height + 1, width + 1), np.int64)
    bitmap = rle.crop_bitmap(region.mask, Box(left, top, width, height))
    sums[1:, 1:] = bitmap.cumsum(0).cumsum(1)
    counts = []
    for down, across in grids:
        corners = sums[np.ix_(np.clip(down - top, 0, height), np.clip(across - left, 0, width))]
        counts.append(np.diff(np.diff(corners, axis=0), axis=1).ravel())
    return np.concatenate(counts).astype(np.float64)


def _means(weights: NDArray[np.float64], cells: NDArray[np.float32]) -> NDArray[np.float32]:
    totals = weights.sum(axis=1, keepdims=True)
    # Row by row, not by BLAS: a region's bits do not depend on how many others there are.
    sums = np.stack([(row[:, None] * cells).sum(axis=0) for row in weights])
    means: NDArray[np.float32] = (sums / np.maximum(totals, 1)).astype(np.float32)
    return means
