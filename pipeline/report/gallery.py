"""Images with their labels drawn in, small enough to live inside the page."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.config import InputConfig
from pipeline.decoding import DecoderPool
from pipeline.drawing import Shape, painted, shape_of, thumbnail
from pipeline.errors import ImageRejectedError
from pipeline.evidence import source_of
from pipeline.labels import CurrentImage, Kind, MergedLabel, Status
from pipeline.labels.runs import RunImage
from pipeline.records import Box, JsonObject, RgbImage

_SIDE: Final = 400
_LETTER: Final = 0.045
"""Height of letters in a drawing, as a share of its width."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something drawn over an image, in pixels of the image.

    Attributes:
        points: Corners as SVG wants them; empty for words alone.
        words: What stands beside it.
        style: Class of the style sheet.
    """

    points: str
    x: float
    y: float
    words: str
    style: str


@dataclass(frozen=True, slots=True)
class Example:
    """An image with its labels.

    Attributes:
        picture: ``data:`` address; empty if the file cannot be shown any more.
        letter: Height of letters, in pixels of the image.
        why: Why it is among the examples, in words.
    """

    file_name: str
    width: int
    height: int
    picture: str
    letter: float
    marks: tuple[Mark, ...]
    tags: tuple[tuple[str, str], ...]
    n_labels: int
    why: str


class Pictures:
    """Opens images of a run.

    Args:
        decoder: Of the run's image folders.
        roots: These folders.
    """

    def __init__(self, decoder: DecoderPool, roots: Sequence[Path]) -> None:
        self._decoder = decoder
        self._roots = roots

    def pixels(self, image: RunImage) -> RgbImage | None:
        """Decode an image; None if its file is gone, or not what it was."""
        source = source_of(image, self._roots)
        if source is None:
            return None
        try:
            return self._decoder.decode(source).pixels
        except ImageRejectedError:
            return None


def open_pictures(config: JsonObject) -> tuple[DecoderPool, Sequence[Path]]:
    """Make what decodes the images of a run.

    Args:
        config: The run's ``config.json``.
    """
    roots = [Path(root) for root in config["images"]]
    return DecoderPool(roots, _input(config)), roots


def _input(config: JsonObject) -> InputConfig:
    settings = dict(config["input"])
    settings["background"] = tuple(settings["background"])
    return InputConfig.model_validate(settings)


def example(
    image: CurrentImage, pixels: RgbImage | None, classes: Mapping[str, int], why: str
) -> Example:
    """Draw one image.

    Args:
        image: With its labels as they stand.
        pixels: Decoded, or None.
        classes: Name → place in the vocabulary, for its colour.
        why: Why it is shown.
    """
    run = image.image
    labels = [label for label in image.labels if label.status is not Status.REJECTED]
    letter = _LETTER * max(run.width, run.height)
    shapes = [(label, shape_of(label.content, classes)) for label in labels]
    placed = [(label, shape) for label, shape in shapes if shape is not None]
    picture = ""
    if pixels is not None:
        shown = painted(pixels, [shape for _, shape in placed], _SIDE)
        picture = data_address(thumbnail(shown, _SIDE), "webp")
    tags = [label for label in labels if label.content.kind is Kind.TAG]
    return Example(
        run.file_name, run.width, run.height, picture, round(letter, 1),
        tuple(_mark(shape, _style(label), letter) for label, shape in placed),
        tuple((label.content.label, _style(label)) for label in tags), len(labels), why,
    )  # fmt: skip


def data_address(data: bytes, kind: str) -> str:
    """Write bytes of an image as an address that needs no file.

    Args:
        data: The image.
        kind: ``png`` or ``webp``.
    """
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _mark(shape: Shape, style: str, letter: float) -> Mark:
    """Lines and words stay out of the picture: the page draws them, sharp at every size."""
    points = " ".join(f"{point.x:.1f},{point.y:.1f}" for point in shape.corners)
    y = max(shape.box.y - letter / 4, letter)
    return Mark(points, round(shape.box.x, 1), round(y, 1), shape.words, style)


def _style(label: MergedLabel) -> str:
    if label.status in {Status.ACCEPTED, Status.EDITED}:
        return "people"
    return "review" if label.facts.decision == "review" else "accept"


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of an image around an error, with what was found and what is true."""

    picture: str
    width: int
    height: int
    found: Box | None
    true: Box | None


def crop(pixels: RgbImage, found: Box | None, true: Box | None) -> Crop | None:
    """Cut out what lies around boxes; None if there is no box.

    Args:
        pixels: The image.
        found: What the run says.
        true: What the truth says.
    """
    boxes = [box for box in (found, true) if box is not None]
    if not boxes:
        return None
    left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    right = max(box.x + box.width for box in boxes)
    bottom = max(box.y + box.height for box in boxes)
    margin = 0.25 * max(right - left, bottom - top) + 4
    x0, y0 = int(max(0, left - margin)), int(max(0, top - margin))
    here = pixels[y0 : int(bottom + margin) + 1, x0 : int(right + margin) + 1]
    if not here.size:
        return None
    moved = [box and Box(box.x - x0, box.y - y0, box.width, box.height) for box in (found, true)]
    address = data_address(thumbnail(here, 200), "webp")
    return Crop(address, here.shape[1], here.shape[0], moved[0], moved[1])
