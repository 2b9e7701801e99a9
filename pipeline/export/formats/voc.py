"""Pascal VOC: an XML file per image, lists of image sets, and masks of classes and of objects.

Boxes count pixels from 1 and include their last one, as VOC's do. In masks the smaller object
lies on top; 0 is background. VOC keeps 255 for void, so more than 254 classes or objects of one
image cannot be drawn.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.coco.naming import clean
from pipeline.errors import ExportError
from pipeline.export.example import Example, Plan, Tally, class_of, is_text
from pipeline.export.formats.coco import score_of
from pipeline.export.formats.panoptic import masked, paint
from pipeline.labels import MergedLabel
from pipeline.store.parts import durable_write

_MOST: Final = 254
_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class VocExport:
    """``JPEGImages/``, ``Annotations/``, ``ImageSets/``, ``SegmentationClass|Object/``."""

    def __init__(self, plan: Plan) -> None:
        if len(plan.shape_classes) > _MOST:
            raise ExportError(
                f"Pascal VOC: {len(plan.shape_classes)} classes, but its masks can hold {_MOST}; "
                "name fewer with --classes"
            )
        self.tally = Tally()
        self._plan = plan
        self._sets: dict[str, list[str]] = defaultdict(list)
        self._numbers = {name: place for place, name in enumerate(plan.shape_classes, start=1)}
        for name in ("Annotations", "ImageSets/Main", "ImageSets/Segmentation"):
            (plan.folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("SegmentationClass", "SegmentationObject"):
            (plan.folder / name).mkdir(parents=True, exist_ok=True)

    def image_path(self, example: Example) -> str:
        """All images lie together, whatever their split and kind."""
        return f"JPEGImages/{example.file_name}"

    def add(self, example: Example, data: bytes) -> None:
        """Write the files of one image."""
        del data
        root = ET.Element("annotation")
        head = {"folder": "JPEGImages", "filename": example.file_name, "segmented": "1"}
        _fill(root, head)
        size = {"width": example.width, "height": example.height, "depth": 3}
        _fill(ET.SubElement(root, "size"), {key: str(value) for key, value in size.items()})
        for label in example.shapes:
            self._object(root, example, label)
            self.tally.written[label.content.kind.value] += 1
        ET.indent(root)
        text = ET.tostring(root, encoding="utf-8") + b"\n"
        (self._plan.folder / "Annotations" / f"{example.stem}.xml").write_bytes(text)
        self._masks(example)
        self._sets[example.split].append(example.stem)

    def _object(self, root: ET.Element, example: Example, label: MergedLabel) -> None:
        box, entry = example.box(label), ET.SubElement(root, "object")
        _fill(entry, {"name": class_of(label), "pose": "Unspecified", "truncated": "0"})
        _fill(entry, {"difficult": "0", "score": f"{score_of(label):.6f}"})
        if is_text(label):
            _fill(entry, {"text": label.content.text or ""})
        corners = (box.x + 1, box.y + 1, box.x + box.width, box.y + box.height)
        named = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        _fill(ET.SubElement(entry, "bndbox"), {name: str(int(value)) for name, value in named})

    def _masks(self, example: Example) -> None:
        labels = masked(example, self.tally)
        if len(labels) > _MOST:
            raise ExportError(
                f"{example.name}: {len(labels)} objects, but Pascal VOC can draw {_MOST}"
            )
        canvas, numbers = paint(example, labels)
        classes = np.zeros(len(numbers) + 1, np.uint8)
        for number, label in numbers.items():
            classes[number] = self._numbers[class_of(label)]
        for folder, drawn in (("Class", classes[canvas]), ("Object", canvas.astype(np.uint8))):
            path = self._plan.folder / f"Segmentation{folder}" / f"{example.stem}.png"
            durable_write(path, _palette_png(drawn))

    def finish(self) -> None:
        """Write the image sets and the names of classes."""
        for split in self._plan.splits:
            text = "".join(f"{stem}\n" for stem in self._sets[split])
            for kind in ("Main", "Segmentation"):
                path = self._plan.folder / "ImageSets" / kind / f"{split}.txt"
                path.write_text(text, encoding="utf-8")
        names = "".join(f"{name}\n" for name in self._plan.shape_classes)
        (self._plan.folder / "labels.txt").write_text(names, encoding="utf-8")
        text = "".join(_map_line(n, name) for name, n in {"background": 0, **self._numbers}.items())
        (self._plan.folder / "labelmap.txt").write_text(text, encoding="utf-8")


def _map_line(number: int, name: str) -> str:
    """Line of ``labelmap.txt``; none for a name that its readers would take apart.

    Source: the label map of Datumaro and CVAT, ``name:r,g,b:parts:actions``.
    """
    if ":" in name or name.startswith("#"):
        return ""
    colour = ",".join(str(value) for value in _colour(number))
    return f"{name}:{colour}::\n"


def _fill(element: ET.Element, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        ET.SubElement(element, name).text = xml_text(value)


def xml_text(text: str) -> str:
    """Replace what XML 1.0 cannot hold by U+FFFD, and line ends as its readers would.

    Source: XML 1.0, sections 2.2 and 2.11.
    """
    return _FORBIDDEN.sub("\ufffd", clean(text)).replace("\r\n", "\n").replace("\r", "\n")


def _palette_png(pixels: NDArray[np.uint8]) -> bytes:
    shown = Image.frombytes("P", pixels.shape[::-1], pixels.tobytes())
    shown.putpalette([value for number in range(256) for value in _colour(number)])
    stream = io.BytesIO()
    shown.save(stream, "PNG")
    return stream.getvalue()


def _colour(number: int) -> tuple[int, int, int]:
    """Colour of a number.

    Source: ``VOClabelcolormap`` of the VOC development kit.
    """
    red = green = blue = 0
    for place in range(8):
        red |= (number >> 0 & 1) << 7 - place
        green |= (number >> 1 & 1) << 7 - place
        blue |= (number >> 2 & 1) << 7 - place
        number >>= 3
    return red, green, blue
