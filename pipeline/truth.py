"""What a COCO or COCO-Text file says is true, for those who measure labels or maps against it.

Every fault is told with the entry it is in.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pipeline import rle
from pipeline.coco.document import EXTRA, TEXT
from pipeline.errors import EvaluationError
from pipeline.geometry import clip_box
from pipeline.records import Box, JsonObject, Mask

_POINTS: Final = 6


class TruthKind(StrEnum):
    """What the truth is."""

    COCO = "coco"
    COCO_TEXT = "coco_text"
    REVIEWED = "reviewed"


@dataclass(frozen=True, slots=True)
class Shape:
    """An object or a line of text, on either side.

    Attributes:
        id: As its side calls it.
        class_name: Of an object; ``text`` for a line of text.
        mask: None if there is a box only.
        area: As COCO sizes count it.
        score: 1 for truth.
        text: Transcription; None for objects, and for text that cannot be read.
        crowd: Truth that may be found any number of times, or not at all.
    """

    id: str
    class_name: str
    box: Box
    mask: Mask | None
    area: float
    score: float = 1.0
    text: str | None = None
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """What one side says of an image; None where it says nothing of that kind.

    Attributes:
        tags: Class name → score.
    """

    objects: tuple[Shape, ...] = ()
    texts: tuple[Shape, ...] = ()
    tags: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class TrueImage:
    """An image of the truth.

    Attributes:
        sha256: Of its bytes, if the file says it.
    """

    file_name: str
    sha256: str | None
    width: int
    height: int
    side: Side


@dataclass(frozen=True, slots=True)
class Truth:
    """What a file says is true.

    Attributes:
        classes: Of objects; None if the file has none.
        tag_classes: Of tags; None if the file has none.
    """

    kind: TruthKind
    sha256: str
    images: tuple[TrueImage, ...]
    classes: tuple[str, ...] | None
    tag_classes: tuple[str, ...] | None
    has_texts: bool


def read_truth(path: Path) -> Truth:
    """Read a file with truth.

    Raises:
        EvaluationError: It cannot be read, or is neither COCO nor COCO-Text.
    """
    try:
        data = path.read_bytes()
        document = json.loads(data)
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path}: cannot be read: {error}") from None
    if not isinstance(document, dict) or not ({"images", "imgs"} & document.keys()):
        raise EvaluationError(
            f"{path}: expected a COCO file (images, annotations, categories) or a COCO-Text file "
            "(imgs, anns, imgToAnns)"
        )
    reader = _Reader(path, hashlib.sha256(data).hexdigest())
    try:
        return reader.coco_text(document) if "imgs" in document else reader.coco(document)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise EvaluationError(
            f"{path}: {reader.at}: {type(error).__name__}: {error}; "
            f"see what is wrong with: autolabel check {path}"
        ) from None


@dataclass(slots=True)
class _Parts:
    """Labels of one image, being collected."""

    entry: JsonObject
    objects: list[Shape] = field(default_factory=list)
    texts: list[Shape] = field(default_factory=list)


class _Reader:
    """Reads a document, and knows where it is."""

    def __init__(self, path: Path, sha256: str) -> None:
        self._path, self._sha256 = path, sha256
        self.at = "the document"

    def coco(self, document: JsonObject) -> Truth:
        """Read a COCO document.

        Raises:
            EvaluationError: An annotation refers to nothing.
        """
        names = {entry["id"]: str(entry["name"]) for entry in document["categories"]}
        parts = self._images(document["images"])
        for entry in document.get("annotations", []):
            self.at = f"annotation {entry.get('id')!r}"
            one = self._of(parts, entry["image_id"])
            if entry["category_id"] not in names:
                raise self._fault(f"category_id {entry['category_id']!r} refers to nothing")
            shape = self._shape(entry, names[entry["category_id"]], one.entry)
            (one.texts if shape.class_name == TEXT else one.objects).append(shape)
        tags = _tags(document["images"])
        classes = tuple(name for name in names.values() if name != TEXT)
        has_objects = bool(classes)
        return Truth(
            TruthKind.COCO,
            self._sha256,
            tuple(_image(one, tags) for one in parts.values()),
            classes if has_objects else None,
            tags,
            TEXT in names.values(),
        )

    def coco_text(self, document: JsonObject) -> Truth:
        """Read a COCO-Text document."""
        parts = self._images(document["imgs"].values())
        for key, entry in document["anns"].items():
            self.at = f"annotation {key!r}"
            one = self._of(parts, entry["image_id"])
            box = Box(*(float(value) for value in entry["bbox"]))
            mask = self._polygon(entry.get("mask") or entry.get("polygon") or [], one.entry)
            unreadable = entry.get("legibility") == "illegible" or "utf8_string" not in entry
            text = None if unreadable else str(entry["utf8_string"])
            area = box.width * box.height
            one.texts.append(Shape(str(key), TEXT, box, mask, area, text=text, crowd=unreadable))
        images = tuple(_image(one, None) for one in parts.values())
        return Truth(TruthKind.COCO_TEXT, self._sha256, images, None, None, has_texts=True)

    def _images(self, entries: Iterable[JsonObject]) -> dict[Any, _Parts]:
        parts: dict[Any, _Parts] = {}
        for entry in entries:
            self.at = f"image {entry.get('id')!r}"
            if min(int(entry["width"]), int(entry["height"])) < 1:
                raise self._fault("width and height must be at least 1")
            parts[entry["id"]] = _Parts(entry)
        return parts

    def _of(self, parts: Mapping[Any, _Parts], ident: object) -> _Parts:
        if ident not in parts:
            raise self._fault(f"image_id {ident!r} refers to nothing")
        return parts[ident]

    def _shape(self, entry: JsonObject, name: str, image: JsonObject) -> Shape:
        mask = self._mask(entry.get("segmentation"), image)
        box = Box(*(float(value) for value in entry["bbox"]))
        if clip_box(box, int(image["width"]), int(image["height"])) is None:
            raise self._fault(f"bbox {entry['bbox']} is empty or outside the image")
        area = float(entry.get("area", box.width * box.height))
        text = str(entry["text"]) if "text" in entry else None
        crowd = bool(entry.get("iscrowd", 0)) or (name == TEXT and text is None)
        return Shape(str(entry["id"]), name, box, mask, area, text=text, crowd=crowd)

    def _mask(self, given: object, image: JsonObject) -> Mask | None:
        if isinstance(given, dict):
            height, width = int(image["height"]), int(image["width"])
            if list(given["size"]) != [height, width]:
                raise self._fault(f"segmentation is of {given['size']}, not {[height, width]}")
            counts = given["counts"]
            try:
                if isinstance(counts, str):
                    return rle.from_counts(height, width, counts)
                return rle.from_uncompressed(height, width, counts)
            except ValueError as error:
                raise self._fault(str(error)) from None
        rings = given if isinstance(given, list) else []
        return self._polygon([value for ring in rings for value in [ring]], image)

    def _polygon(self, given: list[Any], image: JsonObject) -> Mask | None:
        rings = [given] if given and not isinstance(given[0], list) else given
        sound = [_inside(ring, image) for ring in rings if len(ring) >= _POINTS]
        if not sound:
            return None
        return rle.polygon_mask(sound, int(image["width"]), int(image["height"]))

    def _fault(self, what: str) -> EvaluationError:
        return EvaluationError(f"{self._path}: {self.at}: {what}")


def _inside(ring: list[float], image: JsonObject) -> list[float]:
    limits = (float(image["width"]), float(image["height"]))
    return [min(max(float(value), 0.0), limits[place % 2]) for place, value in enumerate(ring)]


def _tags(images: Iterable[JsonObject]) -> tuple[str, ...] | None:
    """Names of all tags; None if no image speaks of tags."""
    told = [image[EXTRA]["tags"] for image in images if "tags" in image.get(EXTRA, {})]
    return (
        tuple(dict.fromkeys(str(tag["class"]) for tags in told for tag in tags)) if told else None
    )


def _image(parts: _Parts, tag_classes: tuple[str, ...] | None) -> TrueImage:
    entry, extra = parts.entry, parts.entry.get(EXTRA, {})
    tags = {str(tag["class"]): 1.0 for tag in extra.get("tags", [])}
    side = Side(tuple(parts.objects), tuple(parts.texts), tags if tag_classes is not None else None)
    return TrueImage(
        str(PurePosixPath(entry["file_name"])),
        extra.get("sha256"),
        int(entry["width"]),
        int(entry["height"]),
        side,
    )


@dataclass(frozen=True, slots=True)
class TrueObject:
    """An object of the truth with its mask."""

    label: str
    mask: Mask


class TrueMasks:
    """The objects of a file that have masks, lines of text among them; by file name.

    Args:
        path: The file; run lengths or polygons.

    Raises:
        EvaluationError: It cannot be read, or is neither COCO nor COCO-Text.
    """

    def __init__(self, path: Path) -> None:
        self._objects: Final[dict[str, list[TrueObject]]] = defaultdict(list)
        for image in read_truth(path).images:
            self._objects[image.file_name] += [
                TrueObject(shape.class_name, shape.mask)
                for shape in (*image.side.objects, *image.side.texts)
                if shape.mask is not None
            ]

    def __getitem__(self, file_name: str) -> list[TrueObject]:
        return self._objects.get(file_name, [])
