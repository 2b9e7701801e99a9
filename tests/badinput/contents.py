"""Rows about what is in a file: its format, damage, orientation, frames and size."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from drawn import FORMATS, HEIGHT, WIDTH, chunk, encoded, exif, grey, png, scene, stored, tiff
from PIL import Image

from badinput.case import Case, row, write
from pipeline.pixels import Note
from pipeline.reasons import Reason


@row
def not_images(folder: Path) -> Iterator[Case]:
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("picture.txt", "no")
    other = Reason.NOT_AN_IMAGE
    yield Case(write(folder, "none/empty.jpg", b""), Reason.EMPTY)
    yield Case(write(folder, "none/text.png", b"not a picture\n"), other)
    yield Case(write(folder, "none/404.jpg", b"<!DOCTYPE html><html>404</html>"), other)
    yield Case(write(folder, "none/archive.webp", zipped.getvalue()), other)
    yield Case(write(folder, "none/film.jpg", b"\0\0\0\x18ftypisom\0\0\0\0isommp41"), other)
    yield Case(write(folder, "none/bm.txt", b"BMW and other cars, a list of them"), other)
    yield Case(write(folder, "none/short", b"\xff\xd8"), other)


@row
def unsupported(folder: Path) -> Iterator[Case]:
    heads = {
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "xml.svg": b'\xef\xbb\xbf<?xml version="1.0"?>\n<svg/>',
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "pdf": b"%PDF-1.7\n",
        "jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
        "ppm": b"P6 1 1 255\n\0\0\0",
        "psd": b"8BPS\0\1" + bytes(20),
        "dcm": bytes(128) + b"DICM" + bytes(20),
        "cr2": b"II*\0\x10\0\0\0CR\2\0" + bytes(60),
    }
    for suffix, data in heads.items():
        yield Case(write(folder, f"other/a.{suffix}", data), Reason.UNSUPPORTED_FORMAT)
    dng = tiff(grey().tobytes(), WIDTH, HEIGHT, bits=[8], tags=[(50706, 4, [1])])
    yield Case(write(folder, "other/raw.dng", dng), Reason.UNSUPPORTED_FORMAT)
    thumbnail = tiff(grey().tobytes(), WIDTH, HEIGHT, bits=[8], tags=[(254, 4, [1])])
    yield Case(write(folder, "other/raw.nef", thumbnail), Reason.UNSUPPORTED_FORMAT)


@row
def wrong_extension(folder: Path) -> Iterator[Case]:
    like, notes = scene(), (Note.WRONG_EXTENSION.value,)
    data = encoded(like, "PNG")
    for name in ("png.jpg", "png.txt", "png.jpg~"):
        yield Case(write(folder, f"names/{name}", data), None, notes, like, mime="image/png")
    yield Case(write(folder, "names/png.2024", data), None, (), like, mime="image/png")


@row
def truncated(folder: Path) -> Iterator[Case]:
    for kind, options in FORMATS.items():
        data = encoded(scene(), kind, **options)
        for cut in (len(data) // 2, len(data) - 2):
            name = f"cut/{kind}_{cut}.{kind.lower()}"
            yield Case(write(folder, name, data[:cut]), Reason.TRUNCATED)


@row
def corrupt(folder: Path) -> Iterator[Case]:
    data = bytearray(encoded(scene(), "PNG"))
    data[len(data) // 2] ^= 0x40
    yield Case(write(folder, "corrupt/bit.png", bytes(data)), Reason.CORRUPT)
    jpeg = bytearray(encoded(scene(), "JPEG"))
    jpeg[jpeg.index(b"\xff\xc4") + 5] = 0xFF  # more Huffman codes than can be
    yield Case(write(folder, "corrupt/huffman.jpg", bytes(jpeg)), Reason.CORRUPT)
    bmp = bytearray(encoded(scene(), "BMP"))
    bmp[28] = 7  # bits per pixel
    yield Case(write(folder, "corrupt/bits.bmp", bytes(bmp)), Reason.UNSUPPORTED_BANDS)


@row
def orientations(folder: Path) -> Iterator[Case]:
    upright = scene()
    for turn in range(1, 9):
        pixels = stored(upright, turn)
        for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
            name = f"exif/{turn}.{kind.lower()}"
            data = encoded(pixels, kind, exif=exif(turn), **FORMATS[kind])
            yield Case(write(folder, name, data), None, (), upright, 6.0, orientation=turn)
    ignored = (Note.EXIF_IGNORED.value,)
    for name, block, notes in (
        ("9", exif(9), ignored),
        ("broken", b"Exif\0\0nonsense", ignored),
        ("empty", b"Exif\0\0II*\0\xff\xff\xff\xff", ()),
    ):
        data = encoded(upright, "PNG", exif=block)
        yield Case(write(folder, f"exif/{name}.png", data), None, notes, upright)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>'
    packet = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    rows = [line.tobytes() for line in upright]
    data = png(rows, WIDTH, bits=8, colour=2, extra=packet)
    yield Case(write(folder, "exif/xmp.png", data), None, (), upright)
    data = encoded(upright, "TIFF", tiffinfo={700: xmp})
    yield Case(write(folder, "exif/xmp.tif", data), None, (), upright)


@row
def frames(folder: Path) -> Iterator[Case]:
    first, other = Image.fromarray(scene()), Image.fromarray(255 - scene())
    exact: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True},
        "GIF": {},
        "PNG": {},
        "TIFF": {},
    }
    for kind, options in exact.items():
        more = {"save_all": True, "append_images": [other, first], **options}
        data = encoded(first, kind, **more)
        tolerance = 12.0 if kind == "GIF" else 0.0
        name = write(folder, f"frames/three.{kind.lower()}", data)
        yield Case(name, None, (), scene(), tolerance, n_frames=3)
    mpo = encoded(first, "MPO", save_all=True, append_images=[other], quality=95)
    yield Case(write(folder, "frames/pair.mpo", mpo), None, (), scene(), 6.0, mime="image/jpeg")


@row
def sizes(folder: Path) -> Iterator[Case]:
    for width, height, reason in (
        (1, 1, Reason.TOO_SMALL),
        (4000, 1, Reason.TOO_SMALL),
        (20000, 2, Reason.TOO_SMALL),
        (2000, 16, Reason.TOO_ELONGATED),
        (16, 801, Reason.TOO_ELONGATED),
        (16, 800, None),
    ):
        data = encoded(scene(width, height), "PNG")
        yield Case(write(folder, f"sizes/{width}x{height}.png", data), reason)


@row
def bombs(folder: Path) -> Iterator[Case]:
    # Small files that ask for a lot of room; the limit is checked on the header.
    line = bytes(30_000 * 3)
    files = {
        "png": png([line] * 10, 30_000, bits=8, colour=2).replace(
            chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 10, 8, 2, 0, 0, 0)),
            chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)),
        ),
        "gif": _patched(encoded(scene(), "GIF"), 6, struct.pack("<HH", 65_535, 65_535)),
        "webp": _extended_webp(16_383, 16_383),
        "bmp": _patched(encoded(scene(), "BMP"), 18, struct.pack("<ii", 60_000, 60_000)),
        "tif": tiff(b"\0" * 100, 60_000, 60_000, bits=[8]),
        "jpg": _jpeg_of_size(65_500, 65_500),
    }
    for suffix, data in files.items():
        yield Case(write(folder, f"bombs/pixels.{suffix}", data), Reason.TOO_MANY_PIXELS)
    for name in (b"zTXt", b"iCCP"):
        body = b"x\0\0" + zlib.compress(bytes(16 << 20))
        rows = [r.tobytes() for r in scene()]
        data = png(rows, WIDTH, bits=8, colour=2, extra=chunk(name, body))
        yield Case(write(folder, f"bombs/{name.decode()}.png", data), Reason.CORRUPT)


def _patched(data: bytes, at: int, patch: bytes) -> bytes:
    return data[:at] + patch + data[at + len(patch) :]


def _extended_webp(width: int, height: int) -> bytes:
    inner = encoded(scene(), "WEBP")[12:]
    canvas = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _jpeg_of_size(width: int, height: int) -> bytes:
    data = encoded(scene(), "JPEG")
    return _patched(data, data.index(b"\xff\xc0") + 5, struct.pack(">HH", height, width))
