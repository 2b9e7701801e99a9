"""What kind of image some bytes are and whether they are all there, before any is decoded.

Pillow stops reading when it has its pixels: it does not miss the end of a PNG or GIF, nor check
the CRCs of PNG data. These walks do, and they cost a fraction of a decode. The kinds below are the
whole list of what is ever given to a Pillow plugin.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pipeline.errors import ImageRejectedError
from pipeline.pixels import tiff
from pipeline.reasons import Reason


class Kind(StrEnum):
    """A format that is decoded, by its media type."""

    JPEG = "image/jpeg"
    PNG = "image/png"
    WEBP = "image/webp"
    GIF = "image/gif"
    TIFF = "image/tiff"
    BMP = "image/bmp"
    AVIF = "image/avif"


@dataclass(frozen=True, slots=True)
class Container:
    """What can be told from the structure of a file.

    Attributes:
        kind: Its format.
        n_frames: Frames or pages, or 0 where Pillow has to tell.
        canvas: Width and height, or None where Pillow reads them without making room for pixels.
        missing: What a file that ends early lacks, in words; empty for a whole file.
    """

    kind: Kind
    n_frames: int = 0
    canvas: tuple[int, int] | None = None
    missing: str = ""


def inspect(data: bytes) -> Container:
    """Find out what the bytes are.

    Raises:
        ImageRejectedError: They are no image, an image of a kind that is not decoded, or a PNG
            whose checksums do not fit.
    """
    kind = kind_of(data)
    walk = _WALKS.get(kind)
    return walk(data) if walk else Container(kind)


def kind_of(data: bytes) -> Kind:
    """Tell the format by the first bytes, whatever the file is called.

    Raises:
        ImageRejectedError: The bytes are no image, or of a kind that is not decoded.
    """
    if not data:
        raise ImageRejectedError(Reason.EMPTY, "the file has no bytes")
    kind = _known_kind(data)
    if kind is not None:
        return kind
    name = _other_image(data)
    if name is None:
        raise ImageRejectedError(
            Reason.NOT_AN_IMAGE, f"no known image begins with the bytes {data[:12].hex(' ')}"
        )
    kinds = ", ".join(kind.name for kind in Kind)
    raise ImageRejectedError(
        Reason.UNSUPPORTED_FORMAT, f"{name} is not decoded; convert it to one of {kinds}"
    )


_CR2: Final = b"CR"
"""At byte 8 of a TIFF: Canon's raw format, whose pixels are no TIFF reader's."""
_TIFF_MAGICS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_KINDS: Final = {
    b"\xff\xd8\xff": Kind.JPEG,
    b"\x89PNG\r\n\x1a\n": Kind.PNG,
    b"GIF87a": Kind.GIF,
    b"GIF89a": Kind.GIF,
    **dict.fromkeys(_TIFF_MAGICS, Kind.TIFF),
}
_BMP_HEADER_SIZES: Final = {struct.pack("<I", n) for n in (12, 16, 40, 52, 56, 64, 108, 124)}
_OTHER_IMAGES: Final = {
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "EPS",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"II\xbc\x01": "JPEG XR",
    b"\0\0\1\0": "Windows icon",
    b"qoif": "QOI",
    b"DDS ": "DDS",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"SIMPLE  =": "FITS",
    b"<svg": "SVG",
    b"<!DOCTYPE svg": "SVG",
    **{b"P%d%c" % (n, space): "Netpbm" for n in range(1, 8) for space in b" \t\r\n"},
}


def _is_cr2(data: bytes) -> bool:
    return data[8:10] == _CR2 and data.startswith(_TIFF_MAGICS)


def _known_kind(data: bytes) -> Kind | None:
    if _is_cr2(data):
        return None
    for magic, kind in _KINDS.items():
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Kind.WEBP
    if data[:2] == b"BM" and data[14:18] in _BMP_HEADER_SIZES:
        return Kind.BMP
    if _brands(data) & {b"avif", b"avis"}:
        return Kind.AVIF
    return None


def _brands(data: bytes) -> set[bytes]:
    """Give what an ISO media file says it is (ISO 14496-12 section 4.3)."""
    if data[4:8] != b"ftyp":
        return set()
    size = int.from_bytes(data[:4], "big")
    return {data[at : at + 4] for at in (8, *range(16, min(size, 512), 4))}


_HEIF_BRANDS: Final = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def _other_image(data: bytes) -> str | None:
    """Name the image format, if it is one, that is not decoded."""
    brands = _brands(data)
    if brands & _HEIF_BRANDS:
        return "HEIC"
    if b"crx " in brands or _is_cr2(data):
        return "A camera raw file"
    text = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<?xml") and b"<svg" in text:
        return "SVG"
    for magic, name in _OTHER_IMAGES.items():
        if data.startswith(magic) or (magic.startswith(b"<") and text.startswith(magic)):
            return name
    return "DICOM" if data[128:132] == b"DICM" else None


def _png(data: bytes) -> Container:
    """Walk the chunks up to IEND, check each CRC and count the frames that are there.

    An animation's own count can lie. The image of ``IDAT`` is a frame by itself, also where it
    stands before the animation and is no part of it.

    Raises:
        ImageRejectedError: A CRC does not fit.
    """
    at, view, n_frames = 8, memoryview(data), 0
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise ImageRejectedError(
                Reason.CORRUPT, f"PNG chunk {name!r} at byte {at} does not fit its checksum"
            )
        if name == b"IEND":
            return Container(Kind.PNG, n_frames)
        if name == b"fcTL" or (name == b"IDAT" and not n_frames):
            n_frames += 1
        at = end
    return Container(
        Kind.PNG, n_frames, missing=f"the PNG ends inside the chunk at byte {at}, before IEND"
    )


def _webp(data: bytes) -> Container:
    """Read the canvas, for which libwebp makes room as soon as a decoder is made."""
    size = int.from_bytes(data[4:8], "little") + 8
    missing = f"the WebP has {len(data)} of {size} bytes" if len(data) < size else ""
    return Container(Kind.WEBP, canvas=_webp_canvas(data), missing=missing)


_WEBP_HEADER: Final = 30
"""Bytes in which each of the three variants has its size (RFC 9649, section 2)."""


def _webp_canvas(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if len(data) < _WEBP_HEADER:
        return None
    if chunk == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return None


_TRAILER, _EXTENSION, _IMAGE = b";!,"
"""Introducers of GIF blocks (GIF89a, appendix A)."""


def _gif(data: bytes) -> Container:
    """Walk the blocks to the trailer and count the images; Pillow would seek through each."""
    n_frames, at = 0, 13
    if len(data) >= at and data[10] & 0x80:
        at += 3 << (data[10] & 7) + 1
    while at < len(data):
        introducer = data[at]
        if introducer == _TRAILER:
            return Container(Kind.GIF, n_frames=max(n_frames, 1))
        at += 1
        if introducer == _EXTENSION:
            at = _after_sub_blocks(data, at + 1)
        elif introducer == _IMAGE:
            flags = data[at + 8] if at + 8 < len(data) else 0
            at += 9 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            at = _after_sub_blocks(data, at + 1)
            n_frames += 1
    return Container(Kind.GIF, max(n_frames, 1), missing="the GIF ends before its trailer")


def _after_sub_blocks(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += data[at] + 1
    return at + 1


def _tiff(data: bytes) -> Container:
    n_pages, end = 0, 0
    try:
        for page in tiff.pages(data):
            n_pages += page.counts
            end = max(end, page.end)
    except (struct.error, OverflowError):
        missing = "a directory lies beyond the end of the TIFF"
    else:
        missing = f"the TIFF has {len(data)} of at least {end} bytes" if end > len(data) else ""
    return Container(Kind.TIFF, max(n_pages, 1), missing=missing)


def _jpeg(data: bytes) -> Container:
    """See that there is an end at all; libjpeg sees whether it is in its place."""
    missing = "" if data.rfind(b"\xff\xd9") > 0 else "the JPEG has no end-of-image marker"
    return Container(Kind.JPEG, missing=missing)


def _avif(data: bytes) -> Container:
    """Walk the top boxes (ISO 14496-12 section 4.2)."""
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        if size == 0:
            return Container(Kind.AVIF)
        at += max(size, 8)
    missing = "the last box of the AVIF is cut" if at != len(data) else ""
    return Container(Kind.AVIF, missing=missing)


_WALKS: Final[dict[Kind, Callable[[bytes], Container]]] = {
    Kind.JPEG: _jpeg,
    Kind.PNG: _png,
    Kind.WEBP: _webp,
    Kind.GIF: _gif,
    Kind.TIFF: _tiff,
    Kind.AVIF: _avif,
}
