"""YOLO, as Ultralytics reads it: ``data.yaml``, and a text file of normalised numbers per image.

Detection has boxes. Segmentation has one polygon per object, drawn through its border pixels,
as ``cv2.fillPoly`` fills polygons borders included. Parts and holes are joined to
it by bridges one pixel wide, as Ultralytics joins the parts of COCO objects; what the reader will
fill is compared with the mask, and what falls below ``--min-iou`` is told.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy.spatial import cKDTree

from pipeline import rle
from pipeline.export.example import Example, Plan, Tally, class_of
from pipeline.export.formats.panoptic import masked
from pipeline.labels import MergedLabel
from pipeline.records import Bitmap

_DIGITS: Final = 6
_SMALL: Final = 3
_INSIDE: Final = 0.25
"""Where in a pixel corners lie: readers that cut off fractions (Ultralytics) and readers that
round (supervision) both find the pixel."""


class YoloExport:
    """``images/<split>/``, ``labels/<split>/`` and ``data.yaml``.

    Args:
        plan: What is exported.
        segment: Polygons instead of boxes.
    """

    def __init__(self, plan: Plan, *, segment: bool) -> None:
        self.tally = Tally()
        self._plan, self._segment = plan, segment
        self._numbers = {name: place for place, name in enumerate(plan.shape_classes)}
        for split in plan.splits:
            (plan.folder / "labels" / split).mkdir(parents=True, exist_ok=True)

    def image_path(self, example: Example) -> str:
        """Beside the others of its split."""
        return f"images/{example.split}/{example.file_name}"

    def add(self, example: Example, data: bytes) -> None:
        """Write the labels of one image; an empty file is an image without objects."""
        del data
        labels = masked(example, self.tally) if self._segment else example.shapes
        lines = []
        for label in labels:
            numbers = self._polygon(example, label) if self._segment else _box(example, label)
            shown = " ".join(f"{min(max(value, 0.0), 1.0):.{_DIGITS}f}" for value in numbers)
            lines.append(f"{self._numbers[class_of(label)]} {shown}\n")
            self.tally.written[label.content.kind.value] += 1
        path = self._plan.folder / "labels" / example.split / f"{example.stem}.txt"
        path.write_text("".join(lines), encoding="ascii")

    def _polygon(self, example: Example, label: MergedLabel) -> list[float]:
        bitmap = rle.decode(example.mask(label))
        ring = joined_ring(bitmap)
        iou = _iou(bitmap, filled(ring, example.width, example.height))
        self.tally.lowest_iou = min(self.tally.lowest_iou, iou)
        self.tally.below += iou < self._plan.min_iou
        return (ring / (example.width, example.height)).ravel().tolist()

    def finish(self) -> None:
        """Write ``data.yaml``."""
        splits = list(self._plan.splits)
        train, val = splits[0], splits[min(1, len(splits) - 1)]
        document = {"train": f"images/{train}", "val": f"images/{val}"}
        document |= {"test": f"images/{splits[2]}"} if len(splits) == _SMALL else {}
        with (self._plan.folder / "data.yaml").open("w", encoding="utf-8") as file:
            YAML().dump({**document, "names": dict(enumerate(self._plan.shape_classes))}, file)


def _box(example: Example, label: MergedLabel) -> list[float]:
    box = example.box(label)
    return [
        (box.x + box.width / 2) / example.width,
        (box.y + box.height / 2) / example.height,
        box.width / example.width,
        box.height / example.height,
    ]


def joined_ring(bitmap: Bitmap) -> NDArray[np.float64]:
    """Draw one polygon around all parts and holes of a mask, (N, 2) x, y in pixels.

    Corners are inside of border pixels.
    """
    import cv2

    contours, _ = cv2.findContours(
        np.ascontiguousarray(bitmap, np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE
    )
    rings = [np.asarray(contour, np.float64).reshape(-1, 2) for contour in contours]
    rings.sort(key=len, reverse=True)
    path = rings[0]
    for ring in rings[1:]:
        path = _bridged(path, ring)
    path = path + _INSIDE
    if len(path) < _SMALL:  # a point or a line: walk it with steps inside its pixels
        path = np.repeat(path, _SMALL, axis=0) + np.resize(
            ((-0.2, -0.2), (0.2, -0.2), (0, 0.2)), (len(path) * _SMALL, 2)
        )
    return path


def _bridged(path: NDArray[np.float64], ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """Walk to the nearest point of a ring, around it, and back."""
    distances, nearest = cKDTree(path).query(ring)
    start = int(np.argmin(distances))
    at = int(nearest[start])
    around = np.concatenate([ring[start:], ring[: start + 1]])
    return np.concatenate([path[: at + 1], around, path[at:]])


def filled(ring: NDArray[np.float64], width: int, height: int) -> Bitmap:
    """Fill a polygon as Ultralytics does.

    Source: ``polygon2mask`` of ultralytics: fractions cut off, then ``cv2.fillPoly``.
    """
    import cv2

    canvas = np.zeros((height, width), np.uint8)
    cv2.fillPoly(canvas, [ring.astype(np.int32)], [1])
    return canvas > 0


def _iou(a: Bitmap, b: Bitmap) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0
