"""Training scenes on disk, shared by the training processes through the page cache."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from pipeline.synthetic import make_scene

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.synthetic import Scene

PLATE = 200
"""Label of a word plate in a label map; 0 is background, ``i + 1`` is object ``i``."""
SIZE = 256


@dataclass(frozen=True)
class Shape:
    """What the trainers need to know about one object.

    Attributes:
        shape: One of ``SHAPES``.
        color: A key of ``COLORS``.
        texture: One of ``TEXTURES``.
        box: Tight box of the visible part (x0, y0, x1, y1) in pixels, half open.
    """

    shape: str
    color: str
    texture: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Sample:
    """One cached scene.

    Attributes:
        image: uint8 (256, 256, 3), RGB.
        labels: uint8 (256, 256): 0 background, ``i + 1`` object ``i``, ``PLATE`` a word plate.
        objects: The shapes, in label order.
        words: Transcription, tight ink box and plate box of each word.
        background: One of ``BACKGROUNDS``.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    objects: tuple[Shape, ...]
    words: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    background: str

    @property
    def masks(self) -> list[NDArray[np.bool_]]:
        """Visible masks bool (256, 256): the shapes, then the plate when there is one."""
        values = [*range(1, len(self.objects) + 1), *([PLATE] if self.words else [])]
        return [self.labels == value for value in values]


def label_map(scene: Scene) -> NDArray[np.uint8]:
    """Fold the disjoint masks of a scene in one map.

    Args:
        scene: A scene with fewer than ``PLATE`` objects.

    Returns:
        uint8 (H, W): 0 background, ``i + 1`` object ``i``, ``PLATE`` a word plate.
    """
    labels = np.zeros(scene.image.shape[:2], np.uint8)
    for index, item in enumerate(scene.objects):
        labels[item.mask] = index + 1
    for word in scene.words:
        x0, y0, x1, y1 = word.plate
        labels[y0:y1, x0:x1] = PLATE
    return labels


def sample_of(scene: Scene) -> Sample:
    """Turn a scene in the form the trainers read.

    Args:
        scene: Any scene.

    Returns:
        The same scene with its masks folded in a label map.
    """
    objects = tuple(Shape(o.shape, o.color, o.texture, o.box) for o in scene.objects)
    words = tuple((w.text, w.box, w.plate) for w in scene.words)
    return Sample(scene.image, label_map(scene), objects, words, scene.background)


def make_samples(seeds: Sequence[int], word_chance: float = 0.35) -> list[Sample]:
    """Make scenes in memory.

    Args:
        seeds: One seed per scene.
        word_chance: Chance of a word plate, 0..1.

    Returns:
        One sample per seed, in order.
    """
    return [sample_of(make_scene(seed, SIZE, word_chance=word_chance)) for seed in seeds]


class SceneCache:
    """A folder with the training scenes as two memory-mapped arrays and their descriptions."""

    def __init__(self, folder: Path) -> None:
        self._images = np.load(folder / "images.npy", mmap_mode="r")
        self._labels = np.load(folder / "labels.npy", mmap_mode="r")
        self._notes: list[Any] = json.loads((folder / "notes.json").read_text())

    def __len__(self) -> int:
        return len(self._notes)

    def indices(self, *, words: bool) -> list[int]:
        """List scenes with or without words.

        Args:
            words: Which of the two.

        Returns:
            Their positions.
        """
        return [at for at, note in enumerate(self._notes) if bool(note["words"]) == words]

    def __getitem__(self, index: int) -> Sample:
        note = self._notes[index]
        objects = tuple(Shape(s, c, t, tuple(b)) for s, c, t, b in note["objects"])
        words = tuple((t, tuple(b), tuple(p)) for t, b, p in note["words"])
        return Sample(self._images[index], self._labels[index], objects, words, note["background"])


def _note(sample: Sample) -> dict[str, Any]:
    objects = [(o.shape, o.color, o.texture, o.box) for o in sample.objects]
    return {"objects": objects, "words": sample.words, "background": sample.background}


def _render(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], dict[str, Any]]:
    cv2.setNumThreads(1)
    sample = sample_of(make_scene(seed, SIZE))
    return sample.image, sample.labels, _note(sample)


def build_cache(folder: Path, seeds: Sequence[int]) -> SceneCache:
    """Render scenes to ``folder``, or open them when they are there already.

    Args:
        folder: Created when missing; complete as soon as it exists under this name.
        seeds: One seed per scene.

    Returns:
        The opened cache, with ``len(seeds)`` scenes in order.
    """
    if not folder.exists():
        half = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
        half.mkdir(parents=True)
        with get_context("spawn").Pool(os.cpu_count()) as pool:
            rows = pool.map(_render, seeds, chunksize=50)
        np.save(half / "images.npy", np.stack([row[0] for row in rows]))
        np.save(half / "labels.npy", np.stack([row[1] for row in rows]))
        (half / "notes.json").write_text(json.dumps([row[2] for row in rows]))
        half.rename(folder)
    return SceneCache(folder)
