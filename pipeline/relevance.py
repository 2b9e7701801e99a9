"""Relevance maps as values: where they lie in an image, and how well they point at an object.

Pure. A map has one value per cell of the model's own grid; an image of any size sees it through
``spread``. How maps are made is ``pipeline.engines.relevance``'s business.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Bitmap, Box

Field: TypeAlias = NDArray[np.float32]
"""(H, W) float32."""

TOLERANCE: Final = 0.03
"""How far beside an object a map may peak in the pointing game, as a share of the longer side.

Source: 15 pixels on the 500 pixel images of PASCAL VOC, Zhang et al. 2016, section 4.1.
"""


class Method(StrEnum):
    """How a relevance map is made; ``docs/explain.md`` says when to take which."""

    CHEFER = "chefer"
    DENSE = "dense"
    OCCLUSION = "occlusion"
    ROLLOUT = "rollout"

    @property
    def is_tag_specific(self) -> bool:
        """Whether the map depends on the tag at all."""
        return self is not Method.ROLLOUT


@dataclass(frozen=True, slots=True, eq=False)
class RelevanceMap:
    """How much each part of what the model saw spoke for a text.

    Attributes:
        cells: (rows, columns) float32 of the model's grid, higher is more; below 0 is against.
            Only comparable within one map.
        frame: What the model saw, in pixels of the image; may reach beyond it, or leave edges out.
    """

    cells: Field
    frame: Box

    def moved(self, x: float, y: float) -> RelevanceMap:
        """Give the map of a crop in the image that it was cut out of at (x, y)."""
        frame = self.frame
        box = Box(frame.x + x, frame.y + y, frame.width, frame.height)
        return RelevanceMap(self.cells, box)


def model_frame(height: int, width: int, model: tuple[int, int], resize_mode: str) -> Box:
    """Say which part of an image a model sees, in pixels of the image.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        model: Rows and columns of the model's input.
        resize_mode: ``squash``, ``shortest`` (and the middle cut out), or ``longest`` (and padded).

    Source: ``image_transform`` of mlfoundations/open_clip.
    """
    if resize_mode == "squash":
        return Box(0.0, 0.0, float(width), float(height))
    scales = model[0] / height, model[1] / width
    scale = max(scales) if resize_mode == "shortest" else min(scales)
    seen_height, seen_width = model[0] / scale, model[1] / scale
    return Box((width - seen_width) / 2, (height - seen_height) / 2, seen_width, seen_height)


def spread(relevance: RelevanceMap, height: int, width: int) -> Field:
    """Lay a map over an image, smoothly, from 0 to 1; 0 where the model did not look.

    Values against the text count as 0, the highest value as 1.

    Args:
        relevance: The map.
        height: Rows to give.
        width: Columns to give.
    """
    cells, frame = _positive(relevance.cells), relevance.frame
    down = _bilinear(height, cells.shape[0], frame.y, frame.height)
    across = _bilinear(width, cells.shape[1], frame.x, frame.width)
    field: Field = (down @ cells @ across.T).astype(np.float32)
    return field


def _positive(cells: Field) -> NDArray[np.float64]:
    values = np.nan_to_num(cells.astype(np.float64))
    low = max(float(values.min()), 0.0)
    return np.clip((values - low) / max(float(values.max()) - low, 1e-12), 0.0, 1.0)


def _bilinear(n: int, cells: int, start: float, length: float) -> NDArray[np.float64]:
    """(n, cells) weights that interpolate cells at n pixel centres along one axis."""
    share = (np.arange(n) + 0.5 - start) / length
    place = np.clip(share * cells - 0.5, 0, cells - 1)
    weights: NDArray[np.float64] = np.maximum(0.0, 1.0 - np.abs(place[:, None] - np.arange(cells)))
    weights[(share < 0) | (share > 1)] = 0.0
    return weights


def points_at(field: Field, mask: Bitmap) -> bool:
    """Play the pointing game: the map's peak is on the object, or ``TOLERANCE`` beside it.

    Args:
        field: (H, W).
        mask: (H, W), the object.

    Source: Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop".
    """
    y, x = (int(value) for value in np.unravel_index(int(field.argmax()), field.shape))
    rows, columns = np.nonzero(mask)
    reach = TOLERANCE * max(field.shape)
    return bool(len(rows)) and float(np.hypot(rows - y, columns - x).min()) <= reach


def pixel_auroc(field: Field, mask: Bitmap) -> float:
    """Chance that a pixel of the object has a higher value than a pixel beside it.

    NaN where the object is everything or nothing.

    Source: Mann and Whitney 1947; equal values count half.
    """
    inside = int(mask.sum())
    outside = mask.size - inside
    if not inside or not outside:
        return math.nan
    _, places, counts = np.unique(field.ravel(), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    above = ranks[mask.ravel()].sum() - inside * (inside + 1) / 2
    return float(above / inside / outside)


def share_inside(field: Field, mask: Bitmap) -> float:
    """Share of the relevance that lies on the object, 0 to 1; NaN where there is none at all."""
    total = float(field.sum(dtype=np.float64))
    return float(field[mask].sum(dtype=np.float64)) / total if total > 0 else math.nan


@dataclass(frozen=True, slots=True)
class Fading:
    """What a text's score does while an image goes or comes, the most relevant cells first.

    Attributes:
        deletion: Score after each step of taking cells away, from 1 (whole image) to 0 (nothing
            left). Falls early if the map is right.
        insertion: Score after each step of bringing cells back, from 0 to 1. Rises early if the
            map is right.

    Source: Petsiuk et al. 2018 (RISE), section 4.1, with scores scaled to their two ends
        and cut to 0 to 1, as they are cosines and no probabilities.
    """

    deletion: tuple[float, ...]
    insertion: tuple[float, ...]

    @property
    def deletion_area(self) -> float:
        """Area below the deletion curve: lower is better."""
        return _area(self.deletion)

    @property
    def insertion_area(self) -> float:
        """Area below the insertion curve: higher is better."""
        return _area(self.insertion)


def _area(curve: tuple[float, ...]) -> float:
    return sum(map(lambda a, b: (a + b) / 2, curve, curve[1:])) / max(len(curve) - 1, 1)
