"""Batches for the tiny Segment Anything model: images, prompts and the masks they ask for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from pipeline.synthetic.text import tight_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from data.train_tiny.cache import Sample

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
MIN_AREA = 60
POINTS = 4
BOXES = 2
BACKGROUND_POINTS = 2
PROMPTS = POINTS + BOXES + BACKGROUND_POINTS


class Kind(IntEnum):
    """What a prompt is; a background point must be answered with a predicted IoU of 0."""

    BACKGROUND = 0
    POINT = 1
    BOX = 2


@dataclass(frozen=True)
class Prompt:
    """One prompt in the frame of the scene.

    Attributes:
        kind: Point, box or background point.
        point: (x, y) in pixels.
        box: (x0, y0, x1, y1) in pixels; zeros for points.
        mask: The wanted mask, uint8 (H, W) of 0 and 1.
    """

    kind: Kind
    point: tuple[float, float]
    box: tuple[float, float, float, float]
    mask: NDArray[np.uint8]


@dataclass(frozen=True)
class Batch:
    """A training batch; coordinates are in pixels of the model's input.

    Attributes:
        images: float (B, 3, S, S), normalised RGB.
        points: float (B*PROMPTS, 2), (x, y).
        boxes: float (B*PROMPTS, 4), (x0, y0, x1, y1).
        kinds: long (B*PROMPTS,), values of ``Kind``.
        masks: float (B*PROMPTS, M, M), coverage 0..1 at the decoder's resolution.
    """

    images: Tensor
    points: Tensor
    boxes: Tensor
    kinds: Tensor
    masks: Tensor


def _pick(mask: NDArray[Any], rng: np.random.Generator) -> tuple[float, float]:
    places = np.flatnonzero(mask)
    y, x = divmod(int(places[rng.integers(len(places))]), mask.shape[1])
    return x + 0.5, y + 0.5


def _background(masks: Sequence[NDArray[np.uint8]], rng: np.random.Generator, side: int) -> Prompt:
    empty, anywhere = np.zeros((side, side), np.uint8), np.ones((side, side), bool)
    if not masks:
        return Prompt(Kind.BACKGROUND, _pick(anywhere, rng), (0, 0, 1, 1), empty)
    taken = np.maximum.reduce(masks)
    free = taken == 0
    if rng.random() < 0.4:  # noqa: PLR2004 - close calls are where the mask generator errs
        close = (cv2.dilate(taken, np.ones((25, 25), np.uint8)) > 0) & free
        free = close if close.any() else free
    return Prompt(Kind.BACKGROUND, _pick(free, rng), (0, 0, 1, 1), empty)


def _point(mask: NDArray[np.uint8], rng: np.random.Generator) -> Prompt:
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8))
    return Prompt(Kind.POINT, _pick(inner if inner.any() else mask, rng), (0, 0, 1, 1), mask)


def _box(mask: NDArray[np.uint8], rng: np.random.Generator) -> Prompt:
    box = np.array(tight_box(mask > 0), np.float64)
    size = np.tile(box[2:] - box[:2], 2)
    x0, y0, x1, y1 = box + np.clip(rng.normal(0, 0.06, 4) * size, -12, 12)
    return Prompt(Kind.BOX, (0, 0), (x0, y0, x1, y1), mask)


def _prompts(
    masks: Sequence[NDArray[np.uint8]], rng: np.random.Generator, side: int
) -> list[Prompt]:
    wanted = [_background(masks, rng, side) for _ in range(BACKGROUND_POINTS if masks else PROMPTS)]
    if masks:
        wanted += [_point(masks[int(rng.integers(len(masks)))], rng) for _ in range(POINTS)]
        wanted += [_box(masks[int(rng.integers(len(masks)))], rng) for _ in range(BOXES)]
    return wanted


def _flip(
    image: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    for axis in (0, 1):
        if rng.random() < 0.5:  # noqa: PLR2004 - a fair coin
            image, labels = np.flip(image, axis), np.flip(labels, axis)
    return np.array(image), np.array(labels)


def normalise(image: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Shrink a scene to the model's input and normalise it.

    Args:
        image: uint8 (H, H, 3), RGB.
        side: Input size of the model in pixels.

    Returns:
        float32 (side, side, 3).
    """
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray((small - np.array(PIXEL_MEAN, np.float32)) / np.array(PIXEL_STD, np.float32))


def _pad(pixels: NDArray[np.float32], labels: NDArray[np.uint8], rng: np.random.Generator) -> None:
    # A wide or tall image reaches the model with a blank band; scenes here are square.
    keep = float(rng.uniform(0.55, 0.95))
    cut = (slice(None),) * int(rng.integers(2))
    pixels[(*cut, slice(round(keep * pixels.shape[0]), None))] = 0
    labels[(*cut, slice(round(keep * labels.shape[0]), None))] = 255


def _one(
    sample: Sample, rng: np.random.Generator, side: int
) -> tuple[NDArray[np.float32], list[Prompt]]:
    image, labels = _flip(sample.image, sample.labels, rng)
    pixels = normalise(image, side)
    pixels = pixels * np.float32(rng.uniform(0.8, 1.2)) + rng.uniform(-0.2, 0.2, 3).astype(
        np.float32
    )
    if rng.random() < 0.15:  # noqa: PLR2004 - share of images with a blank band
        _pad(pixels, labels, rng)
    values = [v for v in np.unique(labels) if 0 < v < 255]  # noqa: PLR2004 - 255 is the blank band
    masks = [(labels == value).astype(np.uint8) for value in values]
    masks = [mask for mask in masks if np.count_nonzero(mask) > MIN_AREA]
    return pixels, _prompts(masks, rng, labels.shape[0])


def make_batch(samples: Sequence[Sample], rng: np.random.Generator, side: int, out: int) -> Batch:
    """Draw augmented images with prompts.

    Args:
        samples: Scenes of one square size.
        rng: Source of flips, brightness and prompts.
        side: Input size of the model in pixels.
        out: Size of the decoder's masks in pixels.

    Returns:
        The batch; per image first background points, then points, then boxes.
    """
    rows = [_one(sample, rng, side) for sample in samples]
    prompts = [prompt for _, row in rows for prompt in row]
    scale = side / samples[0].labels.shape[0]
    masks = [
        cv2.resize(p.mask.astype(np.float32), (out, out), interpolation=cv2.INTER_AREA)
        for p in prompts
    ]
    return Batch(
        torch.from_numpy(np.stack([pixels for pixels, _ in rows])).permute(0, 3, 1, 2),
        torch.tensor([p.point for p in prompts], dtype=torch.float32) * scale,
        torch.tensor([p.box for p in prompts], dtype=torch.float32) * scale,
        torch.tensor([int(p.kind) for p in prompts]),
        torch.from_numpy(np.stack(masks)),
    )
