"""Rows about pixels: colour models, profiles, depths, bands and transparency."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from drawn import (
    HEIGHT,
    WIDTH,
    chunk,
    encoded,
    grey,
    png,
    scene,
    srgb_profile,
    swapped_profile,
    tiff,
)
from numpy.typing import NDArray
from PIL import Image

from badinput.case import Case, row, write
from pipeline.pixels import Note
from pipeline.reasons import Reason


def three(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey as three equal channels."""
    return np.repeat(values[:, :, None], 3, axis=2)


@row
def cmyk(folder: Path) -> Iterator[Case]:
    like = scene()
    image = Image.fromarray(like).convert("CMYK")
    jpeg = encoded(image, "JPEG", quality=95, subsampling=0)
    yield Case(write(folder, "cmyk/adobe.jpg", jpeg), None, (), like, 2.0)
    yield Case(write(folder, "cmyk/plain.tif", encoded(image, "TIFF")), None, (), like)
    odd = encoded(image, "TIFF", icc_profile=srgb_profile())
    notes = (Note.ICC_IGNORED.value,)
    yield Case(write(folder, "cmyk/rgb_profile.tif", odd), None, notes, like)


@row
def profiles(folder: Path) -> Iterator[Case]:
    like = scene()
    swapped = np.ascontiguousarray(like[:, :, [1, 0, 2]])
    exact: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WEBP": {"lossless": True},
    }
    for kind in ("PNG", "TIFF", "JPEG", "WEBP"):
        options = exact.get(kind, {})
        end, tolerance = kind.lower(), 2.0
        applied = encoded(swapped, kind, icc_profile=swapped_profile(), **options)
        name = write(folder, f"icc/swapped.{end}", applied)
        yield Case(name, None, (Note.ICC_APPLIED.value,), like, tolerance)
        broken = encoded(like, kind, icc_profile=b"no profile at all", **options)
        name = write(folder, f"icc/broken.{end}", broken)
        yield Case(name, None, (Note.ICC_IGNORED.value,), like, tolerance)
        plain = encoded(like, kind, icc_profile=srgb_profile(), **options)
        yield Case(write(folder, f"icc/srgb.{end}", plain), None, (), like, tolerance)


@row
def high_depth(folder: Path) -> Iterator[Case]:
    levels = grey()
    like = three(levels)
    wide = levels.astype(np.uint16) * 257
    size = (WIDTH, HEIGHT)
    little, big = wide.astype("<u2").tobytes(), wide.astype(">u2").tobytes()
    unit = (levels / np.float32(255)).astype(np.float32)
    files: dict[str, bytes] = {
        "grey16.png": encoded(wide, "PNG"),
        "grey16.tif": tiff(little, *size, bits=[16]),
        "grey16_be.tif": tiff(big, *size, bits=[16], order=">"),
        "grey16_lzw.tif": encoded(wide, "TIFF", compression="tiff_lzw"),
        "white_is_0.tif": tiff((65535 - wide).tobytes(), *size, bits=[16], photometric=0),
        "uint32.tif": tiff((wide.astype("<u4") * 65537).tobytes(), *size, bits=[32]),
        "int16.tif": tiff((wide // 2).astype("<i2").tobytes(), *size, bits=[16], sample_format=2),
        "unit.tif": encoded(unit, "TIFF"),
        "rgb16.png": png(
            [r.tobytes() for r in (like.astype(">u2") * 257)], WIDTH, bits=16, colour=2
        ),
        "packed12.tif": tiff(_packed12(levels.astype(np.uint32) * 4095 // 255), *size, bits=[12]),
    }
    for name, data in files.items():
        yield Case(write(folder, f"depth/{name}", data), None, (), like, 0.5)
    dark = tiff((wide >> 4).tobytes(), *size, bits=[16])
    notes = (Note.NARROW_RANGE.value,)
    yield Case(write(folder, "depth/12_in_16.tif", dark), None, notes, like // 16, 1.0)
    outside = {
        "bytes_as_float.tif": encoded(levels.astype(np.float32), "TIFF"),
        "nan.tif": encoded(np.where(unit > 0.5, np.float32(np.nan), unit), "TIFF"),
        "negative.tif": tiff(
            (wide.astype(np.int32) - 40_000).clip(-32768).astype("<i2").tobytes(),
            *size,
            bits=[16],
            sample_format=2,
        ),
        "int8.tif": tiff(levels.tobytes(), *size, bits=[8], sample_format=2),
    }
    for name, data in outside.items():
        yield Case(write(folder, f"depth/{name}", data), Reason.UNSUPPORTED_BANDS)


def _packed12(values: NDArray[np.uint32]) -> bytes:
    first, second = values[:, ::2], values[:, 1::2]
    return (
        np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1)
        .astype(np.uint8)
        .tobytes()
    )


@row
def bands(folder: Path) -> Iterator[Case]:
    like = scene()
    size = (WIDTH, HEIGHT)
    for n in (5, 6, 12):
        pixels = np.resize(like, (HEIGHT, WIDTH, n))
        extra = [(338, 3, [0] * (n - 3))]
        data = tiff(pixels.tobytes(), *size, bits=[8] * n, photometric=2, tags=extra)
        yield Case(write(folder, f"bands/{n}.tif", data), Reason.UNSUPPORTED_BANDS)
    satellite = np.resize(like, (4, HEIGHT, WIDTH)).astype("<u2")
    data = tiff(satellite.tobytes(), *size, bits=[16] * 4, tags=[(284, 3, [2])])
    yield Case(write(folder, "bands/satellite.tif", data), Reason.UNSUPPORTED_BANDS)
    infrared = np.dstack([like, grey()])
    data = tiff(infrared.tobytes(), *size, bits=[8] * 4, photometric=2, tags=[(338, 3, [0])])
    notes = (Note.EXTRA_BAND_IGNORED.value,)
    yield Case(write(folder, "bands/infrared.tif", data), None, notes, like)


@row
def grey_and_bilevel(folder: Path) -> Iterator[Case]:
    levels = grey()
    dots = Image.fromarray(levels).convert("1")
    black_white = three(np.where(np.asarray(dots), 255, 0).astype(np.uint8))
    for kind in ("PNG", "TIFF", "BMP", "GIF"):
        data = encoded(levels, kind)
        yield Case(write(folder, f"grey/l.{kind.lower()}", data), None, (), three(levels))
        data = encoded(dots, kind)
        yield Case(write(folder, f"grey/1.{kind.lower()}", data), None, (), black_white)
    fax = encoded(dots, "TIFF", compression="group4")
    yield Case(write(folder, "grey/fax.tif", fax), None, (), black_white)
    jpeg = encoded(levels, "JPEG", quality=95)
    yield Case(write(folder, "grey/l.jpg", jpeg), None, (), three(levels), 2.0)


def over_white(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite by the textbook."""
    share = alpha[:, :, None] / 255.0
    return np.asarray(np.rint(colours * share + 255 * (1 - share)), np.uint8)


@row
def transparency(folder: Path) -> Iterator[Case]:
    like, levels = scene(), grey()
    alpha = np.ascontiguousarray(levels[:, ::-1])
    composited = (Note.COMPOSITED.value,)
    rgba = Image.fromarray(np.dstack([like, alpha]))
    for kind, options in {"PNG": {}, "TIFF": {}, "WEBP": {"lossless": True, "exact": True}}.items():
        name = write(folder, f"alpha/rgba.{kind.lower()}", encoded(rgba, kind, **options))
        yield Case(name, None, composited, over_white(like, alpha), 0.5)
    la = Image.fromarray(np.dstack([levels, alpha]), "LA")
    name = write(folder, "alpha/la.png", encoded(la, "PNG"))
    yield Case(name, None, composited, over_white(three(levels), alpha), 0.5)
    opaque = Image.fromarray(np.dstack([like, np.full_like(alpha, 255)]))
    yield Case(write(folder, "alpha/opaque.png", encoded(opaque, "PNG")), None, (), like)
    hidden = Image.fromarray(np.dstack([like, np.zeros_like(alpha)]))
    name = write(folder, "alpha/hidden.png", encoded(hidden, "PNG"))
    notes = (Note.COMPOSITED.value, Note.FULLY_TRANSPARENT.value)
    yield Case(name, None, notes, np.full_like(like, 255))


@row
def transparency_keys(folder: Path) -> Iterator[Case]:
    composited = (Note.COMPOSITED.value,)
    indices = np.tile(np.arange(4, dtype=np.uint8), (HEIGHT, WIDTH // 4))
    colours = np.array([[250, 10, 20], [10, 240, 30], [0, 20, 230], [90, 90, 90]], np.uint8)
    palette = Image.fromarray(indices, "P")
    palette.putpalette(colours.tobytes())
    yield Case(write(folder, "key/p.png", encoded(palette, "PNG")), None, (), colours[indices])
    shown = colours[indices]
    keyed = np.where(indices[:, :, None] == 2, np.uint8(255), shown)
    for kind in ("PNG", "GIF"):
        name = write(folder, f"key/p_one.{kind.lower()}", encoded(palette, kind, transparency=2))
        yield Case(name, None, composited, keyed)
    strengths = np.array([255, 128, 0, 64], np.uint8)
    data = encoded(palette, "PNG", transparency=strengths.tobytes())
    like = over_white(shown, strengths[indices])
    yield Case(write(folder, "key/p_each.png", data), None, composited, like, 0.5)
    for bits in (1, 2, 4, 8, 16):
        top = (1 << bits) - 1
        values = np.tile(np.arange(16) * top // 15, (HEIGHT, WIDTH // 16))
        key = int(values[0, 5])
        like = np.where(values == key, 255, np.rint(values * 255.0 / top)).astype(np.uint8)
        rows = [_packed(line, bits) for line in values]
        data = png(rows, WIDTH, bits=bits, colour=0, extra=chunk(b"tRNS", struct.pack(">H", key)))
        name = write(folder, f"key/grey{bits}.png", data)
        yield Case(name, None, composited, three(like), 0.5)
    for bits in (8, 16):
        wide = scene().astype(f">u{bits // 8}") * (257 if bits == 16 else 1)
        mark = chunk(b"tRNS", wide[5, 5].astype(">u2").tobytes())
        data = png([line.tobytes() for line in wide], WIDTH, bits=bits, colour=2, extra=mark)
        like = scene()
        like[(like == like[5, 5]).all(-1)] = 255
        yield Case(write(folder, f"key/rgb{bits}.png", data), None, composited, like)


def _packed(values: NDArray[Any], bits: int) -> bytes:
    if bits >= 8:
        return values.astype(f">u{bits // 8}").tobytes()
    digits = "".join(format(int(value), f"0{bits}b") for value in values)
    return int(digits, 2).to_bytes(len(digits) // 8, "big")
