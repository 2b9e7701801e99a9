"""Bytes to a loaded Pillow image, through an allow-list of plugins and with strict limits.

Plugins are called by name, never through ``Image.open``, which would try every one it has. What
Pillow gets wrong for a format is put right here, where the format is still known.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from pipeline.errors import ImageRejectedError
from pipeline.pixels.colours import Depth
from pipeline.pixels.containers import Container, Kind
from pipeline.pixels.notes import Note
from pipeline.reasons import Reason

_PLUGINS: Final[dict[Kind, type[ImageFile.ImageFile]]] = {
    Kind.JPEG: JpegImagePlugin.JpegImageFile,
    Kind.PNG: PngImagePlugin.PngImageFile,
    Kind.WEBP: WebPImagePlugin.WebPImageFile,
    Kind.GIF: GifImagePlugin.GifImageFile,
    Kind.TIFF: TiffImagePlugin.TiffImageFile,
    Kind.BMP: BmpImagePlugin.BmpImageFile,
    Kind.AVIF: AvifImagePlugin.AvifImageFile,
}

_ORIENTATION: Final = 0x0112


@dataclass(slots=True)
class Opened:
    """An image whose header has been read.

    Attributes:
        image: Not loaded yet; its size is the upright one for TIFF, the stored one otherwise.
        depth: Declared range of pixels with more than 8 bits, where the file says it.
        orientation: EXIF orientation if Pillow applies it on its own, as it does for TIFF only.
    """

    image: ImageFile.ImageFile
    depth: Depth | None = None
    orientation: int | None = None


@contextmanager
def pillow_limits(max_pixels: int, *, tolerant: bool) -> Iterator[None]:
    """Set Pillow's globals for one decode; bombs are errors, other warnings are about metadata."""
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    threads = AvifImagePlugin.DEFAULT_MAX_THREADS
    Image.MAX_IMAGE_PIXELS = max_pixels
    ImageFile.LOAD_TRUNCATED_IMAGES = tolerant
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before
        AvifImagePlugin.DEFAULT_MAX_THREADS = threads


def open_image(data: bytes, container: Container, notes: set[Note]) -> Opened:
    """Read the header; no room is made for pixels.

    Raises:
        ImageRejectedError: The format is known, but not this variety of it.
        MemoryError: There is no room.
        OSError: Pillow cannot read the header.
    """
    if container.kind is Kind.TIFF:
        return _open_tiff(data, notes)
    if container.kind is Kind.AVIF and not AvifImagePlugin.SUPPORTED:
        raise ImageRejectedError(
            Reason.UNSUPPORTED_FORMAT, "this Pillow was built without AVIF; install Pillow >= 11.3"
        )
    try:
        image = _PLUGINS[container.kind](io.BytesIO(data))
    except OSError:
        if container.canvas:  # libwebp tells want of room for its two canvases and faults alike
            width, height = container.canvas
            bytearray(2 * 4 * width * height)
        raise
    if isinstance(image, PngImagePlugin.PngImageFile):
        _put_transparency_right(image, bits=data[24])
    return Opened(image)


def _put_transparency_right(image: Image.Image, bits: int) -> None:
    """Bring the tRNS colour to the 8 bits of the pixels, where Pillow leaves it in the file's."""
    key = image.info.get("transparency")
    if image.mode == "L" and isinstance(key, int):
        image.info["transparency"] = (key & (1 << bits) - 1) * 255 // ((1 << bits) - 1)
    elif image.mode == "RGB" and isinstance(key, tuple):
        image.info["transparency"] = tuple(v >> 8 if bits == 16 else v & 255 for v in key)  # noqa: PLR2004


def _open_tiff(data: bytes, notes: set[Note]) -> Opened:
    """Read the directory of the first page.

    Raises:
        ImageRejectedError: The directory is broken, or tells of what is not decoded.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    for warning in caught:
        # A directory that cannot be read as it stands may lack the tags that give pixels their
        # meaning; a tag with too many values is common and harmless.
        if "too many entries" not in str(warning.message):
            raise ImageRejectedError(Reason.CORRUPT, f"TIFF directory: {warning.message}")
    tags = image.tag_v2
    _check_variety(tags)
    _check_bands(tags, notes)
    image.info.pop("xmp", None)  # Pillow would take an orientation from it; viewers do not
    orientation = tags.get(_ORIENTATION, 1)
    if orientation not in range(1, 9):
        notes.add(Note.EXIF_IGNORED)
        orientation = 1
    return Opened(image, _declared_depth(image.mode, tags), orientation)


def _check_variety(tags: TiffImagePlugin.ImageFileDirectory_v2) -> None:
    """Refuse camera raw files: what a TIFF reader finds in them is a thumbnail.

    Raises:
        ImageRejectedError: It is one.
    """
    dng_version, new_subfile_type = 50706, 254
    if dng_version in tags or tags.get(new_subfile_type, 0) & 1:
        raise ImageRejectedError(
            Reason.UNSUPPORTED_FORMAT, "a camera raw file; develop it to TIFF or JPEG"
        )


def _check_bands(tags: TiffImagePlugin.ImageFileDirectory_v2, notes: set[Note]) -> None:
    """Allow one band beside the colours.

    Raises:
        ImageRejectedError: There are more; which of them to show is not ours to guess.
    """
    photometric = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0)
    samples = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    meanings = tags.get(TiffImagePlugin.EXTRASAMPLES, ())
    colours = {2: 3, 5: 4, 6: 3, 8: 3}.get(photometric, 1)
    if samples - colours > 1:
        raise ImageRejectedError(
            Reason.UNSUPPORTED_BANDS,
            f"{samples} bands, of which {colours} are colour; export those alone",
        )
    if samples > colours and meanings and meanings[0] == 0:
        notes.add(Note.EXTRA_BAND_IGNORED)


def _declared_depth(mode: str, tags: TiffImagePlugin.ImageFileDirectory_v2) -> Depth | None:
    """Read the range of the pixels.

    MaxSampleValue is left alone: it is a statistic, "not to be used to affect the visual
    appearance" (TIFF 6.0, section 8), and writers differ.

    Raises:
        ImageRejectedError: The pixels are of a type that Pillow misreads.
    """
    bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    sample_format = max(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)))
    unsigned, signed, is_float = (sample_format == n for n in (1, 2, 3))
    if bits <= 8 and signed:  # noqa: PLR2004
        raise ImageRejectedError(Reason.UNSUPPORTED_BANDS, "signed 8-bit pixels")
    if mode not in {"I", "F"} and not mode.startswith("I;16"):
        return None
    white = 1.0 if is_float else 2.0 ** (bits - signed) - 1
    inverted = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0) == 0
    return Depth(white=white, unsigned=unsigned, inverted=inverted)


def upright_by_exif(image: Image.Image, notes: set[Note]) -> int:
    """Give the orientation 1-8 from EXIF, 1 where there is none or it makes no sense.

    Only EXIF counts, as in browsers: an orientation in XMP or in a text chunk turns nothing there,
    and labels must lie where the viewer shows them.
    """
    block = image.info.get("exif")
    if not block:
        return 1
    exif = Image.Exif()
    try:
        exif.load(block)
        orientation = exif.get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  a parser of hostile bytes; it must not cost the image
        orientation = None
    if orientation in range(1, 9):
        return int(orientation)
    notes.add(Note.EXIF_IGNORED)
    return 1
