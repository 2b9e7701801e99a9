"""Pictures to measure with: drawn scenes as files, and as an engine sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from pipeline import rle
from pipeline.records import Box, Point, Region, RgbImage
from pipeline.synthetic import Scene, make_scene

FIRST_SEED = 7_100_000
"""Scenes that no recipe, threshold or test looks at."""


@dataclass(frozen=True)
class Pictures:
    """Scenes, and where each of them lies as a PNG file."""

    scenes: tuple[Scene, ...]
    paths: tuple[Path, ...]

    @property
    def images(self) -> list[RgbImage]:
        """Their pixels."""
        return [scene.image for scene in self.scenes]


@contextmanager
def drawn(number: int, size: tuple[int, int], *, words: float = 0.0) -> Iterator[Pictures]:
    """Draw scenes into a folder that is removed afterwards.

    Args:
        number: Of scenes.
        size: Rows and columns.
        words: Chance that a scene has a word in it.

    Yields:
        The scenes.
    """
    height, width = size
    scenes = tuple(
        make_scene(seed, width, height=height, count=5, word_chance=words)
        for seed in range(FIRST_SEED, FIRST_SEED + number)
    )
    with TemporaryDirectory(prefix="autolabel-bench-") as folder:
        paths = tuple(Path(folder) / f"{number:03}.png" for number in range(len(scenes)))
        for path, scene in zip(paths, scenes, strict=True):
            Image.fromarray(scene.image).save(path)
        yield Pictures(scenes, paths)


def regions_of(scene: Scene) -> list[Region]:
    """Give a scene's objects as a segmenter would."""
    regions = []
    for thing in scene.objects:
        left, top, right, bottom = thing.box
        box = Box(left, top, right - left, bottom - top)
        mask = rle.encode(thing.mask)
        regions.append(Region(mask, box, rle.area(mask), 0.9, 0.95, Point(left, top)))
    return regions
