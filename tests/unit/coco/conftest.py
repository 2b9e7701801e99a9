"""Builds labels with chosen masks and texts, by hand or by hypothesis; no model is needed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from pipeline import rle
from pipeline.coco import CocoWriter, categories
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

CLASSES = ("cat", "café", "物")
STAGES = (StageName.EMBED, StageName.SEGMENT, StageName.EMBED_REGIONS, StageName.READ)
VERDICTS = {
    Decision.ACCEPT: Verdict(Decision.ACCEPT, "sure enough"),
    Decision.REVIEW: Verdict(Decision.REVIEW, "the runner-up is close"),
    Decision.DROP: Verdict(Decision.DROP, "below the threshold"),
}


def sha(text: object) -> str:
    return hashlib.sha256(str(text).encode()).hexdigest()


class Build:
    """Labels from a few arguments."""

    def __init__(self) -> None:
        classes = [ClassConfig(name=name, supercategory="thing") for name in CLASSES]
        self.categories = categories(classes)
        self.category_ids = {entry["name"]: entry["id"] for entry in self.categories}

    def provenance(self) -> dict[StageName, Provenance]:
        return {
            stage: Provenance("fake", f"fake-{stage.value}", sha(stage), sha(f"{stage} settings"))
            for stage in STAGES
        }

    def image(
        self, name: str = "a.jpg", width: int = 40, height: int = 30, content: object = ""
    ) -> ImageRecord:
        source = SourceFile(0, name, sha(content or name), 1234)
        copies = (SourceFile(0, f"copy of {name}", source.digest, 1234),)
        return ImageRecord(source, copies, ImageInfo(width, height, 6, "image/jpeg", "RGB"))

    def instance(
        self,
        mask: Bitmap | Mask,
        name: str = "cat",
        decision: Decision = Decision.ACCEPT,
        score: float = 0.875,
    ) -> Instance:
        packed = mask if isinstance(mask, Mask) else rle.encode(mask)
        region = Region(packed, Box(0, 0, 1, 1), 1, 1.02, 0.97, Point(1, 1))
        second = Candidate(CLASSES[1], 0.0625)
        return Instance(name, score, second, 0.0123456789, region, VERDICTS[decision], merged=2)

    def text(
        self,
        corners: tuple[float, ...],
        text: str = "EXIT",
        decision: Decision = Decision.ACCEPT,
        owner: int | None = None,
        order: int = 0,
        score: float = 0.5,
    ) -> TextRegion:
        a, b, c, d = (Point(corners[i], corners[i + 1]) for i in range(0, 8, 2))
        return TextRegion((), (a, b, c, d), text, score, order, owner, VERDICTS[decision])

    def tag(
        self, name: str = "cat", decision: Decision = Decision.ACCEPT, score: float = 0.75
    ) -> Tag:
        return Tag(name, score, 0.5, VERDICTS[decision])

    def labels(
        self,
        image: ImageRecord | None = None,
        instances: tuple[Instance, ...] = (),
        texts: tuple[TextRegion, ...] = (),
        tags: tuple[Tag, ...] = (),
    ) -> ImageLabels:
        return ImageLabels(image or self.image(), tags, instances, texts, self.provenance())

    def rectangle(self, x: int, y: int, width: int, height: int, hole: bool = False) -> Bitmap:
        """A rectangle in an image of 40 x 30, with a hole of one pixel less on every side."""
        bitmap = np.zeros((30, 40), dtype=np.bool_)
        bitmap[y : y + height, x : x + width] = True
        if hole:
            bitmap[y + 1 : y + height - 1, x + 1 : x + width - 1] = False
        return bitmap

    def sample(self) -> list[ImageLabels]:
        """Two images and an empty one: objects with and without hole, text on an object, tags."""
        first = self.labels(
            self.image("a.jpg"),
            instances=(
                self.instance(self.rectangle(2, 3, 10, 8)),
                self.instance(self.rectangle(20, 5, 12, 12, hole=True), "物", Decision.REVIEW),
                self.instance(self.rectangle(0, 0, 5, 5), decision=Decision.DROP),
            ),
            texts=(
                self.text((3, 4, 11, 4, 11, 9, 3, 9), owner=0),
                self.text((30, 20, 45, 22, 44, 27, 29, 25), "עברית\x00\n\u2028😀", order=1),
            ),
            tags=(self.tag(), self.tag("café", Decision.REVIEW), self.tag("物", Decision.DROP)),
        )
        second = self.labels(
            self.image("sub/b.png", 17, 64),
            instances=(self.instance(np.ones((64, 17), dtype=np.bool_), "café"),),
        )
        return [first, second, self.labels(self.image("sub/c.png"))]

    def write(self, path: Path, images: list[ImageLabels]) -> bytes:
        with CocoWriter(path, self.categories, {"description": "test"}) as writer:
            for labels in images:
                writer.add(labels, labels.image.source.path)
        return path.read_bytes()

    def document(self, path: Path) -> Any:
        self.write(path, self.sample())
        return json.loads(path.read_bytes())

    def bitmaps(self, height: int, width: int) -> st.SearchStrategy[Bitmap]:
        """Masks of one size: empty, full, one pixel, border, checks, holes and many parts."""
        return st.builds(
            _bitmap,
            st.just((height, width)),
            st.sampled_from(["empty", "full", "pixel", "border", "checks", "ring", "noise"]),
            st.integers(0, 2**32),
        )

    def any_labels(self) -> st.SearchStrategy[list[ImageLabels]]:
        """A few images with anything in them that fuse could give, and more."""
        return st.lists(
            _image_labels(self), max_size=3, unique_by=lambda labels: labels.image.digest
        )


def _bitmap(shape: tuple[int, int], kind: str, seed: int) -> Bitmap:
    rng = np.random.default_rng(seed)
    out = np.zeros(shape, dtype=np.bool_)
    if kind == "full":
        out[:] = True
    elif kind == "pixel":
        out[rng.integers(shape[0]), rng.integers(shape[1])] = True
    elif kind == "border":
        out[0], out[:, -1] = True, True
    elif kind == "checks":
        out = np.indices(shape).sum(axis=0) % 2 == rng.integers(2)
    elif kind == "ring":
        out[: shape[0] * 3 // 4, shape[1] // 5 :] = True
        out[shape[0] // 4 : shape[0] // 2, shape[1] // 3 : shape[1] // 2] = False
    elif kind == "noise":
        out = rng.random(shape) < rng.choice([0.03, 0.3, 0.9])
    return out


@st.composite
def _image_labels(draw: st.DrawFn, build: Build) -> ImageLabels:
    width, height = draw(st.integers(1, 64)), draw(st.integers(1, 64))
    names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1)
    name = draw(names.filter(lambda name: name not in {".", ".."}))
    decisions = st.sampled_from(list(Decision))
    scores = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 5e-324])
    corner = st.floats(-10, 80) | st.integers(0, 64).map(float)
    instances = st.builds(
        build.instance,
        build.bitmaps(height, width),
        st.sampled_from(CLASSES),
        decisions,
        scores,
    )
    objects = tuple(draw(st.lists(instances, max_size=4)))
    texts = st.builds(
        build.text,
        st.tuples(*[corner] * 8),
        st.text(st.characters(exclude_categories=[])),
        decisions,
        st.sampled_from([None, *range(len(objects))]),
        st.integers(0, 9),
        scores,
    )
    tags = st.builds(build.tag, st.sampled_from(CLASSES), decisions, scores)
    return build.labels(
        build.image(name, width, height),
        objects,
        tuple(draw(st.lists(texts, max_size=4))),
        tuple(draw(st.lists(tags, max_size=2))),
    )


@pytest.fixture(scope="session")
def build() -> Build:
    return Build()
