"""Synthetic scenes whose ground truth is known by construction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import cv2  # noqa: TID253
import numpy as np

from pipeline.synthetic.backgrounds import paint_background
from pipeline.synthetic.shapes import draw_shape, fill
from pipeline.synthetic.text import draw_plate, tight_box
from pipeline.synthetic.vocabulary import BACKGROUNDS, COLORS, SHAPES, TEXTURES, WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Box = tuple[int, int, int, int]

MIN_VISIBLE_SHARE: Final = 0.45
"""Share of an object that later objects leave visible at least."""
MIN_AREA: Final = 80
"""Smallest drawn object, in pixels."""
_HALF: Final = 127
_OBJECT_TRIES: Final = 60
_PLATE_TRIES: Final = 20
_SHADOW_MARGIN: Final = 14


@dataclass(frozen=True)
class SceneObject:
    """One shape in a scene.

    Attributes:
        shape: One of ``SHAPES``.
        color: A key of ``COLORS``.
        texture: One of ``TEXTURES``.
        mask: Visible pixels, bool (H, W) in the scene's frame.
        box: Tight box of ``mask`` (x0, y0, x1, y1) in pixels, half open.
    """

    shape: str
    color: str
    texture: str
    mask: NDArray[np.bool_]
    box: Box


@dataclass(frozen=True)
class SceneWord:
    """One word in a scene.

    Attributes:
        text: The word, as drawn.
        box: Tight ink box (x0, y0, x1, y1) in pixels, half open.
        plate: Box of the plate under the word, same convention; nothing overlaps it.
    """

    text: str
    box: Box
    plate: Box


@dataclass(frozen=True)
class Scene:
    """An image and everything that is in it.

    Attributes:
        image: uint8 (H, W, 3), RGB, upright.
        objects: Shapes, back to front; their masks are disjoint.
        words: Words on plates.
        background: One of ``BACKGROUNDS``.
    """

    image: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]
    words: tuple[SceneWord, ...]
    background: str


@dataclass
class _Draft:
    rng: np.random.Generator
    canvas: NDArray[Any]
    scale: float
    objects: list[SceneObject] = field(default_factory=list)
    full_areas: list[int] = field(default_factory=list)
    words: list[SceneWord] = field(default_factory=list)

    @property
    def frame(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.canvas.shape[0], self.canvas.shape[1]

    @property
    def short_side(self) -> int:
        """The shorter of height and width, in pixels."""
        return min(self.frame)


def _random_cover(draft: _Draft, shape: str) -> NDArray[np.uint8]:
    rng, (height, width) = draft.rng, draft.frame
    radius = float(rng.uniform(0.07, 0.2)) * draft.short_side
    margin = radius * 0.7
    centre = float(rng.uniform(margin, width - margin)), float(rng.uniform(margin, height - margin))
    turn = np.pi if shape == "crescent" else 0.35
    return draw_shape(shape, draft.frame, centre, radius, float(rng.uniform(-turn, turn)))


def _fits(draft: _Draft, color: str, cover: NDArray[np.uint8]) -> bool:
    solid = cover > _HALF
    if np.count_nonzero(solid) < MIN_AREA:
        return False
    near = cv2.dilate(cover, np.ones((5, 5), np.uint8)) > 0
    for area, other in zip(draft.full_areas, draft.objects, strict=True):
        if np.count_nonzero(other.mask & ~solid) < MIN_VISIBLE_SHARE * area:
            return False
        if other.color == color and bool((other.mask & near).any()):
            return False
    return True


def _window(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    x0, y0, x1, y1 = tight_box(mask)
    return slice(max(0, y0 - margin), y1 + margin), slice(max(0, x0 - margin), x1 + margin)


def _cast_shadow(draft: _Draft, cover: NDArray[np.uint8]) -> None:
    window = _window(cover > 0, _SHADOW_MARGIN)
    shift = np.array([[1, 0, 4], [0, 1, 3]], np.float32)
    part = np.ascontiguousarray(cover[window])
    moved = cv2.warpAffine(part, shift, (part.shape[1], part.shape[0]))
    soft = cv2.GaussianBlur(moved, (0, 0), 3).astype(np.float32)[..., None] / 255
    draft.canvas[window] *= 1 - 0.35 * soft


def _paint(draft: _Draft, color: str, texture: str, cover: NDArray[np.uint8]) -> None:
    window = _window(cover > 0, 0)
    alpha = cover[window].astype(np.float32)[..., None] / 255
    part = draft.canvas[window]
    patch = fill(color, texture, draft.rng, (part.shape[0], part.shape[1]), draft.scale)
    draft.canvas[window] = part * (1 - alpha) + patch * alpha


def _hide(item: SceneObject, solid: NDArray[np.bool_]) -> SceneObject:
    mask = item.mask & ~solid
    return replace(item, mask=mask, box=tight_box(mask))


def _try_object(draft: _Draft, shapes: Sequence[str], colors: Sequence[str]) -> bool:
    rng = draft.rng
    shape, color = (names[int(rng.integers(len(names)))] for names in (shapes, colors))
    texture = TEXTURES[rng.choice(3, p=[0.6, 0.2, 0.2])]
    cover = _random_cover(draft, shape)
    if not _fits(draft, color, cover):
        return False
    if rng.random() < 0.4:  # noqa: PLR2004 - share of objects with a shadow
        _cast_shadow(draft, cover)
    _paint(draft, color, texture, cover)
    solid = cover > _HALF
    draft.objects = [_hide(item, solid) for item in draft.objects]
    draft.objects.append(SceneObject(shape, color, texture, solid, tight_box(solid)))
    draft.full_areas.append(int(np.count_nonzero(solid)))
    return True


def _shifted(box: Box, x: int, y: int) -> Box:
    return box[0] + x, box[1] + y, box[2] + x, box[3] + y


def _try_word(draft: _Draft, words: Sequence[str]) -> bool:
    rng, (height, width) = draft.rng, draft.frame
    plate = draw_plate(words[int(rng.integers(len(words)))], rng, draft.short_side)
    tall, wide = plate.image.shape[:2]
    if wide >= width - 4 or tall >= height - 4:
        return False
    x, y = int(rng.integers(1, width - wide)), int(rng.integers(1, height - tall))
    window = slice(y, y + tall), slice(x, x + wide)
    if any(item.mask[window].any() for item in draft.objects):
        return False
    draft.canvas[window] = plate.image
    box = _shifted(plate.box, x, y)
    draft.words.append(SceneWord(plate.text, box, (x, y, x + wide, y + tall)))
    return True


def _expose(draft: _Draft) -> NDArray[np.uint8]:
    rng = draft.rng
    grain = rng.standard_normal(draft.canvas.shape, dtype=np.float32) * np.float32(
        rng.uniform(1, 5)
    )
    exposed = draft.canvas * np.float32(rng.uniform(0.85, 1.12)) + grain
    return np.asarray(np.clip(exposed, 0, 255).astype(np.uint8))


def make_scene(
    seed: int,
    size: int = 256,
    *,
    height: int | None = None,
    count: int | None = None,
    word_chance: float = 0.35,
    words: Sequence[str] = WORDS,
    shapes: Sequence[str] = SHAPES,
    colors: Sequence[str] = tuple(COLORS),
) -> Scene:
    """Make one scene; the same arguments always make the same scene.

    Args:
        seed: Seed of the scene; see the ``*_SEEDS`` ranges in ``vocabulary``.
        size: Width in pixels.
        height: Height in pixels; the width when absent.
        count: Number of shapes wanted, 1 to 5 at random when absent; fewer where they do not fit.
        word_chance: Chance of a word plate, 0..1.
        words: Words to choose from.
        shapes: Shapes to choose from.
        colors: Colours to choose from.

    Returns:
        The image with exact visible masks, tight boxes and words.
    """
    rng = np.random.default_rng(seed)
    rows = height or size
    background = BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    canvas = np.ascontiguousarray(paint_background(background, rng, rows, size), np.float32)
    draft = _Draft(rng, canvas, min(rows, size) / 256)
    wanted = count or int(rng.integers(1, 6))
    for _ in range(_OBJECT_TRIES):
        if len(draft.objects) >= wanted:
            break
        _try_object(draft, shapes, colors)
    if rng.random() < word_chance:
        any(_try_word(draft, words) for _ in range(_PLATE_TRIES))
    return Scene(_expose(draft), tuple(draft.objects), tuple(draft.words), background)
