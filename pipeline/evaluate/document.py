"""``evaluation.json``: all figures of a run in one document; its layout is in docs/evaluate.md."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import EvaluationError
from pipeline.evaluate import objects, tags, texts
from pipeline.evaluate.compare import compare
from pipeline.evaluate.errors import SHOWN, counts, entry, worst_first
from pipeline.evaluate.sides import IOU, TEXT_IOU, Compared, Comparison
from pipeline.metrics.cocoeval import Averages
from pipeline.metrics.intervals import CONFIDENCE, Counts, Interval
from pipeline.metrics.places import DETEVAL, Detection
from pipeline.records import JsonObject
from pipeline.runfile import RunFile
from pipeline.store.parts import durable_write

EVALUATION: Final = "evaluation.json"
_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A measured run.

    Attributes:
        path: The document on disk.
        document: What is in it.
        objects: Its objects, with who is whom; None without objects in the truth.
    """

    path: Path
    document: JsonObject
    objects: objects.ObjectFigures | None


def evaluate(run: RunFile, truth: str) -> Evaluated:
    """Measure the latest run of a workspace, and write ``evaluation.json`` beside its labels.

    Args:
        run: The run file.
        truth: Path of a COCO or COCO-Text file, or ``reviewed``.

    Raises:
        EvaluationError: Truth and labels cannot be compared, or the document not be written.
        ReviewError: There is no finished run.
    """
    comparison = compare(run.config.workspace, truth)
    document, things = measure(comparison)
    path = run.config.workspace / "runs" / comparison.run_id / EVALUATION
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        durable_write(path, text.encode())
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be written: {error}") from None
    return Evaluated(path, document, things)


def measure(comparison: Comparison) -> tuple[JsonObject, objects.ObjectFigures | None]:
    """Measure, and lay all figures out; gives those of objects as values too."""
    images = comparison.images
    things = objects.measure(images, comparison.classes) if comparison.classes else None
    tagged = tags.measure(images, comparison.tag_classes) if comparison.tag_classes else None
    lines = _measure_texts(images) if comparison.has_texts else None
    parts = (things, tagged, lines and lines[0])
    faults = [fault for part in parts if part for fault in part.faults]
    document: JsonObject = {
        "version": _VERSION,
        "run_id": comparison.run_id,
        "truth": _truth(comparison),
        "images": {
            "compared": len(images),
            "only_in_run": comparison.only_in_run,
            "only_in_truth": comparison.only_in_truth,
        },
        "settings": {
            "iou": IOU,
            "text_iou": TEXT_IOU,
            "deteval": asdict(DETEVAL),
            "same_place": asdict(texts.SAME_PLACE),
            "confidence": CONFIDENCE,
        },
        "objects": things and _objects(things),
        "tags": tagged and _tags(tagged),
        "texts": lines and {**_texts(lines[0]), "accepted": _texts_read(lines[1])},
        "errors": [entry(fault) for fault in worst_first(faults)[:SHOWN]],
        "n_errors": counts(faults),
    }
    return document, things


def _measure_texts(
    images: Sequence[Compared],
) -> tuple[texts.TextFigures, texts.TextFigures]:
    """Measure all lines, and those that stand without a person's look."""
    return texts.measure(images), texts.measure([image.as_accepted() for image in images])


def _truth(comparison: Comparison) -> JsonObject:
    sides = [image.truth for image in comparison.images]
    labels = sum(len(side.objects) + len(side.texts) + len(side.tags or ()) for side in sides)
    return {
        "path": comparison.path,
        "kind": comparison.kind.value,
        "sha256": comparison.sha256,
        "images": len(sides) + comparison.only_in_truth,
        "labels": labels,
    }


def _objects(figures: objects.ObjectFigures) -> JsonObject:
    masks = figures.mask
    return {
        "box": _averages(figures.box),
        "mask": masks and _averages(masks),
        "overall": rates(figures.overall),
        "accepted": rates(figures.accepted),
        "classes": [
            {
                "name": name,
                "AP_box": figures.box.classes[ident],
                "AP_mask": None if masks is None else masks.classes[ident],
                **rates(of),
            }
            for ident, (name, of) in enumerate(figures.classes.items(), start=1)
        ],
        "confusion": {
            "labels": [*figures.classes, objects.BACKGROUND],
            "matrix": figures.confusion.tolist(),
        },
        "calibration": asdict(figures.calibration),
        "sizes": [asdict(size) for size in figures.sizes],
    }


def _averages(averages: Averages) -> JsonObject:
    return {
        "pycocotools": dict(averages.pycocotools),
        "faster_coco_eval": dict(averages.faster_coco_eval),
        "agree": averages.agree,
    }


def _tags(figures: tags.TagFigures) -> JsonObject:
    classes: Mapping[str, Counts] = figures.classes
    return {
        "map": figures.mean,
        "overall": rates(figures.overall),
        "accepted": rates(figures.accepted),
        "classes": [
            {"name": name, "AP": figures.precisions[name], **rates(of)}
            for name, of in classes.items()
        ],
        "calibration": asdict(figures.calibration),
    }


def _texts(figures: texts.TextFigures) -> JsonObject:
    return {
        "detection": rates(figures.detection, "hmean"),
        "recognition": asdict(figures.recognition),
        **_texts_read(figures),
        "end_to_end_iou": rates(figures.end_to_end_iou, "hmean"),
        "calibration": asdict(figures.calibration),
    }


def _texts_read(figures: texts.TextFigures) -> JsonObject:
    return {
        "deteval": _deteval(figures.deteval),
        "end_to_end": _read(figures.end_to_end),
        "word_spotting": _read(figures.word_spotting),
    }


def _deteval(of: Detection) -> JsonObject:
    means = {"precision": of.precision, "recall": of.recall, "hmean": of.hmean}
    return asdict(of) | means


def _read(of: texts.Read) -> JsonObject:
    precision, recall = of.by_found.precision, of.by_truth.recall
    return asdict(of) | {
        "precision": _interval(precision),
        "recall": _interval(recall),
        "hmean": of.hmean,
    }


def rates(of: Counts, mean: str = "f1") -> JsonObject:
    """Lay counts out with the rates that follow from them."""
    numbers = {"truth": of.truth, "found": of.found, "tp": of.tp, "fp": of.fp, "fn": of.fn}
    named = {"precision": of.precision, "recall": of.recall, mean: of.f1}
    return numbers | {name: _interval(value) for name, value in named.items()}


def _interval(value: Interval | None) -> JsonObject | None:
    return None if value is None else asdict(value)
