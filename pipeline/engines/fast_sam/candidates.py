"""Masks on their way through the filters, by box; pixels only for those that survive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch  # noqa: TID253
from numpy.typing import NDArray
from segment_anything.utils.amg import is_box_near_crop_edge, remove_small_regions  # noqa: TID253
from torchvision.ops import batched_nms  # noqa: TID253

from pipeline import rle
from pipeline.engines.fast_sam.interpolation import Interpolator
from pipeline.records import Mask

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in the image."""


@dataclass(frozen=True, slots=True)
class FoundMask:
    """A mask that survived.

    Attributes:
        mask: Its pixels, possibly none.
        predicted_iou: As the model gave it, not clipped.
        stability: As measured; NaN for a mask without pixels.
        point: x and y of the prompt in the image.
    """

    mask: Mask
    predicted_iou: float
    stability: float
    point: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Masks of a crop that passed the thresholds; row i of everything is mask i.

    Attributes:
        logits: (N, S, S) float32.
        scores: Predicted IoU, (N,) float32.
        stability: (N,) float32.
        boxes: x0, y0, x1, y1 in the crop, (N, 4) int64.
        points: Prompts, x and y in the crop, (N, 2) float64.
    """

    logits: NDArray[np.float32]
    scores: NDArray[np.float32]
    stability: NDArray[np.float32]
    boxes: NDArray[np.int64]
    points: NDArray[np.float64]

    def only(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> Candidates:
        """Give some of them, in the given order."""
        if kept.dtype == np.bool_ and kept.all():
            return self
        return Candidates(
            self.logits[kept],
            self.scores[kept],
            self.stability[kept],
            self.boxes[kept],
            self.points[kept],
        )


def joined(parts: Sequence[Candidates]) -> Candidates:
    """Put candidates of one crop behind each other."""
    return Candidates(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.stability for part in parts]),
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.points for part in parts]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A part of an image and what was found in it.

    Attributes:
        box: Where it lies in the image.
        interpolator: Scales its masks.
        found: Its masks.
    """

    box: Box
    interpolator: Interpolator
    found: Candidates

    @property
    def area(self) -> int:
        """Pixels of the crop."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Boxes in the image, (N, 4)."""
        corner = np.array(self.box[:2] * 2, np.int64)
        boxes: NDArray[np.int64] = self.found.boxes + corner
        return boxes

    def masks(self, size: tuple[int, int]) -> Iterator[FoundMask]:
        """Draw the masks into an image of (rows, columns).

        Yields:
            One per candidate, in their order.
        """
        left, top, right, bottom = self.box
        bitmap = np.zeros(size, np.bool_)
        for number, logits in enumerate(self.found.logits):
            bitmap[top:bottom, left:right] = self.interpolator.draw(logits)
            x, y = self.found.points[number]
            yield FoundMask(
                rle.encode(bitmap),
                float(self.found.scores[number]),
                float(self.found.stability[number]),
                (float(x) + left, float(y) + top),
            )


def near_edges(boxes: NDArray[np.int64], crop: Box, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Say which boxes of a crop touch an edge of it that is no edge of the image, (N,)."""
    whole = [0, 0, size[1], size[0]]
    near = is_box_near_crop_edge(torch.from_numpy(boxes), list(crop), whole)
    return np.asarray(near.numpy(), np.bool_)


def best_boxes(
    boxes: NDArray[np.int64], scores: NDArray[np.float32], limit: float
) -> NDArray[np.int64]:
    """Suppress boxes that overlap a better one by more than ``limit``; best first.

    The library's own call, so that equal scores are decided alike.
    """
    group = torch.zeros(len(boxes))
    kept = batched_nms(torch.from_numpy(boxes).float(), torch.from_numpy(scores), group, limit)
    out: NDArray[np.int64] = kept.numpy()
    return out


def without_small_regions(mask: Mask, least: int) -> tuple[Mask, bool]:
    """Fill holes and drop islands below ``least`` pixels; says whether there were any."""
    pixels = rle.decode(mask)
    pixels, filled = remove_small_regions(pixels, least, mode="holes")
    pixels, dropped = remove_small_regions(pixels, least, mode="islands")
    changed = filled or dropped
    return (rle.encode(pixels), True) if changed else (mask, False)


def outer_box(mask: Mask) -> Box:
    """Outermost pixels as the library counts them: x0, y0, x1, y1, zeros for an empty mask."""
    box = rle.tight_box(mask)
    if box is None:
        return 0, 0, 0, 0
    left, top = int(box.x), int(box.y)
    return left, top, left + int(box.width) - 1, top + int(box.height) - 1
