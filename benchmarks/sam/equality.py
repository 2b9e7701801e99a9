"""How far masks are those of the library, on scenes that the tiny model was trained for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from pipeline.config import ModelsConfig, SegmentAnythingConfig
from pipeline.engines.segment_anything import SamSegmenter
from pipeline.records import Mask, Region
from pipeline.synthetic import make_scene
from pipeline.weights import locate

TINY = "tiny-synthetic-sam"
FIRST_SEED = 7_000_000
"""Scenes that no recipe, threshold or test looks at."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Masks of one arm against those of the library, over some images.

    Attributes:
        images: How many images.
        masks: The library's masks.
        count_differences: Images with another number of masks.
        other_sets: Images where other prompts gave the masks that were kept.
        byte_equal: The library's masks whose run lengths are there byte for byte.
        ious: IoU of each of the library's masks with the best of the arm's.
    """

    images: int
    masks: int
    count_differences: int
    other_sets: int
    byte_equal: int
    ious: tuple[float, ...]

    def figures(self) -> dict[str, Any]:
        """Lay them out for the table."""
        return {
            "images": self.images,
            "masks": self.masks,
            "images_with_another_count": self.count_differences,
            "images_with_another_kept_set": self.other_sets,
            "byte_equal_share": round(self.byte_equal / max(1, self.masks), 4),
            "least_iou": round(min(self.ious, default=1.0), 5),
            "mean_iou": round(float(np.mean(self.ious or [1.0])), 5),
        }


def agree(pairs: list[tuple[list[Mask], list[Mask], bool]]) -> Agreement:
    """Compare per image the library's masks, an arm's, and whether the prompts are the same."""
    ious = [iou for stock, ours, _ in pairs for iou in best_ious(stock, ours)]
    equal = sum(len(set(stock) & set(ours)) for stock, ours, _ in pairs)
    return Agreement(
        images=len(pairs),
        masks=sum(len(stock) for stock, _, _ in pairs),
        count_differences=sum(len(stock) != len(ours) for stock, ours, _ in pairs),
        other_sets=sum(not same for _, _, same in pairs),
        byte_equal=equal,
        ious=tuple(ious),
    )


def best_ious(stock: list[Mask], ours: list[Mask]) -> list[float]:
    """IoU of each of the library's masks with the best of ours."""
    if not stock or not ours:
        return [0.0] * len(stock)
    table = np.asarray(coco.iou(_runs(stock), _runs(ours), [0] * len(ours)))
    best: list[float] = table.max(1).tolist()
    return best


def measure_equality(images: int = 200) -> dict[str, Any]:
    """Compare ``exact`` and ``fast`` with ``stock`` on the trained tiny model."""
    arms = {mode: _tiny(mode) for mode in ("stock", "exact", "fast")}
    pairs: dict[str, list[tuple[list[Mask], list[Mask], bool]]] = {"exact": [], "fast": []}
    for seed in range(FIRST_SEED, FIRST_SEED + images):
        image = make_scene(seed).image
        found = {mode: arm.segment([image])[0] for mode, arm in arms.items()}
        for mode, rows in pairs.items():
            same = _points(found["stock"]) == _points(found[mode])
            rows.append((_masks(found["stock"]), _masks(found[mode]), same))
    return {mode: agree(rows).figures() for mode, rows in pairs.items()}


def _tiny(mode: str) -> SamSegmenter:
    files = locate(TINY, ModelsConfig(), Path())
    config = SegmentAnythingConfig.model_validate(
        {"engine": "segment_anything", "model": TINY, "mode": mode, **files.defaults}
    )
    return SamSegmenter(files, config, "cpu", "bf16" if mode == "fast" else "fp32")


def _points(regions: tuple[Region, ...]) -> list[tuple[float, float]]:
    return sorted((region.point.x, region.point.y) for region in regions)


def _masks(regions: tuple[Region, ...]) -> list[Mask]:
    return [region.mask for region in regions]


def _runs(masks: list[Mask]) -> Any:  # noqa: ANN401  pycocotools is loosely typed
    return [{"size": [m.height, m.width], "counts": m.counts.encode()} for m in masks]
