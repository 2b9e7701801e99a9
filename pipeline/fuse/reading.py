"""The order in which a person reads the lines of an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, TypeAlias

from pipeline.fuse.lines import Line, runs_leftwards
from pipeline.records import Point

_SAME_DIRECTION: Final = math.cos(math.radians(15))
_TOLERANCE: Final = 0.25
"""Share of a text height by which two lines may overlap and still be one below the other."""
_LEVEL: Final = 0.5
"""Share of the lower line by which two lines overlap that stand in one row."""
_ROWS: Final = 0.5
"""Share of the lines that must have a neighbour in their row for the rows to be a table."""


@dataclass(frozen=True, slots=True)
class _Block:
    """A line's extent in the frame of the page; x runs in the reading direction."""

    at: int
    left: float
    right: float
    top: float
    bottom: float
    height: float

    @property
    def middle(self) -> float:
        return (self.top + self.bottom) / 2


_Cut: TypeAlias = tuple[list[_Block], list[_Block]]


def reading_order(lines: Sequence[Line]) -> list[int]:
    """Put lines in reading order.

    The page is turned so that most of its text is level, and mirrored if that runs from right to
    left. It is then cut along its widest gap, again and again: a gap between rows puts the upper
    part first, a gap between columns the left part. Columns are not cut apart where their lines
    stand in rows and the gap is wider than they are, as on a menu: that is a table, and tables
    are read row by row.

    Args:
        lines: N lines, in any order.

    Returns:
        Their N indices; the first one is read first.

    Source: recursive XY cut, Nagy & Seth 1984; the widest gap first, as in Ha et al. 1995.
    """
    if not lines:
        return []
    return _ordered(_level(lines))


def _level(lines: Sequence[Line]) -> list[_Block]:
    direction = _main_direction(lines)
    mirror = -1.0 if runs_leftwards("".join(line.text for line in lines)) else 1.0
    return [_block(at, line, direction, mirror) for at, line in enumerate(lines)]


def _main_direction(lines: Sequence[Line]) -> Point:
    """Direction of most of the text, by length; of equal ones the most level."""

    def together(line: Line) -> float:
        here = line.direction
        return round(math.fsum(_length(o) for o in lines if _cosine(o.direction, here)), 6)

    best = max(lines, key=lambda line: (together(line), line.direction.x, line.direction.y))
    alike = [line for line in lines if _cosine(line.direction, best.direction)]
    x = math.fsum(line.direction.x * _length(line) for line in alike)
    y = math.fsum(line.direction.y * _length(line) for line in alike)
    total = math.hypot(x, y)
    return Point(x / total, y / total) if total > 0 else best.direction


def _cosine(a: Point, b: Point) -> bool:
    return a.x * b.x + a.y * b.y >= _SAME_DIRECTION


def _length(line: Line) -> float:
    along = [p.x * line.direction.x + p.y * line.direction.y for p in line.quad]
    return max(along) - min(along)


def _block(at: int, line: Line, direction: Point, mirror: float) -> _Block:
    across = [p.x * direction.x + p.y * direction.y for p in line.quad]
    down = [p.y * direction.x - p.x * direction.y for p in line.quad]
    left, right = sorted((mirror * min(across), mirror * max(across)))
    return _Block(at, left, right, min(down), max(down), line.height)


def _ordered(blocks: list[_Block]) -> list[int]:
    order, waiting = [], [blocks]
    while waiting:
        part = waiting.pop()
        cut = _cut(part) if len(part) > 1 else None
        if cut is None:
            order += [b.at for b in sorted(part, key=lambda b: (b.middle, b.left, b.right))]
        else:
            waiting += [cut[1], cut[0]]
    return order


def _cut(blocks: list[_Block]) -> _Cut | None:
    """Cut at the widest gap; of equal ones between rows."""
    slack = _TOLERANCE * median(b.height for b in blocks)
    columns = [found for found in _gaps(blocks, _columns_of) if found[0] > 0]
    rows = [found for found in _gaps(blocks, _rows_of) if found[0] > -slack]
    row = max(rows, key=lambda found: found[0], default=None)
    for gap, parts in sorted(columns, key=lambda found: -found[0]):
        # One row of lines can be cut only this way.
        if row is None or (gap > row[0] and _are_columns(gap, parts)):
            return parts
    return row[1] if row else None


def _rows_of(block: _Block) -> tuple[float, float]:
    return block.top, block.bottom


def _columns_of(block: _Block) -> tuple[float, float]:
    return block.left, block.right


def _gaps(
    blocks: list[_Block], extent: Callable[[_Block], tuple[float, float]]
) -> list[tuple[float, _Cut]]:
    """Every place to cut between blocks in order, with the free space there."""
    blocks, found, reach = sorted(blocks, key=extent), [], -math.inf
    for at, block in enumerate(blocks):
        start, end = extent(block)
        if at:
            found.append((start - reach, (blocks[:at], blocks[at:])))
        reach = max(reach, end)
    return found


def _are_columns(gap: float, parts: _Cut) -> bool:
    first, second = parts
    if not _side_by_side(first, second):
        return False
    narrow = min(median(b.right - b.left for b in part) for part in parts)
    return gap <= narrow or not _in_rows(first, second)


def _side_by_side(first: list[_Block], second: list[_Block]) -> bool:
    top = max(min(b.top for b in part) for part in (first, second))
    bottom = min(max(b.bottom for b in part) for part in (first, second))
    return bottom > top


def _in_rows(first: list[_Block], second: list[_Block]) -> bool:
    few, many = sorted((first, second), key=len)
    paired = sum(any(_same_row(a, b) for b in many) for a in few)
    return paired >= _ROWS * len(few)


def _same_row(a: _Block, b: _Block) -> bool:
    shared = min(a.bottom, b.bottom) - max(a.top, b.top)
    return shared >= _LEVEL * min(a.bottom - a.top, b.bottom - b.top)
