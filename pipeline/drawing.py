"""Labels drawn into images, for the report, the contact sheet and relevance panels.

All pictures are RGB uint8; places are in pixels of the image that a label is of. A class has one
colour everywhere: that of its place in the vocabulary.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline import rle
from pipeline.labels.values import Content, Kind
from pipeline.records import Bitmap, Box, Mask, Point, RgbImage

Rgb: TypeAlias = tuple[int, int, int]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

PALETTE: Final[tuple[Rgb, ...]] = (
    (0, 114, 178), (230, 159, 0), (0, 158, 115), (204, 121, 167), (86, 180, 233), (213, 94, 0),
    (240, 228, 66), (150, 90, 200),
)  # fmt: skip
"""Colours that colour-blind people tell apart; Okabe & Ito 2008, with violet for their black."""

TEXT: Final[Rgb] = (250, 250, 250)
"""Colour of lines of text, which have no class."""

_FILL: Final = 0.3
_SHADOW: Final = 0.45
_COVERED: Final = 64
_LIGHT: Final = 140


@dataclass(frozen=True, slots=True)
class Shape:
    """A label with a place in the image, ready to be drawn.

    Attributes:
        mask: Its pixels, if it has some.
        corners: Of what is drawn as a line: a quad, or a box without a mask.
        box: Around it all.
        words: What is written beside it.
    """

    mask: Mask | None
    corners: tuple[Point, ...]
    box: Box
    words: str
    colour: Rgb


def class_colour(place: int) -> Rgb:
    """Colour of a class, from its place in the vocabulary."""
    return PALETTE[place % len(PALETTE)]


def shape_of(
    content: Content, classes: Mapping[str, int], score: float | None = None
) -> Shape | None:
    """Say how a label is drawn; None if it has no place in the image, as tags have none.

    Args:
        content: What the label says.
        classes: Name → place in the vocabulary.
        score: Written beside objects, if given.
    """
    box = content.box or _around(content.points)
    if box is None or content.kind is Kind.TAG:
        return None
    if content.kind is Kind.TEXT:
        return Shape(None, content.points or _corners(box), box, f"“{content.text or ''}”", TEXT)
    words = content.label if score is None else f"{content.label} {score:.2f}"
    corners = () if content.mask is not None else _corners(box)
    return Shape(content.mask, corners, box, words, class_colour(classes.get(content.label, 0)))


def _around(points: Sequence[Point]) -> Box | None:
    if not points:
        return None
    xs, ys = [point.x for point in points], [point.y for point in points]
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def _corners(box: Box) -> tuple[Point, ...]:
    right, bottom = box.x + box.width, box.y + box.height
    return Point(box.x, box.y), Point(right, box.y), Point(right, bottom), Point(box.x, bottom)


def painted(image: RgbImage, shapes: Iterable[Shape], side: int) -> RgbImage:
    """Draw the masks of labels into an image, small ones on top.

    Args:
        image: (H, W, 3).
        shapes: Those without a mask of the image's size are left out.
        side: Longer side of what comes out; a smaller image keeps its size.
    """
    picture = fitted(image, side)
    fitting = [
        (shape.mask, shape.colour)
        for shape in shapes
        if shape.mask is not None and (shape.mask.height, shape.mask.width) == image.shape[:2]
    ]
    for mask, colour in sorted(fitting, key=lambda pair: -rle.area(pair[0])):
        picture = tinted(picture, _covering(rle.decode(mask), picture), colour)
    return picture


def _covering(mask: Bitmap, picture: RgbImage) -> Bitmap:
    """A mask in the size of a picture; a quarter of a pixel is enough to be seen."""
    if mask.shape == picture.shape[:2]:
        return mask
    size = picture.shape[1], picture.shape[0]
    grey = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)
    return np.asarray(grey) >= _COVERED


def tinted(image: RgbImage, mask: Bitmap, colour: Rgb) -> RgbImage:
    """Tint a mask's pixels and draw its outline, with a shadow around that parts it from anything.

    Args:
        image: (H, W, 3).
        mask: (H, W).
        colour: Of both.
    """
    width = max(1, round(max(mask.shape) / 250))
    out = image.copy()
    out[mask] = ((1 - _FILL) * out[mask] + _FILL * np.array(colour)).astype(np.uint8)
    shadow = ~_shrunk(~mask, width) & ~mask
    out[shadow] = (_SHADOW * out[shadow]).astype(np.uint8)
    out[mask & ~_shrunk(mask, width)] = colour
    return out


def _shrunk(mask: Bitmap, times: int) -> Bitmap:
    """Take border pixels away; the edge of the image is no border."""
    for _ in range(times):
        padded = np.pad(mask, 1, mode="edge")
        mask = (
            padded[1:-1, 1:-1] & padded[:-2, 1:-1] & padded[2:, 1:-1]
            & padded[1:-1, :-2] & padded[1:-1, 2:]
        )  # fmt: skip
    return mask


def drawn(image: RgbImage, shapes: Sequence[Shape], side: int) -> Image.Image:
    """Draw labels into an image: masks, then lines, then words, so that words can be read.

    Args:
        image: (H, W, 3).
        shapes: What to draw.
        side: Longer side of what comes out; a smaller image is enlarged.
    """
    scale = side / max(image.shape[:2])
    picture = Image.fromarray(sized(painted(image, shapes, side), side))
    draw = ImageDraw.Draw(picture)
    for shape in shapes:
        corners = [(point.x * scale, point.y * scale) for point in shape.corners]
        for colour, width in (((20, 20, 20), 3), (shape.colour, 1)) if corners else ():
            draw.line([*corners, corners[0]], fill=colour, width=width)
    taken: list[tuple[float, float, float, float]] = []
    for shape in sorted(shapes, key=lambda one: (one.box.y, one.box.x)):
        taken.append(_label(draw, shape, scale, taken))
    return picture


def _label(
    draw: ImageDraw.ImageDraw, shape: Shape, scale: float, taken: Sequence[tuple[float, ...]]
) -> tuple[float, float, float, float]:
    """Write words on a plate above a shape, or further down where other words are."""
    letters = font(12)
    x0, y0, x1, y1 = draw.textbbox((0, 0), shape.words, font=letters)
    width, height = x1 - x0 + 4, y1 - y0 + 4
    left = min(max(shape.box.x * scale, 0), max(draw.im.size[0] - width, 0))
    top = max(shape.box.y * scale - height, 0)
    while any(
        left < b[2] and left + width > b[0] and top < b[3] and top + height > b[1] for b in taken
    ):
        top += height + 1
    top = min(top, max(draw.im.size[1] - height, 0))
    plate = (left, top, left + width, top + height)
    draw.rectangle(plate, fill=shape.colour)
    draw.text((left + 2 - x0, top + 2 - y0), shape.words, fill=ink_on(shape.colour), font=letters)
    return plate


def ink_on(colour: Rgb) -> Rgb:
    """Black or white, whichever can be read on a colour."""
    red, green, blue = colour
    return (0, 0, 0) if 0.3 * red + 0.59 * green + 0.11 * blue > _LIGHT else (255, 255, 255)


def font(size: int) -> Font:
    """The letters of all pictures, which come with Pillow."""
    return ImageFont.load_default(size)


def fitted(picture: RgbImage, side: int) -> RgbImage:
    """Make a picture smaller until its longer side is at most ``side``."""
    return sized(picture, side) if max(picture.shape[:2]) > side else picture


def sized(picture: RgbImage, side: int) -> RgbImage:
    """Give a picture's longer side a length."""
    scale = side / max(picture.shape[:2])
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def png(picture: NDArray[np.uint8] | Image.Image) -> bytes:
    """Pack a picture without loss."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def thumbnail(picture: RgbImage, side: int) -> bytes:
    """Pack a picture small: WebP, its longer side at most ``side``."""
    buffer = io.BytesIO()
    Image.fromarray(fitted(picture, side)).save(buffer, "WEBP", quality=82, method=4)
    return buffer.getvalue()
