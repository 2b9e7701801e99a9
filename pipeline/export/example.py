"""What formats are given: images with the labels that go out, and what they share. Frozen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from pipeline import rle
from pipeline.coco.document import TEXT
from pipeline.labels import Content, Kind, MergedLabel
from pipeline.records import Box, JsonObject, Mask, SourceFile

UNSPLIT: Final = "all"
"""Name of the one part of an export that is not split."""


class Choice(StrEnum):
    """Which labels go out; each choice holds the one before it."""

    REVIEWED = "reviewed"
    ACCEPTED = "accepted"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What to export, and how.

    Attributes:
        format: Name of a format, see ``pipeline.export.FORMATS``.
        out: Folder to write; replaced as a whole if an export lies there.
        split: Shares of train, val and test in percent, e.g. (80, 10, 10); empty for no split.
        status: Which labels go out.
        classes: Class names to keep, in any order; empty for all.
        link: Link to source files that need no change, instead of copying them.
        min_iou: Least IoU with its mask that a polygon must keep, above 0, at most 1.
    """

    format: str
    out: Path
    split: tuple[int, ...] = ()
    status: Choice = Choice.ACCEPTED
    classes: tuple[str, ...] = ()
    link: bool = False
    min_iou: float = 0.99


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export holds.

    Attributes:
        out: The folder.
        images: Split → images.
        labels: Kind → labels.
        left_out: Reason → labels or images that are not in it.
        notes: What a person should know of it.
        bytes: Size of all files.
        unchanged: Whether the folder held exactly this already, so that nothing was written.
    """

    format: str
    out: Path
    run_id: str
    images: Mapping[str, int]
    labels: Mapping[str, int]
    left_out: Mapping[str, int]
    notes: tuple[str, ...]
    bytes: int
    unchanged: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """The file of an image, and what the decoder made of it.

    Attributes:
        source: Where it lies; ``root`` counts the folders of the export's plan.
        plain: Whether every reader sees the pixels that the models saw: upright, 8 bit, one
            frame, opaque and without a colour profile. Such a file goes out byte for byte.
        suffix: Of the file that goes out: its own kind's if plain, else ``.png``.
    """

    source: SourceFile
    plain: bool
    suffix: str
    orientation: int = 1


@dataclass(frozen=True, slots=True)
class Example:
    """One image of an export.

    Attributes:
        id: COCO image id.
        stem: File name without folder and suffix: safe anywhere, unique by its digest.
        name: As the run calls the file.
        labels: Those that go out, in the order of the run.
        tags_of_people: What people tagged the image with.
    """

    id: int
    sha256: str
    stem: str
    name: str
    width: int
    height: int
    split: str
    picture: Picture
    labels: tuple[MergedLabel, ...]
    tags_of_people: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """Name of the image file that goes out."""
        return self.stem + self.picture.suffix

    def of(self, kind: Kind) -> list[MergedLabel]:
        """Labels of one kind."""
        return [label for label in self.labels if label.content.kind is kind]

    @property
    def shapes(self) -> list[MergedLabel]:
        """Labels that have a place in the image: objects and lines of text."""
        return [label for label in self.labels if label.content.kind is not Kind.TAG]

    def mask(self, label: MergedLabel) -> Mask:
        """Pixels that a label covers."""
        return label_mask(label.content, self.width, self.height)

    def box(self, label: MergedLabel) -> Box:
        """Tight box around a label's pixels; never empty, as empty labels do not go out."""
        box = rle.tight_box(self.mask(label))
        assert box is not None, "labels without pixels are left out by select"
        return box


@dataclass(frozen=True, slots=True)
class Plan:
    """What all examples of an export share.

    Attributes:
        name: Of the run file.
        folder: Where to write; nothing may be written elsewhere.
        categories: COCO categories, 1 to K.
        shape_classes: Names that objects and texts can have, in the order of categories.
        tag_classes: Names that tags can have.
        splits: Names, in order.
        sources: Entries of ``info.provenance``, people's included.
        people: Key of the people's entry.
        stages: Kind → keys of the entries that explain a label of the machine.
        min_iou: As in the request.
        opened: What a writer opens goes in here, and is closed whatever happens.
    """

    name: str
    folder: Path
    categories: Sequence[JsonObject]
    shape_classes: Sequence[str]
    tag_classes: Sequence[str]
    splits: Sequence[str]
    sources: Mapping[str, JsonObject]
    people: str
    stages: Mapping[str, str]
    min_iou: float
    opened: ExitStack

    @property
    def category_ids(self) -> dict[str, int]:
        """Class name → category id."""
        return {str(entry["name"]): int(entry["id"]) for entry in self.categories}


@dataclass(slots=True)
class Tally:
    """Counts that a writer keeps.

    Attributes:
        written: Kind → labels.
        left_out: Reason → labels.
        lowest_iou: Of all polygons written, with their masks.
        fallbacks: Masks written as run lengths as polygons cannot hold them.
    """

    written: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    lowest_iou: float = 1.0
    below: int = 0
    fallbacks: int = 0


class Writer(Protocol):
    """Writes one export, image by image.

    Attributes:
        tally: What was written.
    """

    tally: Tally

    def image_path(self, example: Example) -> str | None:
        """Where the image file goes, relative to the export; None if ``add`` keeps the bytes."""

    def add(self, example: Example, data: bytes) -> None:
        """Write what belongs to one image.

        Args:
            example: The image with its labels.
            data: The image file; empty where ``image_path`` said where it goes.
        """

    def finish(self) -> None:
        """Write what belongs to all images, and close what is open."""


class Format(Protocol):
    """One way to lay an export out."""

    def __call__(self, plan: Plan) -> Writer:
        """Begin an export."""


def label_mask(content: Content, width: int, height: int) -> Mask:
    """Pixels that a label covers: its mask, else its corners drawn, else its box filled."""
    if content.mask is not None:
        return content.mask
    points = [(point.x, point.y) for point in content.points]
    if not points and content.box is not None:
        left, top = content.box.x, content.box.y
        right, bottom = left + content.box.width, top + content.box.height
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if not points:
        return rle.encode(np.zeros((height, width), np.bool_))
    corners = np.clip(np.array(points, np.float64), 0.0, (width, height))
    return rle.polygon_mask([corners.ravel().tolist()], width, height)


def is_text(label: MergedLabel) -> bool:
    """Tell whether a label is a line of text."""
    return label.content.kind is Kind.TEXT


def class_of(label: MergedLabel) -> str:
    """Name of the category of a label."""
    return TEXT if is_text(label) else label.content.label
