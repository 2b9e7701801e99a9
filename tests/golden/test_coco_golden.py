"""The bytes of a COCO file, held still: ids and layout are a promise to files out in the world.

After a change that is meant, look at the diff that this leaves:

    REGENERATE_GOLDEN=1 .venv/bin/python -m pytest tests/golden
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline import rle
from pipeline.coco import CocoWriter, categories, check_file
from pipeline.config import ClassConfig
from pipeline.records import (
    Bitmap,
    Box,
    Candidate,
    Decision,
    ImageInfo,
    ImageLabels,
    ImageRecord,
    Instance,
    Point,
    Provenance,
    Quad,
    Region,
    SourceFile,
    StageName,
    Tag,
    TextRegion,
    TextSpan,
    Verdict,
)

GOLDEN = Path(__file__).parent / "labels.coco.json"
ACCEPT = Verdict(Decision.ACCEPT, "score 0.91 >= 0.70, next dog 0.05")
REVIEW = Verdict(Decision.REVIEW, "score 0.60 < 0.70")
DROP = Verdict(Decision.DROP, "score 0.12 < 0.40")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


PROVENANCE = {
    stage: Provenance(engine, model, digest(model), digest(f"settings of {stage.value}"))
    for stage, engine, model in (
        (StageName.EMBED, "open_clip", "tiny-synthetic-clip"),
        (StageName.SEGMENT, "segment_anything", "tiny-synthetic-sam"),
        (StageName.EMBED_REGIONS, "open_clip", "tiny-synthetic-clip"),
        (StageName.READ, "rapidocr", "rapidocr"),
    )
}


def image(path: str, width: int, height: int, *copies: str) -> ImageRecord:
    first, *others = (SourceFile(0, name, digest(path), 5000) for name in (path, *copies))
    return ImageRecord(first, tuple(others), ImageInfo(width, height, 6, "image/jpeg", "RGB"))


def disc(width: int, height: int, x: int, y: int, outer: float, inner: float = 0) -> Bitmap:
    rows, columns = np.ogrid[:height, :width]
    squares = (columns - x) ** 2 + (rows - y) ** 2
    inside: Bitmap = (squares <= outer**2) & (squares >= inner**2)
    return inside


def instance(bitmap: Bitmap, name: str, score: float, verdict: Verdict) -> Instance:
    mask = rle.encode(bitmap)
    box = rle.tight_box(mask) or Box(0, 0, 0, 0)
    region = Region(mask, box, rle.area(mask), 0.9512345678, 0.98, Point(20.5, 20.5))
    return Instance(name, score, Candidate("dog", 0.05), 0.04, region, verdict, merged=1)


def line(text: str, x: float, y: float, order: int, owner: int | None) -> TextRegion:
    quad: Quad = (
        Point(x, y),
        Point(x + 14.25, y + 1),
        Point(x + 13.7, y + 8),
        Point(x - 0.5, y + 7),
    )
    return TextRegion((TextSpan(quad, text, 0.8),), quad, text, 0.8, order, owner, ACCEPT)


def labels() -> list[ImageLabels]:
    objects = (
        instance(disc(64, 48, 20, 20, 12), "cat", 0.91, ACCEPT),
        instance(disc(64, 48, 44, 30, 15, 8), "dog", 0.6, REVIEW),
        instance(disc(64, 48, 5, 5, 3), "cat", 0.12, DROP),
    )
    texts = (line("EXIT", 14, 16, 0, 0), line("שלום 😀\n", 55.5, 40, 1, None))
    tags = (Tag("cat", 0.9123456789, 0.5, ACCEPT), Tag("dog", 0.3, 0.5, DROP))
    first = image("a b/ç.jpg", 64, 48, "copy.jpg")
    return [
        ImageLabels(first, tags, objects, texts, PROVENANCE),
        ImageLabels(image("empty.png", 16, 16), provenance=PROVENANCE),
    ]


def test_bytes_are_those_of_the_golden_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.coco.json"
    classes = [ClassConfig(name="cat", supercategory="animal"), ClassConfig(name="dog")]
    with CocoWriter(path, categories(classes), {"description": "golden"}) as writer:
        for one in labels():
            writer.add(one, one.image.source.path)
    if os.environ.get("REGENERATE_GOLDEN"):
        GOLDEN.write_bytes(path.read_bytes())
        pytest.skip("regenerated; look at the diff")
    assert path.read_text(encoding="utf-8") == GOLDEN.read_text(encoding="utf-8")


def test_the_golden_file_conforms() -> None:
    assert check_file(GOLDEN) == []
