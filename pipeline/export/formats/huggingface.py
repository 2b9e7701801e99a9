"""Parquet files that ``datasets.load_dataset`` loads as they are, images inside.

The ``datasets`` library describes the columns; masks are COCO run lengths, which it has no type
for.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.coco.naming import clean
from pipeline.export.example import UNSPLIT, Example, Plan, Tally, class_of
from pipeline.export.formats.coco import score_of
from pipeline.export.formats.extra import missing_extra
from pipeline.export.quads import quad_of
from pipeline.labels import Kind
from pipeline.records import JsonObject

_ROWS: Final = 64
_SPLITS: Final = {UNSPLIT: "train", "val": "validation"}
"""What the library calls parts."""


class HuggingFaceExport:
    """``data/<split>.parquet`` and a dataset card, ``README.md``."""

    def __init__(self, plan: Plan) -> None:
        try:
            import datasets  # noqa: PLC0415  an extra
        except ImportError as error:
            raise missing_extra("huggingface", "datasets") from error
        self.tally = Tally()
        self._plan = plan
        self._features = _features(datasets, plan)
        self._rows: dict[str, list[JsonObject]] = {split: [] for split in plan.splits}
        self._numbers = {name: place for place, name in enumerate(plan.shape_classes)}
        self._tags = {name: place for place, name in enumerate(plan.tag_classes)}
        (plan.folder / "data").mkdir(exist_ok=True)
        self._writers: dict[str, pq.ParquetWriter] = {}

    def image_path(self, example: Example) -> None:
        """Inside the table."""

    def add(self, example: Example, data: bytes) -> None:
        """Write the row of one image."""
        rows = self._rows[example.split]
        rows.append(self._row(example, data))
        self.tally.written.update(label.content.kind.value for label in example.labels)
        if len(rows) >= _ROWS:
            self._flush(example.split)

    def _row(self, example: Example, data: bytes) -> JsonObject:
        objects, texts = example.of(Kind.OBJECT), example.of(Kind.TEXT)
        boxes = [example.box(label) for label in objects]
        masks = [example.mask(label) for label in objects]
        quads = [quad_of(example, label) for label in texts]
        return {
            "image": {"bytes": data, "path": example.file_name},
            "image_id": example.id,
            "sha256": example.sha256,
            "width": example.width,
            "height": example.height,
            "objects": {
                "id": [label.id for label in objects],
                "bbox": [[box.x, box.y, box.width, box.height] for box in boxes],
                "category": [self._numbers[class_of(label)] for label in objects],
                "segmentation": [mask.counts for mask in masks],
                "score": [score_of(label) for label in objects],
            },
            "texts": {
                "id": [label.id for label in texts],
                "text": [clean(label.content.text or "") for label in texts],
                "quad": [[value for p in quad for value in (p.x, p.y)] for quad in quads],
                "score": [score_of(label) for label in texts],
            },
            "tags": [self._tags[label.content.label] for label in example.of(Kind.TAG)],
        }

    def _flush(self, split: str) -> None:
        rows = self._rows[split]
        if not rows:  # the library cannot load a file without rows
            return
        schema = self._features.arrow_schema
        if split not in self._writers:
            path = self._plan.folder / "data" / f"{_SPLITS.get(split, split)}.parquet"
            self._writers[split] = self._plan.opened.enter_context(pq.ParquetWriter(path, schema))
        self._writers[split].write_table(pa.Table.from_pylist(rows, schema=schema))
        rows.clear()

    def finish(self) -> None:
        """Write what is left, and the card."""
        for split in self._plan.splits:
            self._flush(split)
        for writer in self._writers.values():
            writer.close()
        names = [_SPLITS.get(split, split) for split in self._plan.splits if split in self._writers]
        files = "".join(f"  - split: {name}\n    path: data/{name}.parquet\n" for name in names)
        head = f"---\nconfigs:\n- config_name: default\n  data_files:\n{files}---\n"
        body = f"\n# {clean(self._plan.name)}\n\nLabels by autolabel; see manifest.json.\n"
        (self._plan.folder / "README.md").write_text(head + body, encoding="utf-8")


def _features(datasets: Any, plan: Plan) -> Any:  # noqa: ANN401  an untyped library
    number, text, share = (datasets.Value(name) for name in ("int64", "string", "float64"))
    classes = datasets.ClassLabel(names=[clean(name) for name in plan.shape_classes])
    tags = datasets.ClassLabel(names=[clean(name) for name in plan.tag_classes] or ["none"])
    listed = datasets.List
    return datasets.Features(
        {
            "image": datasets.Image(),
            "image_id": number,
            "sha256": text,
            "width": number,
            "height": number,
            "objects": {
                "id": listed(text),
                "bbox": listed(listed(share, length=4)),
                "category": listed(classes),
                "segmentation": listed(text),
                "score": listed(share),
            },
            "texts": {
                "id": listed(text),
                "text": listed(text),
                "quad": listed(listed(share, length=8)),
                "score": listed(share),
            },
            "tags": listed(tags),
        }
    )
