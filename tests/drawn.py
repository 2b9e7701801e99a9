"""Image files written byte by byte or with Pillow: what the fixtures of bad input are made of."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pipeline.records import RgbImage

WIDTH, HEIGHT = 64, 40

FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "GIF": {},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "AVIF": {"quality": 90, "speed": 9},
}
"""Every format that is decoded, as close to the original as it can be made."""


def scene(width: int = WIDTH, height: int = HEIGHT) -> RgbImage:
    """A smooth picture that no turn, mirroring or exchange of channels leaves as it is."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = x / max(width - 1, 1), y / max(height - 1, 1)
    red, green, blue = 40 + 200 * x, 30 + 180 * y * x, 220 - 160 * y
    pixels = np.stack([red, green, blue], -1)
    pixels[(x < 0.3) & (y < 0.4)] = (200, 20, 30)
    return np.asarray(np.rint(pixels), np.uint8)


def grey(width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """A brightness ramp with a bright corner."""
    return np.asarray(scene(width, height)[:, :, 0])


def encoded(pixels: NDArray[Any] | Image.Image, kind: str, **options: Any) -> bytes:
    """Encode with Pillow."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int) -> bytes:
    """An EXIF block that has nothing but an orientation."""
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def stored(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The pixels that a camera would store so that the orientation brings them upright."""
    transposed = upright.swapaxes(0, 1)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: transposed,
        6: transposed[::-1],
        7: transposed[::-1, ::-1],
        8: transposed[:, ::-1],
    }
    return np.ascontiguousarray(turned[orientation])


def chunk(name: bytes, body: bytes) -> bytes:
    """A PNG chunk with its CRC."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(rows: Sequence[bytes], width: int, *, bits: int, colour: int, extra: bytes = b"") -> bytes:
    """A PNG with any depth and colour type, unfiltered."""
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def tiff(
    strip: bytes,
    width: int,
    height: int,
    *,
    bits: Sequence[int],
    photometric: int = 1,
    sample_format: int = 1,
    order: str = "<",
    tags: Sequence[tuple[int, int, Sequence[int]]] = (),
) -> bytes:
    """An uncompressed TIFF of one strip; further tags are (tag, type 3 or 4, values)."""
    entries: list[tuple[int, int, Sequence[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, bits),
        (259, 3, [1]),
        (262, 3, [photometric]),
        (273, 4, [8]),
        (277, 3, [len(bits)]),
        (278, 4, [height]),
        (279, 4, [len(strip)]),
        (339, 3, [sample_format] * len(bits)),
        *tags,
    ]
    at = 8 + len(strip)
    outside, directory = b"", b""
    values_at = at + 2 + 12 * len(entries) + 4
    for tag, kind, values in sorted(entries):
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            place = struct.pack(f"{order}I", values_at + len(outside))
            outside += packed
        else:
            place = packed.ljust(4, b"\0")
        directory += struct.pack(f"{order}HHI", tag, kind, len(values)) + place
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    count = struct.pack(f"{order}H", len(entries))
    return mark + struct.pack(f"{order}I", at) + strip + count + directory + b"\0" * 4 + outside


def swapped_profile() -> bytes:
    """An ICC profile whose red is sRGB's green and the other way round."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    table_end = 132 + 12 * int.from_bytes(profile[128:132], "big")
    table = profile[:table_end].replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ")
    return table.replace(b"????", b"gXYZ") + profile[table_end:]


def srgb_profile() -> bytes:
    """The plain one."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def linear_grey_profile() -> bytes:
    """An ICC profile of grey whose values are proportional to light (ICC.1:2001-04)."""
    white = struct.pack(">3I", 0xF6D6, 0x10000, 0xD32D)
    bodies = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 7) + b"linear\0" + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + white,
        b"kTRC": b"curv\0\0\0\0" + struct.pack(">I", 0),
        b"cprt": b"text\0\0\0\0none\0",
    }
    at, table, data = 128 + 4 + 12 * len(bodies), b"", b""
    for name, body in bodies.items():
        padded = body + bytes(-len(body) % 4)
        table += name + struct.pack(">II", at + len(data), len(body))
        data += padded
    size = at + len(data)
    header = struct.pack(">I4sI", size, b"none", 0x02100000) + b"mntrGRAYXYZ "
    header += bytes(12) + b"acsp" + bytes(28) + white
    return header.ljust(128, b"\0") + struct.pack(">I", len(bodies)) + table + data
