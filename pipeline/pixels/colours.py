"""From any pixel mode of Pillow to RGB of 8 bits: depth, profile, transparency, in this order.

Nothing saturates silently: pixels outside the range that the file declares reject the image,
unless the run file asks for percentiles.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms

from pipeline.errors import ImageRejectedError
from pipeline.pixels.notes import Note
from pipeline.reasons import Reason
from pipeline.records import RgbImage

if TYPE_CHECKING:  # pydantic would double the start-up time of a decoder process
    from pipeline.config import InputConfig

_BLOCK_PIXELS: Final = 1 << 22
"""Pixels converted at a time, so that temporary copies of a large image stay small."""


@dataclass(frozen=True, slots=True)
class Depth:
    """What the file declares about pixels of more than 8 bits.

    Attributes:
        white: Value of full brightness; 1.0 for float pixels.
        unsigned: Whether 32-bit integers have no sign, which Pillow cannot express.
        inverted: Whether 0 is white.
    """

    white: float
    unsigned: bool = False
    inverted: bool = False


def to_rgb(
    image: Image.Image, depth: Depth | None, settings: InputConfig, notes: set[Note]
) -> Image.Image:
    """Convert a loaded image to mode RGB.

    Args:
        image: Any mode that the allowed formats can give.
        depth: Declared range of high-depth modes; None means the type's own range.
        settings: Background and treatment of high depths.
        notes: What was done is added here.

    Raises:
        ImageRejectedError: Pixels lie outside the declared range.
    """
    profile = image.info.get("icc_profile")
    alpha = None
    if _is_high_depth(image.mode):
        image, alpha = _to_eight_bits(image, depth or _own_range(image.mode), settings, notes)
    elif image.has_transparency_data or image.mode in {"RGBa", "La"}:
        image, alpha = _split_alpha(image)
    rgb = _to_srgb(image, profile, notes)
    return rgb if alpha is None else _over_background(rgb, alpha, settings, notes)


def to_array(rgb: Image.Image) -> RgbImage:
    """Copy the pixels of an RGB image, block by block."""
    out = np.empty((rgb.height, rgb.width, 3), np.uint8)
    for top, part in _blocks(rgb):
        out[top : top + part.height] = np.frombuffer(part.tobytes(), np.uint8).reshape(
            part.height, part.width, 3
        )
    return out


def _blocks(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    rows = max(1, _BLOCK_PIXELS // image.width)
    if rows >= image.height:
        yield 0, image
        return
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _is_high_depth(mode: str) -> bool:
    return mode in {"I", "F"} or mode.startswith("I;16")


def _own_range(mode: str) -> Depth:
    whites = {"F": 1.0, "I": 2.0**31 - 1}
    return Depth(white=whites.get(mode, 65535.0))


def _to_eight_bits(
    image: Image.Image, depth: Depth, settings: InputConfig, notes: set[Note]
) -> tuple[Image.Image, Image.Image | None]:
    by_depth = settings.high_depth == "bit_depth"
    low, high = (0.0, depth.white) if by_depth else _percentiles(image, depth)
    out = np.empty((image.height, image.width), np.uint8)
    for top, part in _blocks(image):
        values = _values(part, depth)
        if by_depth:
            _check_range(values, depth)
        out[top : top + part.height] = _scaled(values, low, high)
    if not by_depth:
        notes.add(Note.PERCENTILE_SCALED)
    if out.max() < _NARROW:
        notes.add(Note.NARROW_RANGE)
    if depth.inverted:
        np.subtract(255, out, out=out)
    return Image.fromarray(out), _key_mask(image)


_NARROW: Final = 32
"""An eighth of 256 levels."""


def _values(part: Image.Image, depth: Depth) -> NDArray[np.float64]:
    values = np.asarray(part)
    if depth.unsigned and values.dtype == np.int32:
        values = values.view(np.uint32)
    return values.astype(np.float64)


def _scaled(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.uint8]:
    scaled = (values - low) * (255.0 / max(high - low, np.finfo(np.float64).tiny))
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0)
    return np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)


def _check_range(values: NDArray[np.float64], depth: Depth) -> None:
    """Make sure that nothing saturates; half a step of the 8-bit result is mere rounding.

    Raises:
        ImageRejectedError: Something would.
    """
    slack = depth.white / 510.0
    low, high = float(values.min()), float(values.max())
    if low < -slack or high > depth.white + slack or not np.isfinite(low + high):
        raise ImageRejectedError(
            Reason.UNSUPPORTED_BANDS,
            f"pixels from {low:g} to {high:g}, but the file's type declares 0 to {depth.white:g}; "
            "set input.high_depth to percentile to stretch such images",
        )


def _percentiles(image: Image.Image, depth: Depth) -> tuple[float, float]:
    step = max(1, image.width * image.height // _BLOCK_PIXELS)
    sample = np.concatenate([_values(part, depth).ravel()[::step] for _, part in _blocks(image)])
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        raise ImageRejectedError(Reason.UNSUPPORTED_BANDS, "no pixel has a finite value")
    low, high = (float(v) for v in np.percentile(sample, (1, 99)))
    return (low, high) if high > low else (float(sample.min()), float(sample.max()))


def _key_mask(image: Image.Image) -> Image.Image | None:
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return None
    return Image.fromarray(np.where(np.asarray(image) == key, 0, 255).astype(np.uint8))


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    if image.mode in {"1", "L", "La"}:
        image = image.convert("LA")
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    return rgba.convert("RGB"), rgba.getchannel("A")


def _over_background(
    rgb: Image.Image, alpha: Image.Image, settings: InputConfig, notes: set[Note]
) -> Image.Image:
    """Paint the background through; in place, as a second copy may not fit."""
    faintest, strongest = alpha.getextrema()
    if faintest == 255:  # noqa: PLR2004
        return rgb
    notes.add(Note.COMPOSITED)
    if strongest == 0:
        notes.add(Note.FULLY_TRANSPARENT)
    rgb.paste(tuple(settings.background), mask=ImageChops.invert(alpha))
    return rgb


def _to_srgb(image: Image.Image, profile: bytes | None, notes: set[Note]) -> Image.Image:
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _lab_to_srgb())  # type: ignore[return-value]
    if profile:
        try:
            return _through_profile(image, profile, notes)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            notes.add(Note.ICC_IGNORED)
    return image if image.mode == "RGB" else image.convert("RGB")


def _through_profile(image: Image.Image, profile: bytes, notes: set[Note]) -> Image.Image:
    mode, transform = _transform(profile)
    if (image.mode == "CMYK") != (mode == "CMYK") or (mode == "L" and image.mode not in {"L", "1"}):
        raise ValueError(f"a profile for {mode} pixels in an image of mode {image.mode}")
    source = image if image.mode == mode else image.convert(mode)
    if transform is None:
        return source
    notes.add(Note.ICC_APPLIED)
    if mode != "RGB":
        return ImageCms.applyTransform(source, transform)  # type: ignore[return-value]
    ImageCms.applyTransform(source, transform, inPlace=True)
    return source


@lru_cache(maxsize=16)
def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    """Build the way to sRGB.

    Returns:
        The mode that the profile is for, and the transform, or None if the profile is sRGB: most
        are, and a transform would cost as much as a decode to move pixels by less than one step.

    Raises:
        ValueError: The profile is for pixels that no allowed format has.
    """
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(source.profile.xcolor_space.strip())
    if mode is None:
        raise ValueError(f"a profile for {source.profile.xcolor_space} pixels")
    transform = ImageCms.buildTransform(
        source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.PERCEPTUAL
    )
    return mode, None if _changes_nothing(transform, mode) else transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    if mode == "CMYK":
        return False
    steps = np.arange(0, 256, 15 if mode == "RGB" else 1, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    probe = Image.fromarray(grid if mode == "RGB" else steps[None])
    after = ImageCms.applyTransform(probe, transform)
    difference = ImageChops.difference(probe.convert("RGB"), after)  # type: ignore[arg-type]
    return max(high for _, high in difference.getextrema()) <= 1  # type: ignore[misc]


@lru_cache(maxsize=1)
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
