"""Outlines and fills of the synthetic objects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2  # noqa: TID253
import numpy as np

from pipeline.synthetic.vocabulary import COLORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FRACTION_BITS = 3
_DARK = 70
_CROSS_ARM = 0.33


def _square(radius: float) -> NDArray[np.float64]:
    return _spokes(np.deg2rad([45, 135, 225, 315]), radius * 1.05)


def _triangle(radius: float) -> NDArray[np.float64]:
    return _spokes(np.deg2rad([-90, 30, 150]), radius * 1.1)


def _star(radius: float) -> NDArray[np.float64]:
    index = np.arange(10)
    return _spokes(np.deg2rad(-90 + 36 * index), np.where(index % 2 == 0, 1.1, 0.45) * radius)


def _cross(radius: float) -> NDArray[np.float64]:
    w = _CROSS_ARM
    quarter = np.array([(w, -1.0), (w, -w), (1.0, -w)])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    corners = [quarter @ np.linalg.matrix_power(turn, k) for k in range(4)]
    return np.concatenate(corners) * radius


def _heart(radius: float) -> NDArray[np.float64]:
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y], 1) / 16 * radius


def _spokes(
    angles: NDArray[np.float64], radius: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.stack([np.cos(angles) * radius, np.sin(angles) * radius], 1)


_POLYGONS = {
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "heart": _heart,
}


def _fixed(value: float) -> int:
    return round(value * (1 << _FRACTION_BITS))


def _disc(canvas: NDArray[np.uint8], x: float, y: float, radius: float, value: int) -> None:
    centre = (_fixed(x), _fixed(y))
    cv2.circle(canvas, centre, _fixed(radius), value, -1, cv2.LINE_AA, _FRACTION_BITS)


def _round_shape(
    canvas: NDArray[np.uint8], shape: str, centre: tuple[float, float], radius: float, angle: float
) -> None:
    x, y = centre
    _disc(canvas, x, y, radius, 255)
    if shape == "ring":
        _disc(canvas, x, y, radius * 0.55, 0)
    elif shape == "crescent":
        bite = radius * 0.5
        _disc(canvas, x + math.cos(angle) * bite, y + math.sin(angle) * bite, radius * 0.85, 0)


def _polygon(
    canvas: NDArray[np.uint8], shape: str, centre: tuple[float, float], radius: float, angle: float
) -> None:
    cos, sin = math.cos(angle), math.sin(angle)
    points = _POLYGONS[shape](radius) @ np.array([[cos, sin], [-sin, cos]]) + np.array(centre)
    fixed = (points * (1 << _FRACTION_BITS)).round().astype(np.int32)
    cv2.fillPoly(canvas, [fixed], (255,), cv2.LINE_AA, _FRACTION_BITS)


def draw_shape(
    shape: str,
    frame: tuple[int, int],
    centre: tuple[float, float],
    radius: float,
    angle: float,
) -> NDArray[np.uint8]:
    """Draw one anti-aliased shape.

    Args:
        shape: One of ``SHAPES``.
        frame: Height and width of the image, in pixels.
        centre: Centre (x, y) in pixels of the upright image.
        radius: Half the size of the shape, in pixels.
        angle: Rotation in radians; for a crescent the direction of its opening.

    Returns:
        Coverage as uint8 (H, W), 0 outside and 255 inside.

    Raises:
        KeyError: ``shape`` is none of ``SHAPES``.
    """
    canvas = np.zeros(frame, np.uint8)
    if shape in {"circle", "ring", "crescent"}:
        _round_shape(canvas, shape, centre, radius, angle)
    else:
        _polygon(canvas, shape, centre, radius, angle)
    return canvas


def _pattern(
    texture: str, rng: np.random.Generator, frame: tuple[int, int], scale: float
) -> NDArray[np.bool_]:
    yy, xx = np.mgrid[: frame[0], : frame[1]].astype(np.float32)
    if texture == "striped":
        angle, period = rng.uniform(0, np.pi), rng.uniform(6, 9) * scale
        wave = np.sin((xx * np.cos(angle) + yy * np.sin(angle)) * 2 * np.pi / period)
        return np.asarray(wave > 0.25)  # noqa: PLR2004 - a bit less than half of each period
    period = rng.uniform(7, 9) * scale
    off_x, off_y = xx % period - period / 2, yy % period - period / 2
    return np.asarray(off_x**2 + off_y**2 < (period * 0.28) ** 2)


def fill(
    color: str, texture: str, rng: np.random.Generator, frame: tuple[int, int], scale: float
) -> NDArray[np.float32]:
    """Paint a patch in one colour and texture.

    Args:
        color: A key of ``COLORS``.
        texture: One of ``TEXTURES``.
        rng: Source of the colour jitter, the pattern's phase and the grain.
        frame: Height and width of the patch, in pixels.
        scale: Size of the pattern relative to a 256 px scene.

    Returns:
        The patch as float32 (H, W, 3), RGB, around 0..255 but not clipped.
    """
    base = np.array(COLORS[color], np.float32) + rng.uniform(-12, 12, 3).astype(np.float32)
    patch: NDArray[Any] = np.ones((*frame, 3), np.float32) * base
    if texture != "solid":
        other = base * 0.45 if base.mean() > _DARK else base * 0.4 + 150
        patch[_pattern(texture, rng, frame, scale)] = other
    return patch + rng.standard_normal((*frame, 1), dtype=np.float32) * 3
