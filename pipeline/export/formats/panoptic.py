"""COCO panoptic: every pixel belongs to one segment at most; no library writes it.

Where objects overlap, the smaller one lies on top: a button on a shirt stays a button. An object
that nothing is left of is counted as left out. Pixels of no object are 0, void.

Source: the panoptic format of COCO: id = R + 256 G + 256² B.
"""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline import rle
from pipeline.coco.document import EXTRA
from pipeline.coco.naming import clean
from pipeline.export.example import Example, Plan, Tally, class_of, is_text
from pipeline.export.formats.coco import image_entry, score_of, verdict
from pipeline.export.formats.spool import Spool, write_object
from pipeline.labels import MergedLabel
from pipeline.records import JsonObject
from pipeline.store.parts import durable_write

_BASE: Final = 256
BOX_ONLY: Final = "object drawn as a box only"
COVERED: Final = "object covered by smaller ones"


class PanopticExport:
    """``images/<split>/``, ``annotations/panoptic_<split>/`` and ``…/panoptic_<split>.json``."""

    def __init__(self, plan: Plan) -> None:
        self.tally = Tally()
        self._plan = plan
        self._images = {split: Spool(plan) for split in plan.splits}
        self._annotations = {split: Spool(plan) for split in plan.splits}

    def image_path(self, example: Example) -> str:
        """Beside the others of its split."""
        return f"images/{example.split}/{example.file_name}"

    def add(self, example: Example, data: bytes) -> None:
        """Draw the segments of one image."""
        del data
        labels = masked(example, self.tally)
        canvas, numbers = paint(example, labels)
        segments = []
        for number, label in numbers.items():
            pixels = canvas == number
            area = int(pixels.sum())
            if not area:
                self.tally.left_out[COVERED] += 1
                continue
            segments.append(self._segment(number, label, pixels, area))
            self.tally.written[label.content.kind.value] += 1
        name = f"{example.stem}.png"
        folder = self._plan.folder / "annotations" / f"panoptic_{example.split}"
        folder.mkdir(parents=True, exist_ok=True)
        durable_write(folder / name, _png(canvas))
        self._images[example.split].append(image_entry(example, self._plan))
        self._annotations[example.split].append(
            {"image_id": example.id, "file_name": name, "segments_info": segments}
        )

    def _segment(
        self, number: int, label: MergedLabel, pixels: NDArray[np.bool_], area: int
    ) -> JsonObject:
        box = rle.tight_box(rle.encode(pixels))
        assert box is not None, "a segment has pixels"
        return {
            "id": number,
            "category_id": self._plan.category_ids[class_of(label)],
            "bbox": [int(value) for value in (box.x, box.y, box.width, box.height)],
            "area": area,
            "iscrowd": 0,
            EXTRA: {
                "label": label.id,
                "score": score_of(label),
                "verdict": verdict(label),
                **({"text": clean(label.content.text or "")} if is_text(label) else {}),
            },
        }

    def finish(self) -> None:
        """Write the documents, one per split."""
        for split in self._plan.splits:
            info = {"description": self._plan.name, "provenance": dict(self._plan.sources)}
            write_object(
                self._plan.folder / "annotations" / f"panoptic_{split}.json",
                {
                    "info": info,
                    "licenses": [],
                    "images": self._images[split],
                    "annotations": self._annotations[split],
                    "categories": [{**entry, "isthing": 1} for entry in self._plan.categories],
                },
            )


def masked(example: Example, tally: Tally) -> list[MergedLabel]:
    """Labels with pixels of their own; boxes that people drew are counted as left out."""
    labels = []
    for label in example.shapes:
        if label.content.mask is None and not label.content.points:
            tally.left_out[BOX_ONLY] += 1
        else:
            labels.append(label)
    return labels


def paint(
    example: Example, labels: list[MergedLabel]
) -> tuple[NDArray[np.uint32], dict[int, MergedLabel]]:
    """Draw labels over each other, large ones first.

    Returns:
        (H, W) numbers from 1 in the order of ``labels``, 0 for none; and number → label.
    """
    canvas = np.zeros((example.height, example.width), np.uint32)
    numbers = dict(enumerate(labels, start=1))
    masks = {number: example.mask(label) for number, label in numbers.items()}
    for number in sorted(masks, key=lambda number: (-rle.area(masks[number]), number)):
        canvas[rle.decode(masks[number])] = number
    return canvas, numbers


def _png(canvas: NDArray[np.uint32]) -> bytes:
    channels = [canvas // _BASE**power % _BASE for power in range(3)]
    stream = io.BytesIO()
    Image.fromarray(np.stack(channels, -1).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()
