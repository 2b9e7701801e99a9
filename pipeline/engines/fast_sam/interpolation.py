"""Masks at the image's size, measured and drawn without an N x H x W tensor.

The library scales every mask to the model's frame and from there to the image, as tensors of
megabytes per mask that are each read several times. Here one mask at a time is scaled a row at a
time, counted, and forgotten; and rows and columns where the small logits rule out any pixel are
not scaled at all. Bit for bit the numbers of ``torch.nn.functional.interpolate`` (bilinear, corners
not aligned, fp32): the same products and sums in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.engines.fast_sam.kernel import scan
from pipeline.records import Bitmap

if TYPE_CHECKING:
    from torch import Tensor

Logits: TypeAlias = NDArray[np.float32]
Axis: TypeAlias = tuple[
    NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]
]
"""Per output place: the two input places, and their weights."""

_NOTHING: Final = np.zeros((0, 0), np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """Figures of masks at the image's size.

    Attributes:
        stability: Pixels above ``threshold + offset`` over those above ``threshold - offset``,
            (N,) fp32; NaN where there are neither.
        boxes: x0, y0, x1, y1 of the outermost pixels, (N, 4); zeros for an empty mask.
    """

    stability: NDArray[np.float32]
    boxes: NDArray[np.int64]

    @classmethod
    def of(cls, figures: NDArray[np.int64]) -> Measures:
        """Take the figures of masks as the kernels give them, (N, 6)."""
        counts = figures[:, :2].astype(np.float32)
        with np.errstate(invalid="ignore"):
            stability: NDArray[np.float32] = np.divide(counts[:, 0], counts[:, 1])
        return cls(stability, figures[:, 2:])


@dataclass(frozen=True, slots=True)
class Frame:
    """The way from mask logits to an image.

    Attributes:
        model: Side of the model's square frame.
        inside: Rows and columns of it that the image fills.
        image: Rows and columns of the image.
    """

    model: int
    inside: tuple[int, int]
    image: tuple[int, int]


class Interpolator:
    """Measures and draws masks of one image.

    Args:
        frame: Its sizes.
        side: Rows and columns of the logits.
        threshold: Logit above which a pixel belongs to a mask.
        offset: Of the stability score.

    Attributes:
        to_model: Axes down and across from logits to the part of the model's frame in use.
        to_image: Axes down and across from there to the image.
        size: Rows and columns of the image.
        levels: Threshold, threshold + offset, threshold - offset, (3,) float32.
    """

    def __init__(self, frame: Frame, side: int, threshold: float, offset: float) -> None:
        model, (high, wide), (height, width) = frame.model, frame.inside, frame.image
        self.to_model = _cut(axis(side, model), high), _cut(axis(side, model), wide)
        self.to_image = axis(high, height), axis(wide, width)
        self.size = frame.image
        self.levels = np.array([threshold, threshold + offset, threshold - offset], np.float32)

    def measure(self, logits: Logits) -> Measures:
        """Measure masks (N, S, S)."""
        return Measures.of(self.figures(logits))

    def figures(self, logits: Logits) -> NDArray[np.int64]:
        """Count pixels of masks (N, S, S) and find their boxes, as ``kernel.scan`` does: (N, 6)."""
        figures = np.zeros((len(logits), 6), np.int64)
        for mask, row in zip(logits, figures, strict=True):
            self._scan(mask, row, _NOTHING)
        return figures

    def draw(self, logits: Logits) -> Bitmap:
        """Draw one mask, (S, S) to (H, W)."""
        bitmap = np.zeros(self.size, np.bool_)
        self._scan(logits, np.zeros(6, np.int64), bitmap)
        return bitmap

    def _scan(self, logits: Logits, figures: NDArray[np.int64], bitmap: Bitmap) -> None:
        scan(logits, self.to_model, self.to_image, self.levels, figures, bitmap)


def _cut(whole: Axis, size: int) -> Axis:
    low, high, lower, upper = whole
    return low[:size], high[:size], lower[:size], upper[:size]


@cache
def axis(inputs: int, outputs: int) -> Axis:
    """Say where the values of a scaled axis come from.

    Source: torch ``aten/src/ATen/native/UpSample.h``, ``area_pixel_compute_source_index``.
    """
    scale = np.float32(inputs) / np.float32(outputs)
    places = (np.arange(outputs, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    places = np.maximum(places, np.float32(0))
    low = np.minimum(places.astype(np.int32), inputs - 1)
    high = np.minimum(low + 1, inputs - 1).astype(np.int32)
    upper = places - low.astype(np.float32)
    return low, high, np.float32(1) - upper, upper


DeviceScan: TypeAlias = "Callable[[Interpolator, Tensor], Tensor]"
"""Measures masks (N, S, S) where they are: figures (N, 6) as ``kernel.scan`` gives them."""
