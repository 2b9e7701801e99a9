"""The order in which a person reads the lines of an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from pipeline.fuse.lines import Line, runs_leftwards
from pipeline.fuse.vocabulary import DECIMALS
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
        """Half way between top and bottom, in pixels."""
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
    x = np.array([line.direction.x for line in lines])
    y = np.array([line.direction.y for line in lines])
    length = np.array([_length(line) for line in lines])
    alike = np.outer(x, x) + np.outer(y, y) >= _SAME_DIRECTION
    together = np.where(alike, length, 0.0).sum(axis=1).round(DECIMALS)
    best = np.lexsort((y, x, together))[-1]
    weights = np.where(alike[best], length, 0.0)
    along, down = float((x * weights).sum()), float((y * weights).sum())
    total = math.hypot(along, down)
    return Point(along / total, down / total) if total > 0 else lines[best].direction


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
    slack = _TOLERANCE * median(block.height for block in blocks)
    by_row, by_column = sorted(blocks, key=_rows_of), sorted(blocks, key=_columns_of)
    rows = [found for found in _gaps(by_row, _rows_of) if found.width > -slack]
    row = max(rows, key=lambda gap: gap.width, default=None)
    columns = [found for found in _gaps(by_column, _columns_of) if found.width > 0]
    for gap in sorted(columns, key=lambda gap: -gap.width):
        parts = by_column[: gap.at], by_column[gap.at :]
        # One row of lines can be cut only this way.
        if row is None or (gap.width > row.width and _are_columns(gap.width, parts)):
            return parts
    return (by_row[: row.at], by_row[row.at :]) if row else None


def _rows_of(block: _Block) -> tuple[float, float]:
    return block.top, block.bottom


def _columns_of(block: _Block) -> tuple[float, float]:
    return block.left, block.right


class _Gap(NamedTuple):
    """Free space before the block at an index."""

    width: float
    at: int


def _gaps(blocks: list[_Block], extent: Callable[[_Block], tuple[float, float]]) -> list[_Gap]:
    """Every place to cut between blocks that are sorted by where they start."""
    found, reach = [], -math.inf
    for at, block in enumerate(blocks):
        start, end = extent(block)
        found.append(_Gap(start - reach, at))
        reach = max(reach, end)
    return found[1:]


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
