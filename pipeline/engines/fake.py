"""Engines without weights: deterministic, made of numpy alone, fast. For tests of whole pipelines.

They answer about colours. The embedder puts images and prompts into one space in which ``a red
shape`` is near red images; the segmenter returns connected areas of one colour; the reader reads
text that ``draw_text`` put into an image. ``engine: fake`` chooses them in a run file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline import rle
from pipeline.config import FakeEmbedConfig
from pipeline.engines.base import EngineInfo, Patches
from pipeline.records import Bitmap, Box, Point, Quad, Region, RgbImage, TextSpan, Vectors

_COLOURS: Final = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (40, 70, 220),
    "yellow": (240, 220, 40),
    "orange": (245, 140, 30),
    "purple": (140, 50, 190),
    "pink": (245, 130, 190),
    "brown": (130, 80, 40),
    "cyan": (40, 210, 220),
}
_SYNONYMS: Final = {"gray": "grey", "violet": "purple", "turquoise": "cyan"}
_PALETTE: Final = np.array(list(_COLOURS.values()), np.float32)

_MAX_SAMPLES_PER_SIDE: Final = 64
_GRID: Final = 4
_MAX_REGIONS: Final = 32
_MIN_AREA: Final = 4

_START: Final = (255, 0, 254)
_END: Final = (254, 0, 255)
_CHECK: Final = 77
"""Blue value of a column that holds one byte of text; its green is 255 minus the byte."""


def _info(kind: str) -> EngineInfo:
    model = f"fake-{kind}"
    return EngineInfo("fake", model, fake_weights(model), "cpu", "fp32")


def fake_weights(model: str) -> str:
    """Stand in for a weights digest, so that provenance looks as it always does."""
    return hashlib.sha256(model.encode()).hexdigest()


def nearest_colours(image: RgbImage) -> NDArray[np.int32]:
    """Index of the nearest named colour of every pixel, (H, W)."""
    # |p - c|^2 without |p|^2, which is the same for every colour. All whole numbers below 2^24,
    # so float32 is exact, whatever order BLAS adds in.
    scores = image.astype(np.float32) @ (2 * _PALETTE.T) - (_PALETTE**2).sum(1)
    nearest: NDArray[np.int32] = scores.argmax(axis=2).astype(np.int32)
    return nearest


class FakeEmbedder:
    """Vectors that say how much of an image has which colour.

    Args:
        config: Length of the vectors.
    """

    def __init__(self, config: FakeEmbedConfig) -> None:
        self.info = _info("embedder")
        self.logit_scale = 20.0
        self.logit_bias: float | None = -10.0
        directions = np.random.default_rng(0).standard_normal((len(_COLOURS), config.dimensions))
        if config.dimensions >= len(_COLOURS):  # then no two colours need resemble each other
            directions = np.linalg.qr(directions.T)[0].T
        self._directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def embed_images(self, images: Sequence[RgbImage]) -> Vectors:
        """Embed images by their colours; row i belongs to image i, (N, D), unit length."""
        return self._rows([self._mixed(_shares(image)) for image in images])

    def embed_texts(self, prompts: Sequence[str]) -> Vectors:
        """Embed prompts by the colours they name; a prompt without any gets its own direction."""
        return self._rows([self._of_prompt(prompt) for prompt in prompts])

    def embed_patches(self, images: Sequence[RgbImage]) -> list[Patches]:
        """Embed the cells of a grid of 4 x 4 by their colours."""
        return [self._patches(image) for image in images]

    def _patches(self, image: RgbImage) -> Patches:
        height, width = image.shape[:2]
        bands = np.array_split(image, min(_GRID, height), axis=0)
        cells = [np.array_split(band, min(_GRID, width), axis=1) for band in bands]
        rows = [self._mixed(_shares(cell)) for band in cells for cell in band]
        vectors = self._rows(rows).reshape(len(cells), len(cells[0]), -1)
        return Patches(vectors, Box(0.0, 0.0, float(width), float(height)))

    def _of_prompt(self, prompt: str) -> NDArray[np.float64]:
        words = re.findall("[a-z]+", prompt.lower())
        named = {_SYNONYMS.get(word, word) for word in words} & _COLOURS.keys()
        if named:
            return self._mixed(np.array([name in named for name in _COLOURS], np.float64))
        seed = int.from_bytes(hashlib.sha256(prompt.casefold().encode()).digest()[:8], "big")
        own: NDArray[np.float64] = np.random.default_rng(seed).standard_normal(
            self._directions.shape[1]
        )
        return own

    def _mixed(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        # Summed row by row, not by BLAS: the same bits whatever else is in the batch.
        mixed: NDArray[np.float64] = (shares[:, None] * self._directions).sum(axis=0)
        return mixed

    def _rows(self, rows: list[NDArray[np.float64]]) -> Vectors:
        out = np.zeros((len(rows), self._directions.shape[1]), np.float32)
        for i, row in enumerate(rows):
            out[i] = row / np.linalg.norm(row)
        return out


def _shares(image: RgbImage) -> NDArray[np.float64]:
    step = max(1, -(-max(image.shape[:2]) // _MAX_SAMPLES_PER_SIDE))
    counts = np.bincount(nearest_colours(image[::step, ::step]).ravel(), minlength=len(_COLOURS))
    shares: NDArray[np.float64] = np.sqrt(counts / counts.sum())  # a small object still shows
    return shares


class FakeSegmenter:
    """Connected areas of one colour; the largest 32 of an image."""

    def __init__(self) -> None:
        self.info = _info("segmenter")
        self.images_at_once = 1

    def segment(self, images: Sequence[RgbImage]) -> list[tuple[Region, ...]]:
        """Find areas; per image best predicted IoU first, none of them empty."""
        return [_areas(image) for image in images]


def _areas(image: RgbImage) -> tuple[Region, ...]:
    labels = connected(nearest_colours(image))
    names, sizes = np.unique(labels, return_counts=True)
    largest = sorted(zip(-sizes, names, strict=True))[:_MAX_REGIONS]
    regions = [_region(labels == name) for size, name in largest if -size >= _MIN_AREA]
    return tuple(sorted(regions, key=lambda r: (-r.predicted_iou, r.point.y, r.point.x)))


def connected(colours: NDArray[np.int32]) -> NDArray[np.int64]:
    """Label the 4-connected areas of one value with the smallest flat index in each.

    Minima run along rows, then columns, until nothing changes: as many rounds as the most winding
    area has turns.

    Args:
        colours: (H, W).

    Returns:
        (H, W) labels.
    """
    labels = np.arange(colours.size, dtype=np.int64).reshape(colours.shape)
    while True:
        along = _spread(labels, colours)
        across = _spread(along.T, colours.T).T
        if np.array_equal(across, labels):
            return labels
        labels = across


def _spread(labels: NDArray[np.int64], colours: NDArray[np.int32]) -> NDArray[np.int64]:
    """Give every run of one colour along a row the smallest label in it."""
    begins = np.ones(colours.shape, np.bool_)
    begins[:, 1:] = colours[:, 1:] != colours[:, :-1]
    starts = np.flatnonzero(begins.ravel())
    smallest = np.minimum.reduceat(labels.ravel(), starts)
    lengths = np.diff(np.append(starts, colours.size))
    return np.repeat(smallest, lengths).reshape(colours.shape)


def _region(bitmap: Bitmap) -> Region:
    mask = rle.encode(bitmap)
    box, area = rle.tight_box(mask), rle.area(mask)
    assert box is not None
    row, column = np.argwhere(bitmap)[area // 2].tolist()
    filled = area / (box.width * box.height)
    return Region(mask, box, area, 0.5 + 0.5 * filled, 1.0, Point(float(column), float(row)))


class FakeReader:
    """Reads what ``draw_text`` wrote, and nothing else."""

    def __init__(self) -> None:
        self.info = _info("reader")

    def read(self, images: Sequence[RgbImage]) -> list[tuple[TextSpan, ...]]:
        """Read text; per image top to bottom, then left to right."""
        return [_texts(image) for image in images]


def draw_text(image: RgbImage, text: str, x: int, y: int, height: int = 8) -> RgbImage:
    """Draw text that only ``FakeReader`` can read: one column of pixels per UTF-8 byte.

    Args:
        image: Where to draw; it is copied.
        text: Not empty.
        x: Left edge in pixels.
        y: Top edge in pixels.
        height: Height in pixels.

    Returns:
        The copy. It must reach the reader without loss: as an array, or through PNG.

    Raises:
        ValueError: The text does not fit into the image, or there is none.
    """
    data = text.encode()
    columns = np.array([_START, *[(b, 255 - b, _CHECK) for b in data], _END], np.uint8)
    rows_end, columns_end = y + height, x + len(columns)
    if not data or x < 0 or y < 0 or rows_end > image.shape[0] or columns_end > image.shape[1]:
        raise ValueError(f"{text!r} needs {len(columns)}x{height} pixels at {x},{y}")
    out = image.copy()
    out[y:rows_end, x:columns_end] = columns
    return out


def _texts(image: RgbImage) -> tuple[TextSpan, ...]:
    starts = (image == _START).all(axis=2)
    tops = starts.copy()
    tops[1:] &= ~starts[:-1]
    spans = (_text_at(image, starts, x, y) for y, x in np.argwhere(tops).tolist())
    return tuple(span for span in spans if span is not None)


def _text_at(image: RgbImage, starts: Bitmap, x: int, y: int) -> TextSpan | None:
    row = image[y, x + 1 :].astype(np.int32)
    ends = np.flatnonzero((row == _END).all(axis=1))
    data = row[: ends[0]] if len(ends) else row[:0]
    if not len(data) or (data[:, 2] != _CHECK).any() or (data[:, 0] + data[:, 1] != 255).any():  # noqa: PLR2004
        return None
    below = np.flatnonzero(~starts[y:, x])
    height = int(below[0]) if len(below) else image.shape[0] - y
    text = data[:, 0].astype(np.uint8).tobytes().decode("utf-8", errors="replace")
    return TextSpan(_rectangle(x, y, len(data) + 2, height), text, 1.0)


def _rectangle(x: float, y: float, width: float, height: float) -> Quad:
    x, y, right, bottom = float(x), float(y), float(x + width), float(y + height)
    return Point(x, y), Point(right, y), Point(right, bottom), Point(x, bottom)
