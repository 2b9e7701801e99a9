"""Relevance panels, image | relevance | mask, that explain themselves to a stranger.

All pictures are RGB uint8 arrays; sizes are in pixels.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from pipeline.drawing import PALETTE, Rgb, font, png, sized, tinted
from pipeline.records import Bitmap, Box, RgbImage
from pipeline.relevance import Field

_SIDE: Final = 300
_GAP: Final = 8
_EDGE: Final = 10
_PAPER: Final[Rgb] = (255, 255, 255)
_INK: Final[Rgb] = (28, 30, 36)
_FAINT: Final[Rgb] = (96, 102, 114)
_LEAST_WIDTH: Final = 2 * _SIDE + _GAP
_TITLE: Final = 19
_BELOW: Final = 14
_BAR: Final = (64, 9)
_HEAT: Final = np.array(
    [(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], np.float64
)
"""Five stops of the colour map "inferno" of Smith & van der Walt, CC0."""


@dataclass(frozen=True, slots=True)
class Said:
    """What stands on a panel.

    Attributes:
        title: What is explained.
        below: How, and how well: one line.
        mask: Whose mask is shown.
    """

    title: str
    below: str
    mask: str


def heated(image: RgbImage, field: Field) -> RgbImage:
    """Lay relevance over an image: dark where it is 0, glowing where it is 1.

    Args:
        image: (H, W, 3).
        field: (H, W), 0 to 1.
    """
    share = (0.3 + 0.55 * field)[..., None]
    grey = image.mean(axis=-1, keepdims=True)
    out: RgbImage = np.clip(grey * (1 - share) + _colours(field) * share, 0, 255).astype(np.uint8)
    return out


def _colours(field: Field) -> Field:
    stops = np.linspace(0, 1, len(_HEAT))
    return np.stack([np.interp(field, stops, _HEAT[:, at]) for at in range(3)], axis=-1)


def side_by_side(
    image: RgbImage, field: Field, mask: Bitmap | None, view: Box, said: Said
) -> bytes:
    """Draw image | relevance | mask as one PNG with its legend; without a mask, two pictures.

    Args:
        image: (H, W, 3).
        field: (H, W), 0 to 1. A ring marks its highest place, if it has one.
        mask: (H, W), or None if nobody knows where the object is.
        view: What of the image to show.
        said: What stands on it.
    """
    left, top = max(0, int(view.x)), max(0, int(view.y))
    right, bottom = int(view.x + view.width) + 1, int(view.y + view.height) + 1
    here = np.s_[top:bottom, left:right]
    peak = _peak(field[here])
    shown = [("image", _picture(image[here], None))]
    shown.append(("relevance", _picture(heated(image[here], field[here]), peak)))
    if mask is not None:
        shown.append((said.mask, _picture(tinted(image[here], mask[here], PALETTE[2]), peak)))
    return png(_sheet(shown, said))


def _peak(field: Field) -> tuple[float, float] | None:
    """Where a map is highest, as shares of width and height; None if it is flat."""
    if not np.ptp(field):
        return None
    row, column = np.unravel_index(int(field.argmax()), field.shape)
    return (int(column) + 0.5) / field.shape[1], (int(row) + 0.5) / field.shape[0]


def _picture(pixels: RgbImage, peak: tuple[float, float] | None) -> Image.Image:
    picture = Image.fromarray(sized(pixels, _SIDE))
    if peak is not None:
        draw = ImageDraw.Draw(picture)
        x, y = peak[0] * picture.width, peak[1] * picture.height
        for reach, colour, width in ((8, (0, 0, 0), 4), (7, (255, 255, 255), 2)):
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), outline=colour, width=width)
    return picture


def _sheet(shown: list[tuple[str, Image.Image]], said: Said) -> Image.Image:
    """Title, pictures with their names, legend."""
    step = max(picture.width for _, picture in shown) + _GAP
    width = max(step * len(shown) - _GAP, _LEAST_WIDTH)
    lines = [(line, _TITLE, _INK) for line in _wrapped(said.title, _TITLE, width)]
    lines += [(line, _BELOW, _FAINT) for line in _wrapped(said.below, _BELOW, width)]
    top = _EDGE + sum(size + 4 for _, size, _ in lines) + _GAP
    high = max(picture.height for _, picture in shown)
    sheet = Image.new("RGB", (width + 2 * _EDGE, top + high + 48 + _EDGE), _PAPER)
    draw, y = ImageDraw.Draw(sheet), _EDGE
    for line, size, colour in lines:
        draw.text((_EDGE, y), line, fill=colour, font=font(size))
        y += size + 4
    for place, (name, picture) in enumerate(shown):
        x = _EDGE + place * step
        sheet.paste(picture, (x, top))
        draw.text((x, top + high + 6), name, fill=_INK, font=font(14))
    _legend(sheet, _EDGE, top + high + 32)
    return sheet


def _wrapped(text: str, size: int, width: int) -> list[str]:
    text = " ".join(text.split())  # file names may hold line ends
    letter = font(size).getlength(text) / max(len(text), 1)
    return textwrap.wrap(text, max(1, int(width / max(letter, 1.0))))


def _legend(sheet: Image.Image, x: int, y: int) -> None:
    """The colours from little to much, and the ring."""
    draw, letters = ImageDraw.Draw(sheet), font(12)
    draw.text((x, y), "relevance: little", fill=_FAINT, font=letters)
    ramp = np.tile(np.linspace(0, 1, _BAR[0], dtype=np.float32), (_BAR[1], 1))
    sheet.paste(Image.fromarray(_colours(ramp).astype(np.uint8)), (x + 92, y + 4))
    draw.text((x + 164, y), "much", fill=_FAINT, font=letters)
    draw.ellipse((x + 214, y + 3, x + 224, y + 13), outline=_INK, width=2)
    draw.text((x + 230, y), "the most", fill=_FAINT, font=letters)
