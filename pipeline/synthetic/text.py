"""Word plates, in fonts that every installation of this project already carries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
    Rgb = tuple[int, int, int]

_FACES: Final = tuple(
    f"DejaVu{family}.ttf"
    for family in (
        "Sans",
        "Sans-Bold",
        "Sans-Oblique",
        "Sans-BoldOblique",
        "SansMono",
        "SansMono-Bold",
        "SansMono-Oblique",
        "SansMono-BoldOblique",
        "Serif",
        "Serif-Bold",
        "Serif-Italic",
        "Serif-BoldItalic",
    )
)
FACE_COUNT: Final = len(_FACES) + 1
"""Number of faces: twelve DejaVu ones, then Pillow's own."""
PLATES: Final[tuple[tuple[Rgb, Rgb], ...]] = (
    ((250, 250, 245), (20, 20, 20)),
    ((25, 30, 40), (250, 250, 240)),
    ((245, 225, 80), (20, 20, 20)),
    ((160, 20, 30), (255, 255, 255)),
)
"""Plate and ink colours, RGB."""


@cache
def _font_folder() -> Path:
    # matplotlib.get_data_path() says the same, but importing matplotlib takes 0.3 s.
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "No DejaVu fonts: matplotlib, which carries them, is not installed. "
            "Install it with `pip install matplotlib`."
        )
    return Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"


@cache
def load_face(face: int, size: int) -> Font:
    """Load one of the installed typefaces.

    Args:
        face: Index in ``range(FACE_COUNT)``; the last one is Pillow's built-in font.
        size: Font size in pixels.

    Returns:
        The font, ready to draw with.

    Raises:
        FileNotFoundError: matplotlib, whose wheel carries the DejaVu fonts, is missing.

    Source: matplotlib ``mpl-data/fonts/ttf`` (DejaVu 2.37); Pillow ``ImageFont.load_default``.
    """
    if face == len(_FACES):
        return ImageFont.load_default(size)
    return ImageFont.truetype(str(_font_folder() / _FACES[face]), size)


@dataclass(frozen=True)
class Plate:
    """A word drawn on a plate, not yet placed in a scene.

    Attributes:
        text: The word.
        image: uint8 (H, W, 3), RGB.
        box: Tight ink box (x0, y0, x1, y1) in pixels of ``image``, half open.
    """

    text: str
    image: NDArray[np.uint8]
    box: tuple[int, int, int, int]


def _ink(text: str, font: Font, pad: int) -> NDArray[np.uint8]:
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    cover = Image.new("L", (right - left + 2 * pad, bottom - top + 2 * pad), 0)
    ImageDraw.Draw(cover).text((pad - left, pad - top), text, fill=255, font=font)
    return np.asarray(cover)


def tight_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Find the smallest box around the set pixels.

    Args:
        mask: bool (H, W) with at least one pixel set.

    Returns:
        The box (x0, y0, x1, y1) in pixels, half open.

    Raises:
        ValueError: No pixel of ``mask`` is set.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        raise ValueError("The mask is empty, so it has no box. Pass a mask with a set pixel.")
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def draw_plate(text: str, rng: np.random.Generator, size: int) -> Plate:
    """Draw a word on a plate in a random face and colour scheme.

    Args:
        text: The word to draw.
        rng: Source of the face, the font size and the colours.
        size: Short side of the scene in pixels; the font is 1/14 to 1/7 of it.

    Returns:
        The plate with its tight ink box.
    """
    font_size = int(rng.integers(size // 14, size // 7))
    font = load_face(int(rng.integers(FACE_COUNT)), font_size)
    cover = _ink(text, font, max(3, font_size // 4))
    plate, ink = (np.array(c, np.float32) for c in PLATES[rng.integers(len(PLATES))])
    alpha = cover[..., None].astype(np.float32) / 255
    image = (plate * (1 - alpha) + ink * alpha).round().astype(np.uint8)
    return Plate(text, image, tight_box(cover > 127))  # noqa: PLR2004 - half covered
