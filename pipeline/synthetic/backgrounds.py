"""Muted procedural backgrounds, so that saturated objects stay unambiguous."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2  # noqa: TID253
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Canvas = NDArray[Any]
    Painter = Callable[[np.random.Generator, int, int], Canvas]


def _noise(rng: np.random.Generator, height: int, width: int, grain: int) -> Canvas:
    cells = (max(2, height // grain + 2), max(2, width // grain + 2))
    coarse = rng.standard_normal(cells, dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))[..., None]


def _flat(rng: np.random.Generator, color: tuple[int, int, int]) -> Canvas:
    jitter: Canvas = rng.uniform(-14, 14, 3).astype(np.float32)
    return np.array(color, np.float32) + jitter


def _lines(canvas: Canvas, rows: range, color: tuple[int, int, int]) -> None:
    for y in rows:
        cv2.line(canvas, (0, y), (canvas.shape[1], y), color, 2)


def _sky(rng: np.random.Generator, height: int, width: int) -> Canvas:
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    top, bottom = _flat(rng, (125, 175, 225)), _flat(rng, (205, 222, 238))
    clouds = 12 * _noise(rng, height, width, 40)
    return np.asarray(top * (1 - down) + bottom * down + clouds)


def _grass(rng: np.random.Generator, height: int, width: int) -> Canvas:
    blades = 14 * _noise(rng, height, width, 3) + 9 * _noise(rng, height, width, 20)
    return np.asarray(_flat(rng, (112, 158, 82)) + blades * np.array([0.8, 1, 0.5], np.float32))


def _sand(rng: np.random.Generator, height: int, width: int) -> Canvas:
    grains = 8 * _noise(rng, height, width, 2) + 8 * _noise(rng, height, width, 30)
    return np.asarray(_flat(rng, (205, 182, 140)) + grains)


def _brick(rng: np.random.Generator, height: int, width: int) -> Canvas:
    canvas = np.ascontiguousarray(_flat(rng, (165, 95, 78)) + 5 * _noise(rng, height, width, 3))
    tall = int(rng.integers(14, 24))
    offset, wide, mortar = int(rng.integers(0, tall)), 2 * tall, (190, 180, 170)
    rows = range(offset - tall, height + tall, tall)
    _lines(canvas, rows, mortar)
    for k, y in enumerate(rows):
        for x in range((k % 2) * tall - wide, width + wide, wide):
            cv2.line(canvas, (x, y), (x, y + tall), mortar, 2)
    return canvas


def _waves(
    rng: np.random.Generator, height: int, width: int, grain: int, periods: tuple[float, float]
) -> Canvas:
    bend = _noise(rng, height, width, grain)
    rows = np.arange(height, dtype=np.float32)[:, None, None]
    return np.asarray(np.sin(rows / np.float32(rng.uniform(*periods)) + 2.2 * bend))


def _wood(rng: np.random.Generator, height: int, width: int) -> Canvas:
    grain = 14 * _waves(rng, height, width, 40, (4.0, 8.0))
    canvas = np.ascontiguousarray(_flat(rng, (150, 108, 68)) + grain)
    _lines(
        canvas, range(int(rng.integers(20, 60)), height, int(rng.integers(50, 80))), (85, 58, 35)
    )
    return canvas


def _water(rng: np.random.Generator, height: int, width: int) -> Canvas:
    return np.asarray(_flat(rng, (70, 140, 160)) + 16 * _waves(rng, height, width, 24, (3.0, 6.0)))


_PAINTERS: dict[str, Painter] = {
    "sky": _sky,
    "grass": _grass,
    "sand": _sand,
    "brick": _brick,
    "wood": _wood,
    "water": _water,
}


def paint_background(kind: str, rng: np.random.Generator, height: int, width: int) -> Canvas:
    """Paint one background.

    Args:
        kind: One of ``BACKGROUNDS``.
        rng: Source of the colour jitter and the pattern.
        height: Height in pixels.
        width: Width in pixels.

    Returns:
        The background as float32 (H, W, 3), RGB, around 0..255 but not clipped.

    Raises:
        KeyError: ``kind`` is none of ``BACKGROUNDS``.
    """
    return _PAINTERS[kind](rng, height, width)
