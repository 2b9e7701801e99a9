"""Pictures for people: relevance laid over an image, masks drawn into it. Pure but for PNG bytes.

All pictures are RGB uint8 arrays; sizes are in pixels.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.records import Bitmap, Box, RgbImage
from pipeline.relevance import Field

Rgb: TypeAlias = tuple[int, int, int]

PALETTE: Final[tuple[Rgb, ...]] = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0),
    (240, 228, 66), (150, 90, 200),
)  # fmt: skip
"""Colours that colour-blind people tell apart; Okabe & Ito 2008, with violet for their black."""

_SIDE: Final = 300
_GAP: Final = 6
_HEAT: Final = np.array(
    [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64
)
"""Five stops of the colour map "inferno" of Smith & van der Walt, CC0."""


def class_colour(place: int) -> Rgb:
    """Colour of a class, from its place in the vocabulary."""
    return PALETTE[place % len(PALETTE)]


def heated(image: RgbImage, field: Field) -> RgbImage:
    """Lay relevance over an image: dark where it is 0, glowing where it is 1.

    Args:
        image: (H, W, 3).
        field: (H, W), 0 to 1.
    """
    stops = np.linspace(0, 1, len(_HEAT))
    colours = np.stack([np.interp(field, stops, _HEAT[:, at]) for at in range(3)], axis=-1)
    share = (0.3 + 0.55 * field)[..., None]
    grey = image.mean(axis=-1, keepdims=True)
    out: RgbImage = np.clip(grey * (1 - share) + colours * share, 0, 255).astype(np.uint8)
    return out


def masked(image: RgbImage, mask: Bitmap, colour: Rgb) -> RgbImage:
    """Tint a mask's pixels and draw its outline.

    Args:
        image: (H, W, 3).
        mask: (H, W).
        colour: Of both.
    """
    out = image.copy()
    out[mask] = (0.75 * out[mask] + 0.25 * np.array(colour)).astype(np.uint8)
    out[_edge(mask, max(1, round(max(mask.shape) / 200)))] = colour
    return out


def _edge(mask: Bitmap, width: int) -> Bitmap:
    inner = mask
    for _ in range(width):
        padded = np.pad(inner, 1, mode="edge")
        inner = (
            padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1]
            & padded[1:-1, :-2] & padded[1:-1, 2:]
        )  # fmt: skip
    return mask & ~inner


def side_by_side(image: RgbImage, field: Field, mask: Bitmap | None, view: Box) -> bytes:
    """Draw image | map | mask as one PNG; without a mask, image | map.

    Args:
        image: (H, W, 3).
        field: (H, W), 0 to 1.
        mask: (H, W), or None if nobody knows where the object is.
        view: What of the image to show.
    """
    left, top = max(0, int(view.x)), max(0, int(view.y))
    right, bottom = int(view.x + view.width) + 1, int(view.y + view.height) + 1
    here = np.s_[top:bottom, left:right]
    shown = [image[here], heated(image[here], field[here])]
    if mask is not None:
        shown.append(masked(image[here], mask[here], PALETTE[2]))
    return png(_joined([_sized(picture, _SIDE) for picture in shown]))


def _sized(picture: RgbImage, side: int) -> RgbImage:
    scale = side / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _joined(pictures: Iterable[RgbImage]) -> NDArray[np.uint8]:
    """RGBA with gaps that are transparent: the page behind may be light or dark."""
    parts: list[NDArray[np.uint8]] = []
    for picture in pictures:
        opaque = np.full((*picture.shape[:2], 1), 255, np.uint8)
        gap = np.zeros((picture.shape[0], _GAP, 4), np.uint8)
        parts += [np.concatenate([picture, opaque], axis=-1), gap]
    return np.concatenate(parts[:-1], axis=1)


def png(picture: NDArray[np.uint8]) -> bytes:
    """Pack a picture without loss."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def thumbnail(picture: RgbImage, side: int) -> bytes:
    """Pack a picture small: WebP, its longer side at most ``side``."""
    if max(picture.shape[:2]) > side:
        picture = _sized(picture, side)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "WEBP", quality=82, method=4)
    return buffer.getvalue()
