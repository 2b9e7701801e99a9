"""Batches for the tiny CLIP model: whole scenes and crops with everything that is true of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np

from data.train_tiny.cache import PLATE
from data.train_tiny.prompts import INDEX, SIGN, TAGS
from pipeline.synthetic.vocabulary import BACKGROUNDS, COLORS, SHAPES, TEXTURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from data.train_tiny.cache import Sample, Shape

PATCH: Final = 8
SIDE: Final = 64
GROUPS: Final = ("shape", "color", "texture", "background")
NOTHING: Final = -100
"""Patch target where nothing is asked; the value ``cross_entropy`` ignores."""
MEAN_RGB: Final = (122, 117, 104)
_CROP_CHANCE = 0.7
_MASKED_CHANCE = 0.25
_NAMES: Final = (SHAPES, tuple(COLORS), TEXTURES, BACKGROUNDS)
_BACKGROUND_TAGS: Final = [INDEX["background", name] for name in BACKGROUNDS]


@dataclass(frozen=True)
class View:
    """One image of a batch.

    Attributes:
        pixels: uint8 (SIDE, SIDE, 3), RGB.
        truth: float32 (len(TAGS),): 1 true, 0 false, -1 not asked.
        patches: int64 (len(GROUPS), patches): index in the group, or ``NOTHING``.
    """

    pixels: NDArray[np.uint8]
    truth: NDArray[np.float32]
    patches: NDArray[np.int64]


@dataclass(frozen=True)
class _Cut:
    window: tuple[slice, slice]
    target: int  # index of the object a crop is about, -1 for the scene
    masked: bool


def tags_of(item: Shape) -> list[int]:
    """Everything that is true of a shape.

    Args:
        item: A shape.

    Returns:
        Positions in ``TAGS``.
    """
    keys = [
        ("shape", item.shape),
        ("color", item.color),
        ("texture", item.texture),
        ("color-shape", item.color, item.shape),
    ]
    if item.texture != "solid":
        keys.append(("texture-shape", item.texture, item.shape))
    return [INDEX[key] for key in keys]


def _window(box: tuple[float, ...], side: int) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (int(np.clip(round(edge), 0, side)) for edge in box)
    x0, y0 = min(x0, side - 4), min(y0, side - 4)
    return slice(y0, max(y1, y0 + 4)), slice(x0, max(x1, x0 + 4))


def _scene_cut(rng: np.random.Generator, side: int) -> _Cut:
    size = side if rng.random() < 0.5 else int(side * rng.uniform(0.75, 1))  # noqa: PLR2004 - a fair coin
    x, y = rng.integers(0, side - size + 1, 2)
    return _Cut(_window((x, y, x + size, y + size), side), -1, masked=False)


def _object_cut(sample: Sample, rng: np.random.Generator) -> _Cut:
    target = int(rng.integers(len(sample.objects)))
    x0, y0, x1, y1 = sample.objects[target].box
    wide, tall = x1 - x0, y1 - y0
    if rng.random() < 0.4:  # noqa: PLR2004 - share of square crops
        wide = tall = max(wide, tall)
    grow = rng.uniform(1.0, 1.45)
    # Each edge moves on its own: predicted masks are cut short or run over on one side.
    left, top, right, bottom = rng.normal(0, 0.06, 4)
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    box = (
        cx - wide * (grow / 2 + left),
        cy - tall * (grow / 2 + top),
        cx + wide * (grow / 2 + right),
        cy + tall * (grow / 2 + bottom),
    )
    window = _window(box, sample.labels.shape[0])
    return _Cut(window, target, masked=bool(rng.random() < _MASKED_CHANCE))


def _mark(truth: NDArray[np.float32], tags: list[int], value: int) -> None:
    keep = truth[tags] != 1
    truth[np.array(tags)[keep]] = value


def _object_truth(sample: Sample, cut: _Cut, truth: NDArray[np.float32]) -> None:
    part = sample.labels[cut.window]
    seen, total = np.bincount(part.ravel(), minlength=256), np.bincount(sample.labels.ravel())
    for index, item in enumerate(sample.objects):
        visible = seen[index + 1]
        share = visible / max(1, total[index + 1])
        if index == cut.target or (share > 0.5 and visible > 0.004 * part.size):  # noqa: PLR2004
            _mark(truth, tags_of(item), 1)
        elif share > 0.03:  # noqa: PLR2004 - neither there nor absent
            _mark(truth, tags_of(item), -1)
    if sample.words:
        share = seen[PLATE] / max(1, total[PLATE])
        truth[INDEX["sign", SIGN]] = 1 if share > 0.6 else (-1 if share > 0.03 else 0)  # noqa: PLR2004


def _truth(sample: Sample, cut: _Cut) -> NDArray[np.float32]:
    truth = np.zeros(len(TAGS), np.float32)
    truth[INDEX["background", sample.background]] = 1
    if cut.masked:
        truth[tags_of(sample.objects[cut.target])] = 1
        truth[_BACKGROUND_TAGS] = -1
        return truth
    _object_truth(sample, cut, truth)
    if cut.target >= 0 and (sample.labels[cut.window] == cut.target + 1).mean() > 0.6:  # noqa: PLR2004
        truth[_BACKGROUND_TAGS] = -1
    return truth


def _patch_targets(sample: Sample, labels: NDArray[np.uint8]) -> NDArray[np.int64]:
    grid = SIDE // PATCH
    cells = labels.reshape(grid, PATCH, grid, PATCH)[:, 2:6, :, 2:6]
    cells = cells.transpose(0, 2, 1, 3).reshape(grid * grid, -1)
    pure = np.where(cells.min(1) == cells.max(1), cells.min(1), 255)
    targets = np.full((len(GROUPS), grid * grid), NOTHING, np.int64)
    for index, item in enumerate(sample.objects):
        here = pure == index + 1
        for row, name in enumerate((item.shape, item.color, item.texture)):
            targets[row, here] = _NAMES[row].index(name)
    targets[3, pure == 0] = BACKGROUNDS.index(sample.background)
    return targets


def _cut_out(
    sample: Sample, cut: _Cut, rng: np.random.Generator
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    image, labels = sample.image[cut.window], sample.labels[cut.window]
    if not cut.masked:
        return image, labels
    inside = labels == cut.target + 1
    flat = MEAN_RGB if rng.random() < 0.7 else rng.integers(0, 255, 3)  # noqa: PLR2004
    image = np.where(inside[..., None], image, np.array(flat, np.uint8))
    return image, np.where(inside, labels, np.uint8(255))


def squash(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Resize to the model's input without keeping the aspect.

    Args:
        image: uint8 (H, W, 3), RGB.

    Returns:
        uint8 (SIDE, SIDE, 3); averaged when shrunk, like Pillow's filters.
    """
    smooth = cv2.INTER_AREA if image.shape[0] > SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=smooth))


def draw_view(sample: Sample, rng: np.random.Generator) -> View:
    """Cut a random view out of a scene.

    Args:
        sample: A square scene.
        rng: Source of the crop, the masking and the flip.

    Returns:
        The view with what is true of it.
    """
    crop = bool(sample.objects) and rng.random() < _CROP_CHANCE
    cut = _object_cut(sample, rng) if crop else _scene_cut(rng, sample.labels.shape[0])
    image, labels = _cut_out(sample, cut, rng)
    pixels = squash(np.ascontiguousarray(image))
    small = cv2.resize(labels, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    if rng.random() < 0.5:  # noqa: PLR2004 - a fair coin
        pixels, small = pixels[:, ::-1], small[:, ::-1]
    return View(pixels, _truth(sample, cut), _patch_targets(sample, np.asarray(small)))


def whole_view(sample: Sample) -> View:
    """The scene as it is.

    Args:
        sample: A square scene.

    Returns:
        The view with what is true of it.
    """
    full = (slice(None), slice(None))
    truth = _truth(sample, _Cut(full, -1, masked=False))
    small = cv2.resize(sample.labels, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    return View(squash(sample.image), truth, _patch_targets(sample, np.asarray(small)))
