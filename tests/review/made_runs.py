"""Finished runs without models: labels as tests want them, written by the real writers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline import rle
from pipeline.app import _categories
from pipeline.coco import CocoWriter
from pipeline.records import (
    Candidate,
    Decision,
    ImageInfo,
    ImageLabels,
    ImageRecord,
    Instance,
    Mask,
    Point,
    Provenance,
    Quarantined,
    Region,
    SourceFile,
    StageName,
    Tag,
    TextRegion,
    Verdict,
)
from pipeline.runfile import RunFile, load_run_file
from pipeline.write import (
    CONFIG,
    LABELS,
    MANIFEST,
    QUARANTINE,
    SUMMARY,
    RunFolder,
    manifest_row,
    quarantine_row,
)

SIZE = 64
HTML = "<img src=x onerror=alert(1)>"
RUN_FILE = f"""\
name: made
images: [images]
workspace: ws
stages:
  embed: {{engine: fake}}
  segment: {{engine: fake}}
  read: {{engine: fake}}
policy:
  classes:
    - {{name: cat}}
    - {{name: dog}}
    - {{name: "{HTML}"}}
"""
REVIEW = Verdict(Decision.REVIEW, "score 0.61 < 0.70")


@dataclass(frozen=True)
class Shown:
    """What a run shall say of one image.

    Attributes:
        objects: Class and rectangle (x, y, width, height) each.
        tags: Class names.
        texts: Transcriptions, one under the other.
    """

    name: str
    objects: tuple[tuple[str, tuple[int, int, int, int]], ...] = ()
    tags: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()


def make_project(folder: Path, names: Sequence[str]) -> RunFile:
    """Draw an image per name and write a run file."""
    (folder / "images").mkdir(parents=True)
    for seed, name in enumerate(names):
        draw(folder / "images" / name, seed)
    (folder / "run.yaml").write_text(RUN_FILE)
    return load_run_file(folder / "run.yaml")


def draw(path: Path, seed: int) -> None:
    """An image of SIZE x SIZE; another seed gives other bytes."""
    pixels = np.full((SIZE, SIZE, 3), 90, np.uint8)
    pixels[0, 0] = (seed % 256, seed // 256 % 256, 1)
    Image.fromarray(pixels).save(path)


def write_run(run: RunFile, shown: Sequence[Shown], bad: Sequence[Quarantined] = ()) -> Path:
    """Write a finished run; gives its folder."""
    roots = run.config.images
    with RunFolder(run.config.workspace) as folder:
        with (
            CocoWriter(folder.path / LABELS, _categories(run), {"description": "made"}) as coco,
            folder.lines(MANIFEST) as manifest,
            folder.lines(QUARANTINE) as quarantine,
        ):
            for one in shown:
                labels = image_labels(roots[0], one)
                manifest(manifest_row(labels.image, roots))
                coco.add(labels, one.name)
            for row in bad:
                quarantine(quarantine_row(row, roots))
        folder.write_json(CONFIG, run.config.model_dump(mode="json"))
        folder.write_json(SUMMARY, {"run_id": folder.run_id})
    return folder.final


def image_labels(root: Path, shown: Shown) -> ImageLabels:
    """Labels of one image, as fuse would give them."""
    data = (root / shown.name).read_bytes()
    source = SourceFile(0, shown.name, hashlib.sha256(data).hexdigest(), len(data))
    info = ImageInfo(SIZE, SIZE, 1, "image/png", "RGB")
    return ImageLabels(
        ImageRecord(source, (), info),
        tuple(Tag(name, 0.6, 0.5, REVIEW) for name in shown.tags),
        tuple(_instance(name, rectangle(*place)) for name, place in shown.objects),
        tuple(_text(text, order) for order, text in enumerate(shown.texts)),
        {
            stage: Provenance("fake", f"fake-{stage.value}", "0" * 64, f"{n}" * 32)
            for n, stage in enumerate(StageName)
        },
    )


def rectangle(x: int, y: int, width: int, height: int) -> Mask:
    """A filled rectangle."""
    bitmap = np.zeros((SIZE, SIZE), np.bool_)
    bitmap[y : y + height, x : x + width] = True
    return rle.encode(bitmap)


def _instance(name: str, mask: Mask) -> Instance:
    box = rle.tight_box(mask)
    assert box is not None
    region = Region(mask, box, rle.area(mask), 0.9, 0.95, Point(box.x, box.y))
    return Instance(name, 0.61, Candidate("dog", 0.2), 0.1, region, REVIEW)


def _text(text: str, order: int) -> TextRegion:
    y = 4.0 + 12 * order
    quad = (Point(4.0, y), Point(40.0, y), Point(40.0, y + 8), Point(4.0, y + 8))
    return TextRegion((), quad, text, 0.55, order, None, REVIEW)
