"""Tags of images for classifiers: folders per class, and one CSV of many labels."""

from __future__ import annotations

import csv
from typing import Final

from pipeline.coco.naming import clean
from pipeline.export.example import Example, Plan, Tally
from pipeline.export.formats.coco import score_of
from pipeline.export.naming import folder_name
from pipeline.labels import Kind

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
UNTAGGED: Final = "image without a tag"
FURTHER: Final = "further tags of an image"


class FolderExport:
    """``<split>/<class>/`` as torchvision and Keras read it; the surest tag of an image counts.

    Images without a tag are left out; ``classes.csv`` says which folder is which class.
    """

    def __init__(self, plan: Plan) -> None:
        self.tally = Tally()
        self._plan = plan
        numbered = enumerate(plan.tag_classes, start=1)
        self._folders = {name: folder_name(name, number) for number, name in numbered}
        for split in plan.splits:
            for folder in self._folders.values():
                (plan.folder / split / folder).mkdir(parents=True, exist_ok=True)

    def image_path(self, example: Example) -> str | None:
        """In the folder of its class; None without a tag."""
        name = self._class(example)
        return name and f"{example.split}/{self._folders[name]}/{example.file_name}"

    def add(self, example: Example, data: bytes) -> None:
        """Count; the image's place says it all."""
        del data
        tags = len(example.of(Kind.TAG))
        if not tags:
            self.tally.left_out[UNTAGGED] += 1
        else:
            self.tally.written[Kind.TAG.value] += 1
            self.tally.left_out.update({FURTHER: tags - 1} if tags > 1 else {})

    @staticmethod
    def _class(example: Example) -> str | None:
        tags = example.of(Kind.TAG)
        if not tags:
            return None
        return min(tags, key=lambda tag: (-score_of(tag), tag.content.label)).content.label

    def finish(self) -> None:
        """Write which folder is which class."""
        path = self._plan.folder / "classes.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["folder", "class"])
            rows.writerows((folder, cell(name)) for name, folder in self._folders.items())


class CsvExport:
    """``images/<split>/`` and ``labels.csv``: a row per image, a column of 0 and 1 per class."""

    def __init__(self, plan: Plan) -> None:
        self.tally = Tally()
        self._plan = plan
        self._rows: list[list[str | int]] = []

    def image_path(self, example: Example) -> str:
        """Beside the others of its split."""
        return f"images/{example.split}/{example.file_name}"

    def add(self, example: Example, data: bytes) -> None:
        """Write the row of one image."""
        del data
        names = {tag.content.label for tag in example.of(Kind.TAG)}
        ones = [int(name in names) for name in self._plan.tag_classes]
        self._rows.append([self.image_path(example), example.split, *ones])
        self.tally.written[Kind.TAG.value] += len(names)

    def finish(self) -> None:
        """Write the table."""
        path = self._plan.folder / "labels.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["file", "split", *(cell(name) for name in self._plan.tag_classes)])
            rows.writerows(self._rows)


def cell(text: str) -> str:
    """Keep spreadsheets from taking a text for a formula."""
    return f"'{clean(text)}" if text.startswith(_FORMULA) else clean(text)
