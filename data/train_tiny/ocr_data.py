"""Text for the tiny EasyOCR networks: word crops for the reader, word cores for the detector."""

from __future__ import annotations

import math
import string
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw

from pipeline.synthetic.backgrounds import paint_background
from pipeline.synthetic.text import FACE_COUNT, load_face, tight_box
from pipeline.synthetic.vocabulary import BACKGROUNDS, WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from data.train_tiny.cache import Sample

    Gray = NDArray[np.float32]

CHARACTERS: Final = string.ascii_uppercase + string.digits + string.ascii_lowercase
HEIGHT: Final = 64
_WIDEST: Final = 256
_STRIDE: Final = 4
_WORD_SHARE: Final = 0.45
_ALPHABETS: Final = (
    string.ascii_uppercase,
    string.ascii_lowercase,
    string.digits,
    string.ascii_uppercase + string.digits,
)
_ALPHABET_SHARES: Final = (0.6, 0.15, 0.1, 0.15)
_EDGE: Final = 24
_VIEW: Final = 160
MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32) * 255
DEVIATION: Final = np.array([0.229, 0.224, 0.225], np.float32) * 255


@dataclass(frozen=True)
class Crop:
    """A word as the reader sees it.

    Attributes:
        text: The word.
        pixels: float32 (HEIGHT, W), grey, 0..255.
        edges: x of the start of each character and of the end of the last, in pixels.
    """

    text: str
    pixels: Gray
    edges: tuple[float, ...]


def random_word(rng: np.random.Generator) -> str:
    """Draw a word of the scenes or a string of characters that look alike in no alphabet.

    Args:
        rng: Source of the choice.

    Returns:
        Two to six characters, or a word of ``WORDS``.
    """
    if rng.random() < _WORD_SHARE:
        return WORDS[int(rng.integers(len(WORDS)))]
    letters = _ALPHABETS[rng.choice(len(_ALPHABETS), p=_ALPHABET_SHARES)]
    return "".join(letters[i] for i in rng.integers(len(letters), size=rng.integers(2, 7)))


@cache
def _surroundings() -> tuple[NDArray[Any], ...]:
    rng = np.random.default_rng(7)
    return tuple(
        paint_background(kind, rng, 256, 512).mean(2) for kind in BACKGROUNDS for _ in range(4)
    )


def _around(rng: np.random.Generator, height: int, width: int) -> Gray:
    pool = _surroundings()
    wall = pool[int(rng.integers(len(pool)))]
    y, x = rng.integers(0, 256 - height), rng.integers(0, 512 - width)
    return np.array(wall[y : y + height, x : x + width], np.float32)


def _tones(rng: np.random.Generator) -> tuple[float, float]:
    light, dark = float(rng.uniform(165, 255)), float(rng.uniform(0, 95))
    return (light, dark) if rng.random() < 0.5 else (dark, light)  # noqa: PLR2004 - a fair coin


def _drawn(
    text: str, rng: np.random.Generator
) -> tuple[Gray, tuple[int, int, int, int], list[float]]:
    size = int(rng.integers(16, 44))
    font = load_face(int(rng.integers(FACE_COUNT)), size)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    cover = Image.new("L", (right - left + 2 * _EDGE, bottom - top + 2 * _EDGE), 0)
    ImageDraw.Draw(cover).text((_EDGE - left, _EDGE - top), text, fill=255, font=font)
    alpha: Gray = np.asarray(cover, np.float32) / np.float32(255)
    edges = [_EDGE - left + font.getlength(text[:i]) for i in range(len(text) + 1)]
    return alpha, tight_box(alpha > 0.5), edges  # noqa: PLR2004 - half covered


def _on_plate(alpha: Gray, box: tuple[int, int, int, int], rng: np.random.Generator) -> Gray:
    plate, ink = _tones(rng)
    x0, y0, x1, y1 = box
    pad = min(_EDGE, round((y1 - y0) * float(rng.uniform(0.15, 0.5))) + 1)
    canvas = _around(rng, *alpha.shape)
    canvas[max(0, y0 - pad) : y1 + pad, max(0, x0 - pad) : x1 + pad] = plate
    return canvas * (1 - alpha) + ink * alpha


def _spoiled(pixels: Gray, rng: np.random.Generator) -> Gray:
    if rng.random() < 0.2:  # noqa: PLR2004 - share of blurred crops
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), float(rng.uniform(0.3, 0.8))))
    grain = rng.standard_normal(pixels.shape, dtype=np.float32) * np.float32(rng.uniform(0, 9))
    return np.asarray(np.clip(pixels + grain, 0, 255))


def draw_crop(rng: np.random.Generator) -> Crop:
    """Draw a word on a plate before a background and cut it out as loosely as EasyOCR does.

    Args:
        rng: Source of word, face, tones and cut.

    Returns:
        The crop at the reader's height.
    """
    text = random_word(rng)
    alpha, box, edges = _drawn(text, rng)
    scene = _spoiled(_on_plate(alpha, box, rng), rng)
    tall = box[3] - box[1]
    out = [round(tall * float(share)) for share in rng.uniform(-0.02, 0.36, 4)]
    y0, y1 = max(0, box[1] - out[0]), min(scene.shape[0], box[3] + out[1])
    x0, x1 = max(0, box[0] - out[2]), min(scene.shape[1], box[2] + out[3])
    width = min(_WIDEST, max(HEIGHT, round(HEIGHT * (x1 - x0) / (y1 - y0))))
    part = np.ascontiguousarray(scene[y0:y1, x0:x1])
    pixels = cv2.resize(part, (width, HEIGHT), interpolation=cv2.INTER_LANCZOS4)
    scale = width / (x1 - x0)
    return Crop(text, np.asarray(pixels), tuple((edge - x0) * scale for edge in edges))


def _frames(crop: Crop, count: int) -> NDArray[np.int64]:
    labels, centres = np.zeros(count, np.int64), (np.arange(count) + 1.0) * _STRIDE
    for at, character in enumerate(crop.text):
        start, end = crop.edges[at], crop.edges[at + 1]
        inner = (centres > start + 0.2 * (end - start)) & (centres < end - 0.2 * (end - start))
        if not inner.any():
            inner[np.abs(centres - (start + end) / 2).argmin()] = True
        labels[inner] = CHARACTERS.index(character) + 1
    return labels


def word_batch(crops: Sequence[Crop]) -> tuple[Tensor, Tensor]:
    """Stack crops, padded with their last column as EasyOCR pads them.

    Args:
        crops: Crops of one height.

    Returns:
        Images (B, 1, HEIGHT, W), -1..1, and per frame the character number, 0 for none,
        (B, W // 4 - 1).
    """
    widest = max(crop.pixels.shape[1] for crop in crops)
    rows = [np.pad(c.pixels, ((0, 0), (0, widest - c.pixels.shape[1])), "edge") for c in crops]
    frames = np.stack([_frames(crop, widest // _STRIDE - 1) for crop in crops])
    images = torch.from_numpy(np.stack(rows)[:, None]).clamp(0, 255) / 127.5 - 1
    return images, torch.from_numpy(frames)


def core_of(box: Sequence[int]) -> tuple[float, float, float, float]:
    """Shrink a word box so that EasyOCR's dilation gives the box back.

    A core of height h is dilated by sqrt(h) on each side, all at half resolution.

    Args:
        box: Tight ink box (x0, y0, x1, y1) in pixels.

    Returns:
        The core (x0, y0, x1, y1) in pixels of the score map.

    Source: EasyOCR 1.7.2 ``craft_utils.getDetBoxes_core``: niter = 2 sqrt(area * min / (w * h)).
    """
    x0, y0, x1, y1 = (edge / 2 for edge in box)
    shrink = math.sqrt(1 + y1 - y0) - 1
    return x0 + shrink, y0 + shrink, x1 - shrink, y1 - shrink


def _core_map(sample: Sample) -> Gray:
    side = sample.labels.shape[0] // 2
    target = np.zeros((side, side), np.float32)
    for _, box, _ in sample.words:
        x0, y0, x1, y1 = (round(edge) for edge in core_of(box))
        target[y0 : max(y1, y0 + 1), x0:x1] = 1
    return target


def _start(low: int, high: int, side: int, rng: np.random.Generator) -> int:
    first, last = max(0, high - _VIEW), min(low, side - _VIEW)
    at = int(rng.integers(min(first, last), max(first, last) + 1))
    return at - at % 2  # the score map has half the resolution


def _view(sample: Sample, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Gray]:
    side = sample.labels.shape[0]
    x0, y0, x1, y1 = sample.words[0][2] if sample.words else (side, side, 0, 0)
    x, y = _start(x0, x1, side, rng), _start(y0, y1, side, rng)
    half = _VIEW // 2
    cores = _core_map(sample)[y // 2 : y // 2 + half, x // 2 : x // 2 + half]
    return sample.image[y : y + _VIEW, x : x + _VIEW], cores


def detector_batch(samples: Sequence[Sample], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Cut a window with the word out of each scene, and stack them with their word cores.

    Args:
        samples: Scenes of one square size.
        rng: Source of the window and the brightness.

    Returns:
        Images (B, 3, H, W), RGB, ImageNet-normalised, and cores (B, H/2, W/2) of 0 and 1.
    """
    views = [_view(sample, rng) for sample in samples]
    images = [
        (image.astype(np.float32) * np.float32(rng.uniform(0.8, 1.2)) - MEAN) / DEVIATION
        for image, _ in views
    ]
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
    return stacked, torch.from_numpy(np.stack([cores for _, cores in views]))
