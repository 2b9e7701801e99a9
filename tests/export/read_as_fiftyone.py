"""Print what FiftyOne's importers make of exports; a process of its own, with its own database.

FiftyOne holds on to the first database of a process, so this cannot run beside other tests.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from pipeline.review.database import open_database


def read(folder: Path) -> dict[str, Any]:
    """Import the first split of every format that FiftyOne knows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its many dependencies
        import fiftyone as fo

    types = fo.types
    coco = {"label_types": ["segmentations"], "include_id": True}
    yolo = {"yaml_path": "data.yaml", "split": "train"}
    voc = {"data_path": "JPEGImages", "labels_path": "Annotations"}
    cvat = {"data_path": "images", "labels_path": "annotations.xml"}
    imports: dict[str, tuple[str, Any, dict[str, Any]]] = {
        profile: (profile, types.COCODetectionDataset, coco | {
            "data_path": str(folder / profile / "images/train"),
            "labels_path": str(folder / profile / "annotations/instances_train.json"),
        })
        for profile in ("coco", "coco-polygon", "coco-uncompressed")
    } | {
        "yolo-detect": ("yolo-detect", types.YOLOv5Dataset, yolo),
        "yolo-segment": ("yolo-segment", types.YOLOv5Dataset, yolo | {"label_type": "instances"}),
        "voc": ("voc", types.VOCDetectionDataset, voc),
        "cvat": ("cvat", types.CVATImageDataset, cvat),
        "image-folder": ("image-folder/train", types.ImageClassificationDirectoryTree, {}),
    }  # fmt: skip
    out = {}
    for name, (place, kind, options) in imports.items():
        dataset = fo.Dataset.from_dir(str(folder / place), kind, progress=False, **options)
        out[name] = {Path(one.filepath).name: _labels(one) for one in dataset}
    return out


def _labels(sample: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in sample.field_names:
        field = sample[name]
        for kind in ("detections", "polylines", "classifications"):
            found += [_label(one) for one in getattr(field, kind, None) or ()]
        if type(field).__name__ == "Classification":
            found.append(_label(field))
    return found


def _label(one: Any) -> dict[str, Any]:
    mask = getattr(one, "mask", None)
    return {
        "label": one.label,
        "box": getattr(one, "bounding_box", None),
        "mask": None if mask is None else mask.astype(int).tolist(),
        "points": getattr(one, "points", None),
        "text": one["text"] if one.has_field("text") else None,
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as database, open_database(Path(database)) as handle:
        os.environ["FIFTYONE_DATABASE_URI"] = handle.uri
        sys.stdout.write(json.dumps(read(Path(sys.argv[1]))))
