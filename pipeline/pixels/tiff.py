"""The directories of a TIFF: how many pages it has, and where its last byte has to be.

Pillow parses a page in full to get at the next one, and decoders leave strips black that lie
beyond the end of the file. This walk looks at a handful of tags only (TIFF 6.0, section 2; BigTIFF
widens the fields).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BIG_SIZES: Final = {16: 8, 17: 8, 18: 8}
"""Bytes per value of each type."""
_CODES: Final = {3: "H", 4: "I", 16: "Q"}
"""Types that offsets and counts have."""

_NEW_SUBFILE_TYPE: Final = 254
_STRIPS: Final = (273, 279)
_TILES: Final = (324, 325)
"""Tags of offsets and of byte counts."""
_WANTED: Final = {_NEW_SUBFILE_TYPE, *_STRIPS, *_TILES}

_NO_PAGE: Final = 0b101
"""Bits of NewSubfileType: a reduced copy of another page, or a mask for one."""


@dataclass(frozen=True, slots=True)
class Page:
    """One directory.

    Attributes:
        counts: Whether it is a page of its own.
        end: Where the last of its values, strips and tiles ends.
    """

    counts: bool
    end: int


def pages(data: bytes) -> Iterator[Page]:
    """Follow the chain of directories, once around if it is a ring.

    Yields:
        Each in turn.

    Raises:
        struct.error: A directory lies beyond the end.
        OverflowError: The same.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in {b"+\0", b"\0+"}
    word, counter, entry = (
        struct.Struct(order + fields)
        for fields in (("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s"))
    )
    (at,) = word.unpack_from(data, 8 if big else 4)
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        (n_entries,) = counter.unpack_from(data, at)
        first, end = at + counter.size, at + counter.size + n_entries * entry.size
        (at,) = word.unpack_from(data, end)
        yield _page(data, order, end + word.size, entry.iter_unpack(data[first:end]))


def _page(
    data: bytes, order: str, end: int, entries: Iterator[tuple[int, int, int, bytes]]
) -> Page:
    found: dict[int, tuple[int, ...]] = {}
    for tag, kind, count, value in entries:
        size = count * (_SIZES.get(kind) or _BIG_SIZES.get(kind, 0))
        body = value[:size]
        if size > len(value):
            (at,) = struct.unpack(order + "IQ"[len(value) // 8], value)
            end = max(end, at + size)
            body = data[at : at + size] if tag in _WANTED else b""
        if tag in _WANTED and kind in _CODES:
            n = len(body) // _SIZES.get(kind, 8)
            found[tag] = struct.unpack_from(f"{order}{n}{_CODES[kind]}", body)
    for offsets, counts in (_STRIPS, _TILES):
        pieces = zip(found.get(offsets, ()), found.get(counts, ()), strict=False)
        end = max(end, *(at + size for at, size in pieces), 0)
    subfile_type = found.get(_NEW_SUBFILE_TYPE, (0,))
    return Page(counts=not any(bits & _NO_PAGE for bits in subfile_type), end=end)
