"""The demo's arms: what differs between them, and how labels files are compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import demo
from benchmarks.arms import ROOT
from pipeline import rle
from pipeline.runfile import load_run_file


def labels(*objects: tuple[int, int], made_by: str = "one") -> bytes:
    """One image with squares: (category, left edge)."""
    annotations: list[dict[str, Any]] = []
    for category, left in objects:
        bitmap = np.zeros((20, 40), np.bool_)
        bitmap[5:15, left : left + 10] = True
        mask = rle.encode(bitmap)
        segmentation = {"size": [20, 40], "counts": mask.counts}
        annotations.append(
            {"id": left + 1, "image_id": 1, "category_id": category, "segmentation": segmentation}
        )
    content = {
        "info": {"by": made_by},
        "images": [{"id": 1, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "circle"}, {"id": 2, "name": "square"}],
        "annotations": annotations,
    }
    return json.dumps(content).encode()


def test_the_stock_arm_is_the_demo_with_another_mode(tmp_path: Path) -> None:
    changed = load_run_file(demo._stock_file(tmp_path)).config
    usual = load_run_file(ROOT / "configs" / "demo.yaml").config
    assert changed.stages.segment is not None
    assert usual.stages.segment is not None
    assert changed.stages.segment.model_dump() == {
        **usual.stages.segment.model_dump(),
        "mode": "stock",
    }
    assert changed.policy == usual.policy
    assert [path.resolve() for path in changed.images] == [path.resolve() for path in usual.images]


@pytest.mark.parametrize(
    ("other", "bytes_", "annotations", "classes", "iou"),
    [
        (labels((1, 2), (2, 20)), True, True, 0, 1.0),
        (labels((1, 2), (2, 20), made_by="two"), False, True, 0, 1.0),
        (labels((1, 2), (2, 21)), False, False, 0, 0.8182),
        (labels((1, 2), (1, 20)), False, False, 1, 0.0),
        (labels((1, 2)), False, False, 1, 1.0),
    ],
)
def test_labels_are_compared_down_to_what_differs(
    other: bytes, bytes_: bool, annotations: bool, classes: int, iou: float
) -> None:
    answer = demo._against(labels((1, 2), (2, 20)), other)
    assert answer["same bytes"] == bytes_
    assert answer["same annotations"] == annotations
    assert answer["images with other classes"] == classes
    assert answer["least IoU"] == pytest.approx(iou, abs=1e-4)
