"""Label Studio: ``tasks.json`` and the labelling configuration that goes with it.

Masks are brush strokes, which keep every pixel; texts are polygons with a transcription, tags are
choices. An image on which nothing waits for a person comes with annotations, else predictions.

Source: brush run lengths as ``label_studio_sdk.converter.brush`` packs them (rle-pack by thi.ng):
32 bits of length, 5 of word size, four run sizes of 4 bits, then runs of one byte's value.
"""

from __future__ import annotations

from typing import Any, Final
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from pipeline import rle
from pipeline.coco.naming import clean
from pipeline.export.example import Example, Plan, Tally, class_of, is_text
from pipeline.export.formats.coco import score_of
from pipeline.export.formats.spool import Spool
from pipeline.export.formats.voc import xml_text
from pipeline.export.quads import quad_of
from pipeline.labels import Kind, MergedLabel, Status
from pipeline.labels.values import HUMAN
from pipeline.records import JsonObject, Mask

_SIZES: Final = (3, 4, 8, 16)
_LONGEST: Final = 2**16
_ROOT: Final = "/data/local-files/?d="


class LabelStudioExport:
    """``images/<split>/``, ``tasks.json`` and ``labeling_config.xml``."""

    def __init__(self, plan: Plan) -> None:
        self.tally = Tally()
        self._plan = plan
        self._tasks = Spool(plan)

    def image_path(self, example: Example) -> str:
        """Beside the others of its split."""
        return f"images/{example.split}/{example.file_name}"

    def add(self, example: Example, data: bytes) -> None:
        """Write the task of one image."""
        del data
        result = [part for label in example.shapes for part in _parts(example, label)]
        tags = [clean(tag.content.label) for tag in example.of(Kind.TAG)]
        if tags:
            head = {"id": "tags", "from_name": "tags", "to_name": "image", "type": "choices"}
            result.append({**head, "value": {"choices": tags}})
        waits = any(label.status is Status.PENDING for label in example.labels)
        task: JsonObject = {
            "id": example.id,
            "data": {"image": f"{_ROOT}{self.image_path(example)}", "split": example.split},
            "meta": {"sha256": example.sha256, "source": clean(example.name)},
        }
        scores = [score_of(label) for label in example.labels]
        verdict = {"score": min(scores, default=1.0), "model_version": "autolabel"}
        key, more = ("predictions", verdict) if waits else ("annotations", {})
        self._tasks.append({**task, key: [{"result": result, **more}]})
        self.tally.written.update(label.content.kind.value for label in example.labels)

    def finish(self) -> None:
        """Write the tasks and the configuration."""
        with (self._plan.folder / "tasks.json").open("wb") as file:
            file.write(b"[")
            self._tasks.copy_to(file)
            file.write(b"]\n")
        (self._plan.folder / "labeling_config.xml").write_bytes(_config(self._plan))


def _config(plan: Plan) -> bytes:
    view = ET.Element("View")
    ET.SubElement(view, "Image", {"name": "image", "value": "$image"})
    classes = [name for name in plan.shape_classes if name != "text"]
    for tag, name in (("BrushLabels", "mask"), ("RectangleLabels", "box")):
        labels = ET.SubElement(view, tag, {"name": name, "toName": "image"})
        for value in classes:
            ET.SubElement(labels, "Label", {"value": xml_text(value)})
    lines = ET.SubElement(view, "PolygonLabels", {"name": "line", "toName": "image"})
    ET.SubElement(lines, "Label", {"value": "text"})
    area = {"name": "transcription", "toName": "image", "perRegion": "true", "editable": "true"}
    ET.SubElement(view, "TextArea", {**area, "whenTagName": "line"})
    tags = ET.SubElement(view, "Choices", {"name": "tags", "toName": "image", "choice": "multiple"})
    for value in plan.tag_classes:
        ET.SubElement(tags, "Choice", {"value": xml_text(value)})
    ET.indent(view)
    text: str = ET.tostring(view, encoding="unicode")
    return f"{text}\n".encode()


def _parts(example: Example, label: MergedLabel) -> list[JsonObject]:
    head = {
        "id": label.id,
        "to_name": "image",
        "original_width": example.width,
        "original_height": example.height,
        "image_rotation": 0,
        "origin": "manual" if label.source == HUMAN else "prediction",
        "score": score_of(label),
    }
    name = clean(class_of(label))
    if is_text(label):
        points = [_percent(example, p.x, p.y) for p in quad_of(example, label)]
        drawn = {"points": points, "closed": True}
        text = {**drawn, "text": [clean(label.content.text or "")]}
        line = {"type": "polygonlabels", "from_name": "line"}
        words = {"type": "textarea", "from_name": "transcription", "value": text}
        return [{**head, **line, "value": {**drawn, "polygonlabels": [name]}}, {**head, **words}]
    if label.content.mask is None:
        box = example.box(label)
        x, y = _percent(example, box.x, box.y)
        width, height = _percent(example, box.width, box.height)
        place: dict[str, Any] = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
        value = {**place, "rectanglelabels": [name]}
        return [{**head, "type": "rectanglelabels", "from_name": "box", "value": value}]
    value = {"format": "rle", "rle": brush(label.content.mask), "brushlabels": [name]}
    return [{**head, "type": "brushlabels", "from_name": "mask", "value": value}]


def _percent(example: Example, x: float, y: float) -> list[float]:
    return [100 * x / example.width, 100 * y / example.height]


def brush(mask: Mask) -> list[int]:
    """Pack a mask as Label Studio packs RGBA pixels that are 0 or 255."""
    pixels = np.repeat(rle.decode(mask).ravel(), 4)
    changes = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff(changes, prepend=0, append=len(pixels))
    bits = [f"{len(pixels):032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    on = bool(pixels[0])
    for run in runs:
        bits += _run(int(run), "11111111" if on else "00000000")
        on = not on
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    digits: NDArray[np.uint8] = np.frombuffer(text.encode("ascii"), np.uint8) - ord("0")
    return [int(value) for value in np.packbits(digits)]


def _run(length: int, value: str) -> list[str]:
    parts = []
    while length > 0:
        part = min(length, _LONGEST)
        place, size = next((n, s) for n, s in enumerate(_SIZES) if part <= 2**s)
        parts.append(f"1{place:02b}{part - 1:0{size}b}{value}")
        length -= part
    return parts
