"""Examples and finished runs made by hand or by hypothesis; no model is needed."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from pipeline import rle
from pipeline.app import _categories
from pipeline.coco import CocoWriter, categories
from pipeline.config import ClassConfig
from pipeline.export.example import Example, Picture, Plan, Tally
from pipeline.export.naming import safe_stem
from pipeline.export.registry import format_named
from pipeline.labels import Content, Kind, MergedLabel, Status
from pipeline.labels.values import HUMAN, MACHINE, Facts
from pipeline.records import (
    Bitmap,
    Candidate,
    Decision,
    ImageInfo,
    ImageLabels,
    ImageRecord,
    Instance,
    Mask,
    Point,
    Provenance,
    Region,
    SourceFile,
    StageName,
    Tag,
    TextRegion,
    Verdict,
)
from pipeline.runfile import RunFile, load_run_file
from pipeline.write import CONFIG, LABELS, MANIFEST, QUARANTINE, SUMMARY, RunFolder, manifest_row

CLASSES = ("cat", "café ☕", "=formula", "物 <b>")
SOURCES = {
    f"{stage}@{'a' * 12}": {
        "stage": stage,
        "engine": "fake",
        "model": f"fake-{stage}",
        "weights": "0" * 64,
        "fingerprint": "a" * 32,
    }
    for stage in ("embed", "segment", "embed_regions", "read", "review")
}


def plan_for(folder: Path, opened: ExitStack, min_iou: float = 0.95) -> Plan:
    listed = categories([ClassConfig(name=name) for name in CLASSES])
    return Plan(
        "made",
        folder,
        listed,
        [str(entry["name"]) for entry in listed],
        CLASSES,
        ("train", "val"),
        SOURCES,
        f"review@{'a' * 12}",
        {str(entry["stage"]): key for key, entry in SOURCES.items()},
        min_iou,
        opened,
    )


@st.composite
def bitmaps(draw: st.DrawFn, height: int, width: int) -> Bitmap:
    """Blobs with holes and parts, single pixels, borders, noise; never empty."""
    bitmap = np.zeros((height, width), np.bool_)
    for _ in range(draw(st.integers(1, 4))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        bottom = draw(st.integers(top, height - 1)) + 1
        right = draw(st.integers(left, width - 1)) + 1
        bitmap[top:bottom, left:right] = draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        seed = draw(st.integers(0, 2**32 - 1))
        bitmap ^= np.random.default_rng(seed).random(bitmap.shape) < 0.05
    if not bitmap.any():
        bitmap[draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))] = True
    return bitmap


words = st.text(st.characters(codec="utf-8"), min_size=0, max_size=12)
scores = st.floats(0, 1).map(lambda value: round(value, 6))


@st.composite
def examples(draw: st.DrawFn) -> list[Example]:
    """A small dataset."""
    count = draw(st.integers(1, 3))
    return [draw(_example(number)) for number in range(1, count + 1)]


@st.composite
def _example(draw: st.DrawFn, number: int) -> Example:
    height, width = draw(st.integers(8, 40)), draw(st.integers(8, 40))
    labels = []
    for place in range(draw(st.integers(0, 4))):
        mask = rle.encode(draw(bitmaps(height, width)))
        content = Content(Kind.OBJECT, draw(st.sampled_from(CLASSES)), mask=mask)
        labels.append(_label(draw, str(1000 * number + place + 1), content))
    for place in range(draw(st.integers(0, 2))):
        x, y = draw(st.integers(0, width - 4)), draw(st.integers(0, height - 4))
        points = (Point(x, y), Point(x + 4, y), Point(x + 4, y + 3.5), Point(x, y + 3.5))
        content = Content(Kind.TEXT, "text", draw(words), points=points)
        labels.append(_label(draw, str(1000 * number + place + 101), content))
    tags = sorted(draw(st.sets(st.sampled_from(CLASSES))))
    labels += [_label(draw, f"tag:{number}:{tag}", Content(Kind.TAG, tag)) for tag in tags]
    sha256 = hashlib.sha256(str(number).encode()).hexdigest()
    name = draw(words) + ".png"
    picture = Picture(SourceFile(0, name, sha256, 1), plain=True, suffix=".png")
    split = draw(st.sampled_from(["train", "val"]))
    stem = safe_stem(name, sha256)
    return Example(number, sha256, stem, name, width, height, split, picture, tuple(labels))


def _label(draw: st.DrawFn, ident: str, content: Content) -> MergedLabel:
    status = draw(st.sampled_from([Status.PENDING, Status.ACCEPTED, Status.EDITED]))
    source = draw(st.sampled_from([MACHINE, HUMAN]))
    facts = Facts(
        score=draw(scores),
        decision="accept",
        reason="sure",
        order=int(ident[-1]) if content.kind is Kind.TEXT else None,
    )
    return MergedLabel(ident, content, status, source, facts, "run")


def consumer(name: str) -> Any:
    """Import a reader of ``consumers.txt``; skip the test without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its dependencies, at import
        return pytest.importorskip(name, reason=f"no {name}: see tests/export/consumers.txt")


def awkward_examples() -> list[Example]:
    """A dataset that never changes: a hole, two parts, one pixel, the border; a text and a tag."""
    return [_awkward(1, 40, 60, "train"), _awkward(2, 33, 20, "val")]


def _awkward(number: int, height: int, width: int, split: str) -> Example:
    ring, parts, pixel, corner = np.zeros((4, height, width), np.bool_)
    ring[2:12, 2:14], ring[5:8, 5:9] = True, False
    parts[20:24, 3:9] = parts[26:30, 3:7] = True
    pixel[16, 16] = corner[-3:, -5:] = True
    masks = map(rle.encode, (ring, parts, pixel, corner))
    quad = (Point(14, 1), Point(19, 1), Point(19, 5), Point(14, 5))
    contents = [
        *(Content(Kind.OBJECT, name, mask=mask) for name, mask in zip(CLASSES, masks, strict=True)),
        Content(Kind.TEXT, "text", "EXIT → ☕", points=quad),
        Content(Kind.TAG, CLASSES[1]),
    ]
    facts = Facts(score=0.9, decision="accept", reason="sure", order=1)
    labels = tuple(
        MergedLabel(str(1000 * number + place), content, Status.ACCEPTED, MACHINE, facts, "run")
        for place, content in enumerate(contents, start=1)
    )
    name, sha256 = f"straße {number}.png", hashlib.sha256(str(number).encode()).hexdigest()
    picture = Picture(SourceFile(0, name, sha256, 1), plain=True, suffix=".png")
    stem = safe_stem(name, sha256)
    return Example(number, sha256, stem, name, width, height, split, picture, labels)


def write_examples(name: str, dataset: Sequence[Example], folder: Path, **plan: float) -> Tally:
    """Write a dataset in a format, with grey images."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        return _write(name, dataset, plan_for(folder, opened=opened, **plan))


def _write(name: str, dataset: Sequence[Example], plan: Plan) -> Tally:
    writer = format_named(name)(plan)
    folder = plan.folder
    for example in dataset:
        data = grey_png(example)
        place = writer.image_path(example)
        if place is not None:
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        writer.add(example, b"" if place is not None else data)
    writer.finish()
    return writer.tally


def grey_png(example: Example) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (example.width, example.height), (example.id, 90, 90)).save(stream, "PNG")
    return stream.getvalue()


# -- finished runs ---------------------------------------------------------------------------

RUN_FILE = """\
name: made
images: [images]
workspace: ws
stages:
  embed: {engine: fake}
  segment: {engine: fake}
  read: {engine: fake}
policy:
  classes:
    - {name: cat}
    - {name: dog}
    - {name: sky, use: tag}
"""


@dataclass(frozen=True)
class Drawn:
    """An object of a run: class, mask, score and decision."""

    name: str
    mask: Mask
    score: float = 0.9
    decision: Decision = Decision.ACCEPT


@dataclass(frozen=True)
class Shown:
    """What a run shall say of one image file."""

    name: str
    objects: Sequence[Drawn] = ()
    tags: Sequence[str] = ()
    texts: Sequence[str] = ()
    info: ImageInfo | None = None
    quads: Sequence[tuple[Point, Point, Point, Point]] = field(default=())


def rectangle(x: int, y: int, width: int, height: int, size: tuple[int, int] = (64, 64)) -> Mask:
    bitmap = np.zeros(size, np.bool_)
    bitmap[y : y + height, x : x + width] = True
    return rle.encode(bitmap)


def make_project(folder: Path, n: int = 6, run_file: str = RUN_FILE) -> RunFile:
    """Draw images that do not look alike, and a run file."""
    (folder / "images").mkdir(parents=True)
    for seed in range(n):
        add_image(folder, seed)
    (folder / "run.yaml").write_text(run_file, encoding="utf-8")
    return load_run_file(folder / "run.yaml")


def add_image(folder: Path, seed: int) -> str:
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    image = Image.fromarray(pixels).resize((64, 64), Image.Resampling.NEAREST)
    image.save(folder / "images" / f"{seed:03}.png")
    return f"{seed:03}.png"


def write_run(run: RunFile, shown: Sequence[Shown]) -> Path:
    """Write a finished run; gives its folder."""
    roots = run.config.images
    with RunFolder(run.config.workspace) as folder:
        with (
            CocoWriter(folder.path / LABELS, _categories(run), {"description": "made"}) as coco,
            folder.lines(MANIFEST) as manifest,
            folder.lines(QUARANTINE),
        ):
            for one in shown:
                labels = image_labels(roots[0], one)
                manifest(manifest_row(labels.image, roots))
                coco.add(labels, one.name)
        folder.write_json(CONFIG, run.config.model_dump(mode="json"))
        folder.write_json(SUMMARY, {"run_id": folder.run_id})
    return folder.final


def image_labels(root: Path, shown: Shown) -> ImageLabels:
    data = (root / shown.name).read_bytes()
    with Image.open(io.BytesIO(data)) as image:
        mime = Image.MIME[str(image.format)]
        info = shown.info or ImageInfo(image.width, image.height, 1, mime, image.mode)
    source = SourceFile(0, shown.name, hashlib.sha256(data).hexdigest(), len(data))
    accept = Verdict(Decision.ACCEPT, "sure enough")
    return ImageLabels(
        ImageRecord(source, (), info),
        tuple(Tag(name, 0.8, 0.5, accept) for name in shown.tags),
        tuple(_instance(drawn) for drawn in shown.objects),
        tuple(_line(shown, text, order) for order, text in enumerate(shown.texts)),
        {
            stage: Provenance("fake", f"fake-{stage.value}", "0" * 64, f"{n}" * 32)
            for n, stage in enumerate(StageName)
        },
    )


def _instance(drawn: Drawn) -> Instance:
    box = rle.tight_box(drawn.mask)
    assert box is not None
    region = Region(drawn.mask, box, rle.area(drawn.mask), 0.9, 0.95, Point(box.x, box.y))
    verdict = Verdict(drawn.decision, "as the test wants it")
    return Instance(drawn.name, drawn.score, Candidate("dog", 0.1), 0.05, region, verdict)


def _line(shown: Shown, text: str, order: int) -> TextRegion:
    y = 4.0 + 12 * order
    quad = (Point(4.0, y), Point(40.0, y), Point(40.0, y + 8), Point(4.0, y + 8))
    quad = shown.quads[order] if shown.quads else quad
    return TextRegion((), quad, text, 0.8, order, None, Verdict(Decision.ACCEPT, "read"))
