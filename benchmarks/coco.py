"""Masks to run lengths, and labels to a COCO file, against the ways that people take.

All arms begin with the same dense masks; a file is done when it is on the disk under its name.
FiftyOne's exporter is called as ``Dataset.export`` calls it, image by image; reading samples out
of a database, which comes before, is not in its time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from benchmarks.arms import Arm, in_turns
from benchmarks.figures import Comparison, Outcome, compared, significant
from benchmarks.options import Options
from benchmarks.sam.equality import best_ious
from pipeline import records as r
from pipeline import rle
from pipeline.coco import CocoWriter, categories
from pipeline.config import ClassConfig

OURS: Final = "ours"
JSON: Final = "pycocotools + json.dump"
FIFTYONE: Final = "FiftyOne's exporter"
_SIZE: Final = (768, 1024)
_CLASSES: Final = ("cat", "dog")

Strings = list[str]


@dataclass(frozen=True)
class Drawn:
    """An image's name, the digest of what would be its bytes, and its masks (H, W) bool."""

    name: str
    digest: str
    masks: tuple[NDArray[np.bool_], ...]


def measure_coco(options: Options) -> Outcome:
    """Time run lengths alone, then whole files."""
    images, masks = (2, 4) if options.short else (10, 40)
    drawn = [_draw(number, masks) for number in range(images)]
    return Outcome((_run_lengths(drawn, options), _files(drawn, options)))


def _run_lengths(drawn: Sequence[Drawn], options: Options) -> Comparison:
    stack = [mask for image in drawn for mask in image.masks]
    arms = [
        Arm("segment_anything", lambda: _library_runs(stack)),
        Arm("pycocotools", lambda: [_packed(mask) for mask in stack]),
        Arm(OURS, lambda: [rle.encode(mask).counts for mask in stack]),
    ]
    taken = in_turns(arms, options.repeats, warm_up=not options.short)
    reference = taken[arms[0].name].answer
    lost = [
        f"run lengths of {arm.name} are not those of {arms[0].name}"
        for arm in arms
        if taken[arm.name].answer != reference
    ]
    title = f"run lengths of {len(stack)} masks {_SIZE[1]}x{_SIZE[0]}"
    return compared(title, arms, taken, lost=lost)


def _files(drawn: Sequence[Drawn], options: Options) -> Comparison:
    with TemporaryDirectory(prefix="autolabel-bench-") as name:
        folder = Path(name)
        arms = [
            Arm(JSON, lambda: _dumped(drawn, folder / "json.json")),
            Arm(OURS, lambda: _written(drawn, folder / "ours.json")),
        ]
        if not options.short:  # half a minute of imports
            arms.insert(1, Arm(FIFTYONE, _exporting(drawn, folder / "fiftyone.json")))
        taken = in_turns(arms, options.repeats, warm_up=not options.short)
    masks = [rle.encode(mask) for image in drawn for mask in image.masks]
    answers, lost = {}, []
    for arm in arms:
        found = _masks(json.loads(taken[arm.name].answer))
        exact = len(set(masks) & set(found))
        answers[arm.name] = {
            "masks": len(found),
            "byte-equal": f"{exact}/{len(masks)}",
            "least IoU": significant(min(best_ious(masks, found)), 4),
        }
        if arm.name == OURS and (exact < len(masks) or len(found) != len(masks)):
            lost.append(f"{arm.name}: {exact} of {len(masks)} masks are in the file byte for byte")
    title = f"COCO file, {len(drawn)} images, {len(masks)} masks {_SIZE[1]}x{_SIZE[0]}"
    return compared(title, arms, taken, answers=answers, lost=lost)


def _library_runs(stack: Sequence[NDArray[np.bool_]]) -> Strings:
    import torch
    from segment_anything.utils.amg import (
        coco_encode_rle,
        mask_to_rle_pytorch,
    )

    runs = (mask_to_rle_pytorch(torch.from_numpy(mask)[None])[0] for mask in stack)
    return [str(coco_encode_rle(run)["counts"]) for run in runs]


def _packed(mask: NDArray[np.bool_]) -> str:
    counts = coco.encode(np.asfortranarray(mask, np.uint8))["counts"]
    return counts.decode() if isinstance(counts, bytes) else str(counts)


def _dumped(drawn: Sequence[Drawn], path: Path) -> str:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(drawn, start=1):
        images.append(_image_entry(number, image))
        for mask in image.masks:
            runs: Any = coco.encode(np.asfortranarray(mask, np.uint8))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": 1,
                    "bbox": coco.toBbox(runs).tolist(),
                    "area": int(coco.area(runs)),
                    "iscrowd": 0,
                    "segmentation": {**runs, "counts": runs["counts"].decode()},
                }
            )
    content = {"images": images, "annotations": annotations, "categories": _categories()}
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file)
    return path.read_text(encoding="utf-8")


def _written(drawn: Sequence[Drawn], path: Path) -> str:
    names = categories([ClassConfig(name=name) for name in _CLASSES])
    with CocoWriter(path, names, {}) as writer:
        for image in drawn:
            writer.add(_labels(image), image.name)
    return path.read_text(encoding="utf-8")


def _exporting(drawn: Sequence[Drawn], path: Path) -> Callable[[], str]:
    import fiftyone as fo
    from fiftyone.utils.coco import COCODetectionDatasetExporter

    metadata = fo.ImageMetadata(width=_SIZE[1], height=_SIZE[0])

    def export() -> str:
        exporter = COCODetectionDatasetExporter(
            labels_path=str(path), export_media=False, classes=list(_CLASSES), info={}
        )
        with exporter:
            for image in drawn:
                found = [fo.Detection.from_mask(mask, label=_CLASSES[0]) for mask in image.masks]
                label = fo.Detections(detections=found)
                exporter.export_sample(image.name, label, metadata=metadata)
        return path.read_text(encoding="utf-8")

    return export


def _masks(content: dict[str, Any]) -> list[r.Mask]:
    """Read the masks of a file as every COCO tool does: run lengths, or polygons filled."""
    height, width = _SIZE
    masks = []
    for entry in content["annotations"]:
        shape: Any = entry["segmentation"]
        runs: Any = shape if isinstance(shape, dict) else coco.frPyObjects(shape, height, width)
        if isinstance(runs, list):
            runs = coco.merge(runs)
        counts = runs["counts"]
        text = counts.decode() if isinstance(counts, bytes) else counts
        masks.append(r.Mask(height, width, text))
    return masks


def _labels(image: Drawn) -> r.ImageLabels:
    verdict = r.Verdict(r.Decision.REVIEW, "benchmark")
    instances = []
    for bitmap in image.masks:
        mask = rle.encode(bitmap)
        box = rle.tight_box(mask)
        assert box is not None, "ellipses of at least 20 pixels"
        region = r.Region(mask, box, rle.area(mask), 0.9, 0.9, r.Point(box.x, box.y))
        instances.append(r.Instance(_CLASSES[0], 0.6, None, 0.1, region, verdict))
    source = r.SourceFile(0, image.name, image.digest, 1000)
    info = r.ImageInfo(_SIZE[1], _SIZE[0], 1, "image/png", "RGB")
    provenance = {
        stage: r.Provenance("fake", "fake", "0" * 64, stage.value * 6)
        for stage in (r.StageName.SEGMENT, r.StageName.EMBED)
    }
    record = r.ImageRecord(source, (), info)
    return r.ImageLabels(record, (), tuple(instances), (), provenance)


def _draw(number: int, masks: int) -> Drawn:
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[: _SIZE[0], : _SIZE[1]]
    found = []
    for _ in range(masks):
        height, width = random.uniform(10, 150, 2)
        y, x = random.uniform(0.2, 0.8, 2) * _SIZE
        down, across = (rows - y) / height, (columns - x) / width
        wave = 0.8 + 0.2 * np.sin(6 * np.arctan2(down, across) + random.uniform(0, 6))
        found.append(down**2 + across**2 <= wave**2)
    name = f"{number:05}.png"
    return Drawn(name, hashlib.sha256(name.encode()).hexdigest(), tuple(found))


def _image_entry(number: int, image: Drawn) -> dict[str, Any]:
    return {"id": number, "file_name": image.name, "height": _SIZE[0], "width": _SIZE[1]}


def _categories() -> list[dict[str, Any]]:
    return [{"id": number, "name": name} for number, name in enumerate(_CLASSES, start=1)]
