"""COCO-Text: lines of text with their transcriptions; no library writes it.

Readers do not know whether a text was printed or written, nor its language: ``class`` is
``others`` and ``language`` is ``na``. Text without a transcription is illegible.

Source: the keys of COCO-Text v2.0 (Veit et al., 2016): imgs, anns, imgToAnns, cats.
"""

from __future__ import annotations

from collections import defaultdict

from pipeline.coco.document import EXTRA, annotation_id
from pipeline.coco.naming import clean
from pipeline.export.example import Example, Plan, Tally
from pipeline.export.formats.coco import score_of, verdict
from pipeline.export.formats.spool import dumped
from pipeline.export.quads import quad_of
from pipeline.geometry import quad_area, quad_box
from pipeline.labels import Kind
from pipeline.records import JsonObject


class CocoTextExport:
    """``images/<split>/`` and one ``annotations/coco_text.json``; splits are ``set`` of images."""

    def __init__(self, plan: Plan) -> None:
        self.tally = Tally()
        self._plan = plan
        self._images: dict[str, JsonObject] = {}
        self._texts: dict[str, JsonObject] = {}
        self._of_image: dict[str, list[int]] = defaultdict(list)

    def image_path(self, example: Example) -> str:
        """Beside the others of its split."""
        return f"images/{example.split}/{example.file_name}"

    def add(self, example: Example, data: bytes) -> None:
        """Take the lines of text of one image."""
        del data
        key = str(example.id)
        self._images[key] = {
            "id": example.id,
            "set": example.split,
            "width": example.width,
            "height": example.height,
            "file_name": f"{example.split}/{example.file_name}",
            EXTRA: {"sha256": example.sha256},
        }
        self._of_image[key] = []
        for label in example.of(Kind.TEXT):
            quad = quad_of(example, label)
            box, text = quad_box(quad), clean(label.content.text or "")
            number = _number(example.sha256, label.id, self._texts)
            entry = {
                "id": number,
                "image_id": example.id,
                "bbox": [box.x, box.y, round(box.width, 2), round(box.height, 2)],
                "area": round(quad_area(quad), 2),
                "mask": [value for point in quad for value in (point.x, point.y)],
                "legibility": "legible" if text else "illegible",
                "class": "others",
                "language": "na",
                **({"utf8_string": text} if text else {}),
                EXTRA: {"score": score_of(label), "verdict": verdict(label)},
            }
            self._texts[str(number)] = entry
            self._of_image[key].append(number)
            self.tally.written[Kind.TEXT.value] += 1

    def finish(self) -> None:
        """Write the document."""
        folder = self._plan.folder / "annotations"
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "info": {"description": self._plan.name, "provenance": dict(self._plan.sources)},
            "cats": {},
            "imgs": self._images,
            "anns": self._texts,
            "imgToAnns": self._of_image,
        }
        (folder / "coco_text.json").write_bytes(dumped(document) + b"\n")


def _number(sha256: str, label_id: str, taken: dict[str, JsonObject]) -> int:
    attempt, number = 0, int(label_id) if label_id.isdecimal() else 0
    while number == 0 or str(number) in taken:
        number = annotation_id(sha256, "person", label_id, attempt)
        attempt += 1
    return number
