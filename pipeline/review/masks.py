"""Masks between the frame of the image and FiftyOne's: a bitmap inside a relative box.

The App's brush gives masks back in another size and as uint8, and moves the box by about a
thousandth (measured: 72 x 118 bool came back as 128 x 209, box +0.001). So a mask is resized to
its box's pixels when it is read, and a label whose bitmap is the one that was published, in a box
that hardly moved, counts as untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline import rle
from pipeline.labels.values import Content
from pipeline.records import Bitmap, Box, Mask, Point

DRIFT: Final = 0.002
"""Share of the image's side by which a coordinate may move without having been edited."""


def crop(mask: Mask) -> tuple[Box, Bitmap]:
    """Give a mask as its tight box and the (h, w) pixels inside it.

    Raises:
        ValueError: The mask is empty or damaged.
    """
    box = rle.tight_box(mask)
    if box is None:
        raise ValueError("the mask is empty")
    return box, rle.crop_bitmap(mask, box)


def relative(box: Box, width: int, height: int) -> list[float]:
    """Give a box as FiftyOne writes it: left, top, width, height in [0, 1]."""
    return [box.x / width, box.y / height, box.width / width, box.height / height]


def place(
    bounding_box: Sequence[float], pixels: NDArray[Any] | None, width: int, height: int
) -> tuple[Mask | None, Box]:
    """Put what FiftyOne stores back into the image.

    Args:
        bounding_box: Left, top, width, height in [0, 1]; parts outside are cut off.
        pixels: (h, w) of any size and type, covered where above 0; None for a mere box.
        width: Columns of the image.
        height: Rows of the image.

    Returns:
        The mask, None if there is none or it is empty, and the box, tight around the mask.
    """
    x, y, w, h = (float(value) for value in bounding_box)
    box = Box(x * width, y * height, w * width, h * height)
    if pixels is None or pixels.ndim < 2 or not pixels.size:  # noqa: PLR2004
        return None, box
    left, top = round(x * width), round(y * height)
    right = max(round((x + w) * width), left + 1)
    bottom = max(round((y + h) * height), top + 1)
    bitmap = _resized(covered(pixels), bottom - top, right - left)
    canvas = np.zeros((height, width), np.bool_)
    x0, x1 = max(left, 0), min(right, width)
    y0, y1 = max(top, 0), min(bottom, height)
    if x0 < x1 and y0 < y1:
        canvas[y0:y1, x0:x1] = bitmap[y0 - top : y1 - top, x0 - left : x1 - left]
    mask = rle.encode(canvas)
    tight = rle.tight_box(mask)
    return (None, box) if tight is None else (mask, tight)


def covered(pixels: NDArray[Any]) -> Bitmap:
    """Where a stored mask covers: above 0, in any channel if there are channels."""
    flat = pixels.max(axis=-1) if pixels.ndim > 2 else pixels  # noqa: PLR2004
    bitmap: Bitmap = flat > 0
    return bitmap


def _resized(bitmap: Bitmap, height: int, width: int) -> Bitmap:
    """Nearest neighbour by pixel centres: enlarging and shrinking back changes nothing."""
    if bitmap.shape == (height, width):
        return bitmap
    rows = ((np.arange(height) + 0.5) * bitmap.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * bitmap.shape[1] / width).astype(np.intp)
    return bitmap[np.ix_(rows, columns)]


def untouched_box(
    known: Content,
    bounding_box: Sequence[float],
    pixels: NDArray[Any] | None,
    width: int,
    height: int,
) -> bool:
    """Tell whether a stored object is the known one, but for the drift of editors.

    Args:
        known: The object as it was published.
        bounding_box: As for ``place``.
        pixels: As for ``place``.
        width: Columns of the image.
        height: Rows of the image.
    """
    if known.box is None or (known.mask is None) != (pixels is None):
        return False
    before = relative(known.box, width, height)
    if any(abs(a - b) > DRIFT for a, b in zip(before, bounding_box, strict=True)):
        return False
    if known.mask is None or pixels is None:
        return True
    bitmap = crop(known.mask)[1]
    return bool((_resized(covered(pixels), *bitmap.shape) == bitmap).all())


def untouched_points(
    known: Content, points: Sequence[Sequence[float]], width: int, height: int
) -> bool:
    """Tell whether stored corners, in [0, 1], are the known ones but for drift."""
    return len(known.points) == len(points) and all(
        abs(p.x / width - x) <= DRIFT and abs(p.y / height - y) <= DRIFT
        for p, (x, y) in zip(known.points, points, strict=True)
    )


def to_points(points: Sequence[Sequence[float]], width: int, height: int) -> tuple[Point, ...]:
    """Put relative corners into the image, to a hundredth of a pixel."""
    return tuple(Point(round(x * width, 2), round(y * height, 2)) for x, y in points)
