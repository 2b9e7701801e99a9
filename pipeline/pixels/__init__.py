"""Bytes to upright RGB: the one decoder, so that every model sees the same pixels.

In this order: format by content (``containers``), header checks, pixels (``opening``), then
depth, ICC profile and transparency (``colours``), and last the EXIF orientation. Pure: no file, no
clock. Pillow's globals are set for the time of a call, so a process should decode on one thread;
``pipeline.decoding`` gives each decode a process that can be killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from PIL import Image

from pipeline.errors import ImageRejectedError
from pipeline.pixels.colours import to_array, to_rgb
from pipeline.pixels.containers import Container, Kind, inspect
from pipeline.pixels.notes import Note
from pipeline.pixels.opening import Opened, open_image, pillow_limits, upright_by_exif
from pipeline.reasons import Reason
from pipeline.records import ImageInfo, RgbImage

if TYPE_CHECKING:  # pydantic would double the start-up time of a decoder process
    from pipeline.config import InputConfig

__all__ = ["DECODE_VERSION", "Decoded", "Note", "decode", "has_wrong_extension"]

DECODE_VERSION: Final = 1
"""Raised whenever any decoded pixel could change."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """An image as every model sees it.

    Attributes:
        info: What is known of it.
        pixels: ``info.height`` x ``info.width``, writable.
    """

    info: ImageInfo
    pixels: RgbImage


def decode(data: bytes, *, name: str, settings: InputConfig) -> Decoded:
    """Decode the first frame of an image file.

    Args:
        data: All bytes of the file.
        name: File name or path; only its suffix is looked at, for a note.
        settings: Limits and treatments.

    Raises:
        ImageRejectedError: The image cannot be used as the settings ask.
    """
    container = inspect(data)
    try:
        return _strictly(data, container, name, settings)
    except ImageRejectedError as error:
        if error.reason is not Reason.TRUNCATED or settings.truncated == "quarantine":
            raise
        try:
            return _attempt(data, container, name, settings, tolerant=True)
        except ImageRejectedError as second:
            raise (error if second.reason is Reason.CORRUPT else second) from second


def _strictly(data: bytes, container: Container, name: str, settings: InputConfig) -> Decoded:
    if container.missing:
        raise ImageRejectedError(Reason.TRUNCATED, container.missing)
    return _attempt(data, container, name, settings, tolerant=False)


def _attempt(
    data: bytes, container: Container, name: str, settings: InputConfig, *, tolerant: bool
) -> Decoded:
    notes = {Note.TRUNCATED} if tolerant else set()
    if has_wrong_extension(name, container.kind):
        notes.add(Note.WRONG_EXTENSION)
    try:
        with pillow_limits(settings.max_pixels, tolerant=tolerant):
            return _decode(data, container, settings, notes)
    except ImageRejectedError:
        raise
    except Exception as error:  # parsers of hostile bytes raise anything
        raise _rejection(error, container.kind) from error


def _decode(data: bytes, container: Container, settings: InputConfig, notes: set[Note]) -> Decoded:
    if container.canvas:
        _check_size(*container.canvas, settings)
    opened = open_image(data, container, notes)
    image, mode = opened.image, opened.image.mode
    _check_size(image.width, image.height, settings)
    n_frames = container.n_frames or int(getattr(image, "n_frames", 1))
    if n_frames > 1 and settings.multi_frame == "quarantine":
        raise ImageRejectedError(
            Reason.MULTI_FRAME, f"{n_frames} frames; input.multi_frame is quarantine"
        )
    image.load()
    vars(image).pop("_decoder", None)  # libwebp's keeps two copies of the canvas
    orientation, upright = _upright(opened, settings, notes)
    info = ImageInfo(
        width=upright.width,
        height=upright.height,
        orientation=orientation,
        mime=container.kind.value,
        mode=mode,
        n_frames=n_frames,
        notes=tuple(sorted(note.value for note in notes)),
    )
    return Decoded(info, to_array(upright))


_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings each EXIF orientation upright (Exif 2.32, tag 274)."""


def _upright(opened: Opened, settings: InputConfig, notes: set[Note]) -> tuple[int, Image.Image]:
    rgb = to_rgb(opened.image, opened.depth, settings, notes)
    if opened.orientation is not None:
        return opened.orientation, rgb
    orientation = upright_by_exif(opened.image, notes)
    turn = _TURNS.get(orientation)
    return orientation, rgb if turn is None else rgb.transpose(turn)


def _check_size(width: int, height: int, settings: InputConfig) -> None:
    size = f"{width} x {height} pixels"
    if width * height > settings.max_pixels:
        raise ImageRejectedError(
            Reason.TOO_MANY_PIXELS, f"{size}; input.max_pixels is {settings.max_pixels}"
        )
    if min(width, height) < settings.min_side:
        raise ImageRejectedError(Reason.TOO_SMALL, f"{size}; input.min_side is {settings.min_side}")
    if max(width, height) > settings.max_aspect * min(width, height):
        raise ImageRejectedError(
            Reason.TOO_ELONGATED, f"{size}; input.max_aspect is {settings.max_aspect:g}"
        )


_SUFFIXES: Final = {
    Kind.JPEG: frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"}),
    Kind.PNG: frozenset({".png", ".apng"}),
    Kind.WEBP: frozenset({".webp"}),
    Kind.GIF: frozenset({".gif"}),
    Kind.TIFF: frozenset({".tif", ".tiff", ".btf", ".tf8"}),
    Kind.BMP: frozenset({".bmp", ".dib"}),
    Kind.AVIF: frozenset({".avif", ".avifs"}),
}


def has_wrong_extension(name: str, mime: str) -> bool:
    """Tell whether the name has a suffix that is not one of the media type's own."""
    suffix = PurePosixPath(name).suffix.lower()
    return bool(suffix.strip(".0123456789")) and suffix not in _SUFFIXES[Kind(mime)]


_REASONS: Final = (
    ("out of memory", Reason.DECODE_OUT_OF_MEMORY),
    ("truncat", Reason.TRUNCATED),
    ("not enough image data", Reason.TRUNCATED),
    ("unknown pixel mode", Reason.UNSUPPORTED_BANDS),
    ("samples per pixel", Reason.UNSUPPORTED_BANDS),
    ("-bit layers", Reason.UNSUPPORTED_BANDS),
    ("-layer images", Reason.UNSUPPORTED_BANDS),
    ("pixel depth", Reason.UNSUPPORTED_BANDS),
    ("unsupported bmp", Reason.UNSUPPORTED_FORMAT),
    ("not yet supported", Reason.UNSUPPORTED_FORMAT),
)
"""Words in Pillow's messages that tell more than "corrupt"; the first that fits counts."""


def _rejection(error: Exception, kind: Kind) -> ImageRejectedError:
    message = str(error) or type(error).__name__
    detail = f"{kind.name}: {message}"
    if isinstance(error, MemoryError):
        return ImageRejectedError(
            Reason.DECODE_OUT_OF_MEMORY, f"{detail}; raise input.decode_memory_mb"
        )
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return ImageRejectedError(Reason.TOO_MANY_PIXELS, detail)
    reasons = (reason for words, reason in _REASONS if words in message.lower())
    return ImageRejectedError(next(reasons, Reason.CORRUPT), detail)
