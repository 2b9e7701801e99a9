"""Masks of a COCO file, by image and class: for those who hold relevance against them."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline import rle
from pipeline.errors import CocoError
from pipeline.records import JsonObject, Mask


@dataclass(frozen=True, slots=True)
class TrueObject:
    """An object of a COCO file."""

    label: str
    mask: Mask


class TrueMasks:
    """The objects of a COCO file that have masks.

    Args:
        path: The file; run lengths or polygons.

    Raises:
        CocoError: It cannot be read, or is not COCO.
    """

    def __init__(self, path: Path) -> None:
        self._objects: Final[dict[str, list[TrueObject]]] = defaultdict(list)
        try:
            document: JsonObject = json.loads(path.read_text(encoding="utf-8"))
            self._read(document)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise CocoError(
                f"{path}: not a COCO file with masks ({type(error).__name__}: {error}). "
                "`autolabel check FILE` says more"
            ) from None

    def __getitem__(self, file_name: str) -> list[TrueObject]:
        return self._objects.get(file_name, [])

    def _read(self, document: JsonObject) -> None:
        images = {image["id"]: image for image in document["images"]}
        names = {category["id"]: str(category["name"]) for category in document["categories"]}
        for entry in document["annotations"]:
            image = images[entry["image_id"]]
            shape = entry.get("segmentation")
            if shape:
                mask = _mask(shape, int(image["height"]), int(image["width"]))
                name = names[entry["category_id"]]
                self._objects[str(image["file_name"])].append(TrueObject(name, mask))


def _mask(shape: list[list[float]] | JsonObject, height: int, width: int) -> Mask:
    if isinstance(shape, list):
        return rle.polygon_mask(shape, width, height)
    if isinstance(shape["counts"], list):
        return rle.from_uncompressed(height, width, shape["counts"])
    return rle.from_counts(height, width, shape["counts"])
