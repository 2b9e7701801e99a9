"""Print what Ultralytics' own dataset loader makes of YOLO exports; a process of its own.

At import it exchanges functions of OpenCV, and it writes its settings where the caller says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset, polygon2mask, verify_image_label


def read(folder: Path, task: str) -> dict[str, Any]:
    """Load all splits of an export as training does, with boxes and drawn masks in pixels."""
    data = check_det_dataset(str(folder / "data.yaml"))
    images: dict[str, Any] = {}
    for split in ("train", "val"):
        dataset = YOLODataset(img_path=data[split], data=data, task=task, augment=False, imgsz=64)
        for number, label in enumerate(dataset.labels):
            height, width = label["shape"]
            drawn = [
                polygon2mask((height, width), [(ring * (width, height)).ravel()]).tolist()
                for ring in label["segments"]
            ]
            dataset[number]  # what a trainer is given
            images[Path(label["im_file"]).name] = {
                "names": [data["names"][int(one)] for one in label["cls"].ravel()],
                "boxes": (label["bboxes"] * np.tile((width, height), 2)).tolist(),
                "masks": drawn,
                "complaints": _complaints(label["im_file"], len(data["names"])),
            }
    return images


def _complaints(image: str, n_classes: int) -> str:
    text = image.replace("/images/", "/labels/").rpartition(".")[0] + ".txt"
    verified = verify_image_label((image, text, "", False, n_classes, 0, 0, False))
    return str(verified[-1])


if __name__ == "__main__":
    exports = Path(sys.argv[1])
    tasks = ("detect", "segment")
    sys.stdout.write(json.dumps({task: read(exports / f"yolo-{task}", task) for task in tasks}))
