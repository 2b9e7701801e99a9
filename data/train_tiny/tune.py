"""Choice of the automatic mask generator's thresholds, on development scenes."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torchvision.ops import nms

from data.train_tiny.runs import write_json
from data.train_tiny.sam_eval import MATCH, MIN_AREA, automatic, iou, score_automatic
from data.train_tiny.shipped import HOME, open_sam

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from data.train_tiny.cache import Sample

QUALITY: Final = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
STABILITY: Final = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
OVERLAP: Final = (0.4, 0.5, 0.6, 0.7)
SIDES: Final = (16,)


@dataclass(frozen=True)
class _Candidates:
    boxes: NDArray[np.float64]
    quality: NDArray[np.float64]
    stability: NDArray[np.float64]
    overlaps: NDArray[np.float64]  # (candidates, true masks)


def _candidates(model: Any, settings: dict[str, Any], sample: Sample) -> _Candidates:  # noqa: ANN401 - untyped package
    rows = automatic(model, settings, sample.image)
    true = [mask for mask in sample.masks if np.count_nonzero(mask) > MIN_AREA]
    boxes = np.array([row["bbox"] for row in rows], float).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    overlaps = [[iou(row["segmentation"], mask) for mask in true] for row in rows]
    return _Candidates(
        boxes,
        np.array([row["predicted_iou"] for row in rows]),
        np.array([row["stability_score"] for row in rows]),
        np.array(overlaps).reshape(len(rows), len(true)),
    )


def _hits(seen: _Candidates, quality: float, stability: float, overlap: float) -> tuple[int, int]:
    keep = np.flatnonzero((seen.quality > quality) & (seen.stability >= stability))
    boxes, scores = torch.from_numpy(seen.boxes[keep]), torch.from_numpy(seen.quality[keep])
    kept = keep[nms(boxes.float(), scores.float(), overlap).numpy()]
    free, hits = np.ones(seen.overlaps.shape[1], bool), 0
    for row in seen.overlaps[kept]:
        best = int(np.where(free, row, -1).argmax()) if free.any() else -1
        if best >= 0 and row[best] >= MATCH:
            free[best], hits = False, hits + 1
    return hits, len(kept)


def _grid(model: Any, samples: Sequence[Sample], side: int) -> list[dict[str, float]]:  # noqa: ANN401 - untyped package
    loose = {
        "points_per_side": side,
        "pred_iou_thresh": min(QUALITY),
        "stability_score_thresh": min(STABILITY),
        "box_nms_thresh": 0.95,
    }
    seen = [_candidates(model, loose, sample) for sample in samples]
    wanted, rows = sum(s.overlaps.shape[1] for s in seen), []
    for quality, stability, overlap in itertools.product(QUALITY, STABILITY, OVERLAP):
        pairs = [_hits(s, quality, stability, overlap) for s in seen]
        hits, found = sum(p[0] for p in pairs), sum(p[1] for p in pairs)
        rows.append(
            {
                "points_per_side": side,
                "pred_iou_thresh": quality,
                "stability_score_thresh": stability,
                "box_nms_thresh": overlap,
                "recall": hits / max(1, wanted),
                "precision": hits / max(1, found),
            }
        )
    return rows


def _balance(row: dict[str, float]) -> float:
    total = row["recall"] + row["precision"]
    return 2 * row["recall"] * row["precision"] / total if total else 0.0


def tune(samples: Sequence[Sample]) -> None:
    """Write the thresholds with the best F1 to the shipped ``sam_config.json``.

    Args:
        samples: Development scenes.
    """
    model, settings = open_sam()
    rows = [row for side in SIDES for row in _grid(model, samples, side)]
    rows.sort(key=_balance, reverse=True)
    for row in rows[:8]:
        print(json.dumps({k: round(v, 3) for k, v in row.items()}), flush=True)
    chosen = settings | {k: v for k, v in rows[0].items() if k in settings}
    path = HOME / "sam" / "sam_config.json"
    config = json.loads(path.read_text()) | {"automatic": chosen}
    print("exact", score_automatic(model, chosen, samples), flush=True)
    write_json(path, config)
