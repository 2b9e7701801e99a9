"""Draws findings with chosen probabilities: regions, vectors and texts without any model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import rle
from pipeline.config import ClassConfig, PolicyConfig, RegionPolicy, TagPolicy, TextPolicy
from pipeline.fuse import Vocabulary, prompts_of
from pipeline.records import (
    Bitmap,
    Findings,
    ImageInfo,
    ImageRecord,
    Point,
    PromptVectors,
    Quad,
    Region,
    RegionVectors,
    SourceFile,
    TextSpan,
)

SCALE = 100.0
NOTHING = 1e-6
Shares = Mapping[str, float]


class Draw:
    """Prompts are the axes of a space, so vectors with any probabilities can be made."""

    width = 120
    height = 80

    def policy(
        self,
        *classes: str | ClassConfig,
        tags: Mapping[str, Any] | None = None,
        regions: Mapping[str, Any] | None = None,
        text: Mapping[str, Any] | None = None,
        background: tuple[str, ...] = ("background",),
    ) -> PolicyConfig:
        entries = [ClassConfig(name=c) if isinstance(c, str) else c for c in classes]
        return PolicyConfig(
            classes=tuple(entries),
            templates=("{}",),
            background=background,
            tags=TagPolicy(**(tags or {})),
            regions=RegionPolicy(**({"min_area": 1} | dict(regions or {}))),
            text=TextPolicy(**(text or {})),
        )

    def prompts(self, policy: PolicyConfig, bias: float | None = None) -> PromptVectors:
        names = prompts_of(policy)
        axes = np.eye(len(names) + 1, dtype=np.float32)
        return PromptVectors(dict(zip(names, axes, strict=False)), SCALE, bias)

    def vocabulary(self, policy: PolicyConfig, bias: float | None = None) -> Vocabulary:
        return Vocabulary.build(policy, self.prompts(policy, bias))

    def vector(self, policy: PolicyConfig, shares: Shares) -> NDArray[np.float32]:
        """A vector whose softmax over all prompts gives these shares (they add up to 1)."""
        logs = [math.log(shares.get(name, NOTHING)) / SCALE for name in prompts_of(policy)]
        rest = math.sqrt(1.0 - math.fsum(value * value for value in logs))
        return np.array([*logs, rest], dtype=np.float32)

    def rectangle(self, x: int, y: int, width: int, height: int) -> Bitmap:
        bitmap = np.zeros((self.height, self.width), dtype=np.bool_)
        bitmap[y : y + height, x : x + width] = True
        return bitmap

    def disc(self, x: int, y: int, radius: int) -> Bitmap:
        rows, columns = np.mgrid[: self.height, : self.width]
        disc: Bitmap = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        return disc

    def region(self, bitmap: Bitmap, iou: float = 0.9, stability: float = 0.95) -> Region:
        mask = rle.encode(bitmap)
        box = rle.tight_box(mask)
        assert box is not None
        rows, columns = np.nonzero(bitmap)
        point = Point(float(columns[0]), float(rows[0]))
        return Region(mask, box, int(bitmap.sum()), iou, stability, point)

    def span(
        self,
        text: str,
        x: float,
        y: float,
        width: float = 20.0,
        height: float = 10.0,
        score: float = 0.95,
    ) -> TextSpan:
        return TextSpan(box_quad(x, y, width, height), text, score)

    def image(self, width: int | None = None, height: int | None = None) -> ImageRecord:
        info = ImageInfo(width or self.width, height or self.height, 1, "image/png", "RGB")
        return ImageRecord(SourceFile(0, "a.png", "0" * 64, 1), (), info)

    def findings(
        self,
        policy: PolicyConfig,
        objects: Sequence[tuple[Region, Shares]] | None = None,
        tags: Shares | None = None,
        texts: Sequence[TextSpan] = (),
    ) -> Findings:
        """Findings with the same vector for both crops; ``objects`` None: not asked."""
        vectors = None
        if objects is not None:
            rows = [self.vector(policy, shares) for _, shares in objects]
            stacked = np.stack(rows) if rows else np.zeros((0, 0), dtype=np.float32)
            vectors = RegionVectors(stacked, stacked)
        return Findings(
            image=self.image(),
            vector=None if tags is None else self.vector(policy, tags),
            regions=tuple(region for region, _ in objects or ()),
            region_vectors=vectors,
            texts=tuple(texts),
        )


def box_quad(x: float, y: float, width: float, height: float) -> Quad:
    right, bottom = x + width, y + height
    return Point(x, y), Point(right, y), Point(right, bottom), Point(x, bottom)


@pytest.fixture(scope="session")
def draw() -> Draw:
    return Draw()
