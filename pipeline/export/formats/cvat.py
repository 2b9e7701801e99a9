"""CVAT for images 1.1: one XML file. Masks keep every pixel, as CVAT's own run lengths.

No library writes masks to it: FiftyOne and Datumaro turn them into polygons. A split export is
laid out as CVAT lays out a project with subsets, any other one as a task.

Source: CVAT's documentation of the format; run lengths go along the rows of the mask's box,
beginning with background.
"""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree as ET

import numpy as np

from pipeline import rle
from pipeline.export.example import UNSPLIT, Example, Plan, Tally, class_of, is_text
from pipeline.export.formats.voc import xml_text
from pipeline.export.quads import quad_of
from pipeline.labels import Kind, MergedLabel
from pipeline.labels.values import HUMAN

_INDENT: Final = "  "


class CvatExport:
    """``images/<split>/`` or ``images/``, and ``annotations.xml``; splits are subsets."""

    def __init__(self, plan: Plan) -> None:
        self.tally = Tally()
        self._plan = plan
        self._n = 0
        file = (plan.folder / "annotations.xml").open("w", encoding="utf-8", newline="\n")
        self._file = plan.opened.enter_context(file)
        self._file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        self._write(_text("version", "1.1"))
        self._write(_meta(plan))

    def image_path(self, example: Example) -> str:
        """Beside the others of its split."""
        subset = _subset(example)
        return "/".join(("images", *subset, example.file_name))

    def add(self, example: Example, data: bytes) -> None:
        """Write the element of one image."""
        del data
        numbers = {"id": self._n, "width": example.width, "height": example.height}
        root = ET.Element("image", {key: str(value) for key, value in numbers.items()})
        root.set("name", example.file_name)
        for subset in _subset(example):
            root.set("subset", subset)
        for label in example.shapes:
            _shape(root, example, label)
        for tag in example.of(Kind.TAG):
            ET.SubElement(
                root, "tag", {"label": xml_text(tag.content.label), "source": _source(tag)}
            )
        self.tally.written.update(label.content.kind.value for label in example.labels)
        self._n += 1
        self._write(root)

    def _write(self, element: ET.Element) -> None:
        ET.indent(element, _INDENT, level=1)
        self._file.write(_INDENT + ET.tostring(element, encoding="unicode") + "\n")

    def finish(self) -> None:
        """End the document."""
        self._file.write("</annotations>\n")
        self._file.close()


def _subset(example: Example) -> tuple[str, ...]:
    return () if example.split == UNSPLIT else (example.split,)


def _meta(plan: Plan) -> ET.Element:
    meta = ET.Element("meta")
    split = tuple(plan.splits) != (UNSPLIT,)
    job = ET.SubElement(meta, "project" if split else "task")
    job.append(_text("name", plan.name))
    if split:
        tasks = ET.SubElement(job, "tasks")
        for subset in plan.splits:
            task = ET.SubElement(tasks, "task")
            task.extend((_text("name", f"{plan.name} {subset}"), _text("subset", subset)))
        job.append(_text("subsets", "\n".join(plan.splits)))
    labels = ET.SubElement(job, "labels")
    for name in dict.fromkeys((*plan.shape_classes, *plan.tag_classes)):
        label = ET.SubElement(labels, "label")
        label.append(_text("name", name))
        attributes = ET.SubElement(label, "attributes")
        if name == "text":
            attributes.append(_attribute_of_text())
    return meta


def _attribute_of_text() -> ET.Element:
    attribute = ET.Element("attribute")
    for key, value in (("name", "text"), ("mutable", "False"), ("input_type", "text")):
        attribute.append(_text(key, value))
    attribute.append(_text("default_value", ""))
    attribute.append(_text("values", ""))
    return attribute


def _text(name: str, value: str) -> ET.Element:
    element = ET.Element(name)
    element.text = xml_text(value)
    return element


def _source(label: MergedLabel) -> str:
    return "manual" if label.source == HUMAN else "auto"


def _shape(root: ET.Element, example: Example, label: MergedLabel) -> None:
    head = {"label": xml_text(class_of(label)), "source": _source(label), "occluded": "0"}
    if is_text(label):
        points = ";".join(f"{p.x:.2f},{p.y:.2f}" for p in quad_of(example, label))
        shape = ET.SubElement(root, "polygon", {**head, "points": points, "z_order": "1"})
        text = ET.SubElement(shape, "attribute", {"name": "text"})
        text.text = xml_text(label.content.text or "")
    elif label.content.mask is None:
        box = example.box(label)
        corners = {"xtl": box.x, "ytl": box.y, "xbr": box.x + box.width, "ybr": box.y + box.height}
        places = {key: f"{value:.2f}" for key, value in corners.items()}
        ET.SubElement(root, "box", {**head, **places, "z_order": "0"})
    else:
        ET.SubElement(root, "mask", {**head, **_mask(example, label), "z_order": "0"})


def _mask(example: Example, label: MergedLabel) -> dict[str, str]:
    box = example.box(label)
    pixels = rle.crop_bitmap(example.mask(label), box).ravel()
    changes = np.flatnonzero(np.diff(pixels, prepend=False))
    runs = np.diff(changes, prepend=0, append=len(pixels))
    place = {"left": box.x, "top": box.y, "width": box.width, "height": box.height}
    return {
        "rle": ", ".join(str(int(run)) for run in runs),
        **{key: str(int(value)) for key, value in place.items()},
    }
