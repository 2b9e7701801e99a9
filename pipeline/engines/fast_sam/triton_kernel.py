"""The twin of ``kernel`` for a CUDA device: pixel counts and boxes, no mask at the image's size.

A program scales a band of rows of one mask, tile by tile, and keeps six numbers. The same products
and sums in the same order as the host's loop, with fused multiply-adds switched off.
"""

# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, untyped-decorator, no-untyped-call"

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch  # noqa: TID253
import triton  # type: ignore[import-untyped]
import triton.language as tl  # type: ignore[import-untyped]
from torch import Tensor  # noqa: TID253

from pipeline.engines.fast_sam.interpolation import Axis, Interpolator

_BAND: Final = 16
_WIDE: Final = 64
"""Rows and columns of a tile."""


@triton.jit
def _wide(logits, row, low, high, lower, upper, inside):
    """A row of logits, scaled to columns of the model's frame."""
    left = tl.load(logits + row + low, mask=inside, other=0.0)
    right = tl.load(logits + row + high, mask=inside, other=0.0)
    return lower * left + upper * right


@triton.jit
def _framed(logits, side, rows, row_weights, high, y, columns, column_weights, wide, x, inside):
    """The value of the model's frame at (y, x)."""
    above = tl.load(rows + y) * side
    below = tl.load(rows + high + y) * side
    low = tl.load(columns + x)
    right = tl.load(columns + wide + x)
    lower = tl.load(column_weights + x)
    upper = tl.load(column_weights + wide + x)
    first = _wide(logits, above, low, right, lower, upper, inside)
    second = _wide(logits, below, low, right, lower, upper, inside)
    return tl.load(row_weights + y) * first + tl.load(row_weights + high + y) * second


@triton.jit
def _scan(
    logits,
    figures,
    rows,
    row_weights,
    columns,
    column_weights,
    down,
    down_weights,
    across,
    across_weights,
    side,
    high,
    wide,
    height,
    width,
    threshold,
    certain,
    possible,
    same: tl.constexpr,
    band: tl.constexpr,
    tile: tl.constexpr,
):
    mask, part = tl.program_id(0), tl.program_id(1)
    logits += mask.to(tl.int64) * side * side
    y = part * band + tl.arange(0, band)[:, None]
    at_y = tl.minimum(y, height - 1)
    counted, counted_possible = 0, 0
    left, right, top, bottom = width, -1, height, -1
    for start in range(0, width, tile):
        x = start + tl.arange(0, tile)[None, :]
        inside = (y < height) & (x < width)
        at_x = tl.minimum(x, width - 1)
        if same:
            value = _framed(
                logits, side, rows, row_weights, high, at_y,
                columns, column_weights, wide, at_x, inside,
            )  # fmt: skip
        else:
            x0, x1 = tl.load(across + at_x), tl.load(across + width + at_x)
            x_lower = tl.load(across_weights + at_x)
            x_upper = tl.load(across_weights + width + at_x)
            y0, y1 = tl.load(down + at_y), tl.load(down + height + at_y)
            above = x_lower * _framed(
                logits, side, rows, row_weights, high, y0,
                columns, column_weights, wide, x0, inside,
            ) + x_upper * _framed(
                logits, side, rows, row_weights, high, y0,
                columns, column_weights, wide, x1, inside,
            )  # fmt: skip
            below = x_lower * _framed(
                logits, side, rows, row_weights, high, y1,
                columns, column_weights, wide, x0, inside,
            ) + x_upper * _framed(
                logits, side, rows, row_weights, high, y1,
                columns, column_weights, wide, x1, inside,
            )  # fmt: skip
            value = (
                tl.load(down_weights + at_y) * above + tl.load(down_weights + height + at_y) * below
            )
        counted += tl.sum(tl.sum(((value > certain) & inside).to(tl.int32), 1), 0)
        counted_possible += tl.sum(tl.sum(((value > possible) & inside).to(tl.int32), 1), 0)
        pixel = (value > threshold) & inside
        left = tl.minimum(left, tl.min(tl.min(tl.where(pixel, x, width), 1), 0))
        right = tl.maximum(right, tl.max(tl.max(tl.where(pixel, x, -1), 1), 0))
        top = tl.minimum(top, tl.min(tl.min(tl.where(pixel, y, height), 1), 0))
        bottom = tl.maximum(bottom, tl.max(tl.max(tl.where(pixel, y, -1), 1), 0))
    out = figures + (mask * tl.num_programs(1) + part) * 6
    tl.store(out, counted)
    tl.store(out + 1, counted_possible)
    tl.store(out + 2, left)
    tl.store(out + 3, top)
    tl.store(out + 4, right)
    tl.store(out + 5, bottom)


def scan(interpolator: Interpolator, logits: Tensor) -> Tensor:
    """Measure masks where they are.

    Args:
        interpolator: Of their image.
        logits: (N, S, S) float32, contiguous.

    Returns:
        Pixels above threshold + offset, above threshold - offset, x0, y0, x1, y1; (N, 6) int64 on
        the same device.
    """
    (height, width), count = interpolator.size, len(logits)
    bands = triton.cdiv(height, _BAND)
    parts = torch.empty((count, bands, 6), dtype=torch.int32, device=logits.device)
    axes = [
        values
        for axis in (*interpolator.to_model, *interpolator.to_image)
        for values in _placed(axis, logits.device)
    ]
    high, wide = (axis[0].size for axis in interpolator.to_model)
    if count:
        _scan[count, bands](
            logits.contiguous(), parts, *axes, logits.shape[-1], high, wide, height, width,
            *map(float, interpolator.levels),
            same=(high, wide) == (height, width), band=_BAND, tile=_WIDE, enable_fp_fusion=False,
        )  # fmt: skip
    return _together(parts.long())


def _together(parts: Tensor) -> Tensor:
    """Put the figures of a mask's bands together, (N, bands, 6) → (N, 6)."""
    counts, first, last = parts[..., :2].sum(1), parts[..., 2:4].amin(1), parts[..., 4:].amax(1)
    boxes = torch.cat([first, last], 1)
    boxes[last[:, 1] < 0] = 0
    return torch.cat([counts, boxes], 1)


def _placed(axis: Axis, device: torch.device) -> tuple[Tensor, Tensor]:
    low, high, lower, upper = axis
    places: Any = np.stack([low, high]), np.stack([lower, upper])
    return torch.from_numpy(places[0]).to(device), torch.from_numpy(places[1]).to(device)
