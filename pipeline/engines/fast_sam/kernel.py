"""The one compiled loop: a mask's logits to its pixel counts, its box and, if asked, its pixels.

Plain loops over float32 for numba, which may not reassociate or fuse them: the numbers are those
that torch computes. Axes are as ``interpolation.axis`` gives them.
"""

# ruff: noqa: ANN001, ANN202, ANN201
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

from __future__ import annotations

import numba
import numpy as np

_compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

_SAFETY = np.float32(1e-3)
"""Far above the rounding of four weighted sums, far below what it costs to look at more pixels."""


@_compiled
def _edges(row, floor):
    """First and last place that is not below ``floor`` (NaN is not); (size, -1) if all are."""
    first, last = row.size, -1
    for x in range(row.size):
        if not row[x] < floor:
            first = x
            break
    for x in range(row.size - 1, first - 1, -1):
        if not row[x] < floor:
            last = x
            break
    return first, last


@_compiled
def _window(logits, floor):
    """First and last row, first and last column of what is not below ``floor``."""
    rows, columns = logits.shape
    top, bottom, left, right = rows, -1, columns, -1
    for y in range(rows):
        first, last = _edges(logits[y], floor)
        if last >= 0:
            top, bottom = min(top, y), y
            left, right = min(left, first), max(right, last)
    return top, bottom, left, right


@_compiled
def _touched(axis, size, first, last):
    """First and last of ``size`` output places with an input in ``first`` to ``last``."""
    low, high = axis[0], axis[1]
    start, end = 0, size - 1
    while start < size and high[start] < first:
        start += 1
    while end >= 0 and low[end] > last:
        end -= 1
    return start, end


@_compiled
def _widen(logits, axis, top, bottom, left, right):
    """Scale rows ``top`` to ``bottom`` to columns ``left`` to ``right``."""
    low, high, lower, upper = axis
    out = np.empty((bottom - top + 1, right - left + 1), np.float32)
    for y in range(out.shape[0]):
        row = logits[top + y]
        for x in range(out.shape[1]):
            at = left + x
            out[y, x] = lower[at] * row[low[at]] + upper[at] * row[high[at]]
    return out


@_compiled
def _between(rows, top, axis, y, out):
    """Row ``y`` of an axis, between two of the rows that begin at ``top``."""
    above, below = rows[axis[0][y] - top], rows[axis[1][y] - top]
    lower, upper = axis[2][y], axis[3][y]
    for x in range(out.size):
        out[x] = lower * above[x] + upper * below[x]


@_compiled
def _squeeze(row, begin, axis, left, out):
    """Columns of the image from a row of the model's frame that begins at ``begin``."""
    low, high, lower, upper = axis
    for x in range(out.size):
        at = left + x
        out[x] = lower[at] * row[low[at] - begin] + upper[at] * row[high[at] - begin]


@_compiled
def _count(line, y, left, levels, figures):
    threshold, above, below = levels[0], levels[1], levels[2]
    inside, certain, possible = 0, 0, 0
    for x in range(line.size):
        certain += line[x] > above
        possible += line[x] > below
        inside += line[x] > threshold
    figures[0] += certain
    figures[1] += possible
    if not inside:
        return
    first, last = 0, line.size - 1
    while not line[first] > threshold:
        first += 1
    while not line[last] > threshold:
        last -= 1
    if figures[5] < 0:
        figures[3] = y
    figures[2], figures[4] = min(figures[2], left + first), max(figures[4], left + last)
    figures[5] = y


@_compiled
def scan(logits, to_model, to_image, levels, figures, bitmap):
    """Scale a mask to its image, row by row.

    Args:
        logits: (S, S) float32.
        to_model: Axes down and across from logits to the part of the model's frame in use.
        to_image: Axes down and across from there to the image.
        levels: Threshold, threshold + offset, threshold - offset; float32.
        figures: Out: pixels above the second and the third level, x0, y0, x1, y1; 6 int64.
        bitmap: Out: (H, W) bool of zeros, or of no size if pixels are not asked for.
    """
    size, height, width = to_model[1][0].size, to_image[0][0].size, to_image[1][0].size
    figures[:] = np.array([0, 0, width, 0, -1, -1])
    floor = levels[2] - _SAFETY * max(np.float32(1), abs(levels[2]))
    top, bottom, left, right = _window(logits, floor)
    if bottom >= 0:
        top, bottom = _touched(to_model[0], to_model[0][0].size, top, bottom)
        left, right = _touched(to_model[1], size, left, right)
        top, bottom = _touched(to_image[0], height, top, bottom)
        left, right = _touched(to_image[1], width, left, right)
        if top <= bottom and left <= right:
            _scan(logits, to_model, to_image, (top, bottom, left, right), levels, figures, bitmap)
    if figures[5] < 0:
        figures[2:] = 0


@_compiled
def _scan(logits, to_model, to_image, window, levels, figures, bitmap):
    top, bottom, left, right = window
    down, across = to_image
    begin, end = across[0][left], across[1][right]
    first = to_model[0][0][down[0][top]]
    rows = _widen(logits, to_model[1], first, to_model[0][1][down[1][bottom]], begin, end)
    same = to_model[0][0].size == down[0].size and to_model[1][0].size == across[0].size
    raw = np.empty(rows.shape[1], np.float32)
    pair = np.empty((2, right - left + 1), np.float32)
    held = np.full(2, -1)
    line = np.empty(right - left + 1, np.float32)
    for y in range(top, bottom + 1):
        if same:
            _between(rows, first, to_model[0], y, line)
        else:
            for source in (down[0][y], down[1][y]):
                if held[source & 1] != source:
                    _between(rows, first, to_model[0], source, raw)
                    _squeeze(raw, begin, across, left, pair[source & 1])
                    held[source & 1] = source
            above, below = pair[down[0][y] & 1], pair[down[1][y] & 1]
            lower, upper = down[2][y], down[3][y]
            for x in range(line.size):
                line[x] = lower * above[x] + upper * below[x]
        _count(line, y, left, levels, figures)
        if bitmap.size:
            for x in range(line.size):
                bitmap[y, left + x] = line[x] > levels[0]
