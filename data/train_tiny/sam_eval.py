"""Scores of a Segment Anything model on synthetic scenes, through the package's own classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator, SamPredictor

from pipeline.synthetic.text import tight_box

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from data.train_tiny.cache import Sample

    Mask = NDArray[np.bool_]

MIN_AREA = 150
"""Objects with fewer visible pixels are not asked for."""
MATCH = 0.5


def iou(one: Mask, other: Mask) -> float:
    """Overlap of two masks.

    Args:
        one: bool (H, W).
        other: bool (H, W).

    Returns:
        Intersection over union, 0..1; 0 when both are empty.
    """
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 0.0


def _deepest(mask: Mask) -> tuple[int, int]:
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    y, x = divmod(int(depth.argmax()), mask.shape[1])
    return x, y


def _score_mask(predictor: Any, mask: Mask) -> dict[str, float]:  # noqa: ANN401 - untyped package
    point = np.array([_deepest(mask)], float)
    found, quality, _ = predictor.predict(point, np.array([1]), multimask_output=True)
    overlaps = [iou(row, mask) for row in found]
    box = np.array(tight_box(mask), float)
    boxed, _, _ = predictor.predict(box=box, multimask_output=False)
    return {
        "box_iou": iou(boxed[0], mask),
        "point_iou_best": max(overlaps),
        "point_iou_chosen": overlaps[int(quality.argmax())],
        "quality_error": float(np.abs(np.array(quality) - overlaps).mean()),
    }


@torch.no_grad()
def score_prompts(model: Any, samples: Sequence[Sample]) -> dict[str, float]:  # noqa: ANN401 - untyped package
    """Ask for every object by its deepest point and by its box.

    Args:
        model: A ``Sam`` in evaluation mode.
        samples: Scenes.

    Returns:
        Means over all objects: IoU of the boxes, of the best and of the chosen of three point
        masks, and the absolute error of the predicted IoU; ``masks`` counts the objects.
    """
    predictor, rows = SamPredictor(model), []
    for sample in samples:
        predictor.set_image(np.ascontiguousarray(sample.image))
        rows += [
            _score_mask(predictor, mask)
            for mask in sample.masks
            if np.count_nonzero(mask) > MIN_AREA
        ]
    means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    return means | {"masks": float(len(rows))}


def match(found: Sequence[Mask], wanted: Sequence[Mask]) -> list[int]:
    """Give each found mask the wanted mask it covers best, each wanted mask once.

    Args:
        found: Masks, best first.
        wanted: True masks.

    Returns:
        Per found mask the index of its wanted mask, or -1 below an IoU of ``MATCH``.
    """
    free, pairs = set(range(len(wanted))), []
    for mask in found:
        overlaps = {index: iou(mask, wanted[index]) for index in free}
        best = max(overlaps, key=overlaps.__getitem__, default=-1)
        hit = best >= 0 and overlaps[best] >= MATCH
        free -= {best} if hit else set()
        pairs.append(best if hit else -1)
    return pairs


def automatic(
    model: Any,  # noqa: ANN401 - untyped package
    settings: Mapping[str, Any],
    image: NDArray[np.uint8],
) -> list[dict[str, Any]]:
    """Run the automatic mask generator.

    Args:
        model: A ``Sam`` in evaluation mode.
        settings: Arguments of ``SamAutomaticMaskGenerator``.
        image: uint8 (H, W, 3), RGB.

    Returns:
        The generator's records, highest predicted IoU first.
    """
    generator = SamAutomaticMaskGenerator(model, **settings)
    records: list[dict[str, Any]] = generator.generate(np.ascontiguousarray(image))
    return sorted(records, key=lambda record: -float(record["predicted_iou"]))


def score_automatic(
    model: Any,  # noqa: ANN401 - untyped package
    settings: Mapping[str, Any],
    samples: Sequence[Sample],
) -> dict[str, float]:
    """Count how many true masks the generator finds, shapes and plates together.

    Args:
        model: A ``Sam`` in evaluation mode.
        settings: Arguments of ``SamAutomaticMaskGenerator``.
        samples: Scenes.

    Returns:
        Recall and precision at an IoU of 0.5 with the counts behind them.
    """
    found = wanted = hits = 0
    for sample in samples:
        true = [mask for mask in sample.masks if np.count_nonzero(mask) > MIN_AREA]
        masks = [row["segmentation"] for row in automatic(model, settings, sample.image)]
        found, wanted = found + len(masks), wanted + len(true)
        hits += sum(index >= 0 for index in match(masks, true))
    return {
        "recall": hits / max(1, wanted),
        "precision": hits / max(1, found),
        "found": float(found),
        "wanted": float(wanted),
    }
