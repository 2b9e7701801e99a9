"""WebDataset: tar shards, written by the library of that name; image and JSON per sample.

The same labels give the same bytes: times and owners in the archives are fixed.
"""

from __future__ import annotations

from typing import Any, Final

from pipeline.export.example import Example, Plan
from pipeline.export.formats.coco import CocoEntries, compressed, image_entry
from pipeline.export.formats.extra import missing_extra
from pipeline.export.formats.spool import dumped
from pipeline.labels import Kind

_SAMPLES: Final = 1000
_BYTES: Final = 500 * 2**20


class WebDatasetExport:
    """``<split>-000000.tar`` and so on, and ``categories.json``."""

    def __init__(self, plan: Plan) -> None:
        try:
            import webdataset  # noqa: PLC0415  an extra
        except ImportError as error:
            raise missing_extra("webdataset", "webdataset") from error
        self._library: Any = webdataset
        self._plan = plan
        self._entries = CocoEntries(plan, compressed)
        self.tally = self._entries.tally
        self._shards: dict[str, Any] = {}

    def image_path(self, example: Example) -> None:
        """Inside a shard."""

    def add(self, example: Example, data: bytes) -> None:
        """Write the sample of one image."""
        document = {**image_entry(example, self._plan), "annotations": self._entries.of(example)}
        self.tally.written[Kind.TAG.value] += len(example.of(Kind.TAG))
        sample = {"__key__": example.stem, example.picture.suffix[1:]: data}
        self._shard(example.split).write({**sample, "json": dumped(document)})

    def _shard(self, split: str) -> Any:  # noqa: ANN401  an untyped library
        if split not in self._shards:
            folder = str(self._plan.folder).replace("%", "%%")
            self._shards[split] = self._library.ShardWriter(
                f"{folder}/{split}-%06d.tar",
                maxcount=_SAMPLES,
                maxsize=_BYTES,
                verbose=0,
                mtime=0,
                user="",
                group="",
                encoder=False,
            )
            self._plan.opened.callback(self._shards[split].close)
        return self._shards[split]

    def finish(self) -> None:
        """Write the categories; the shards are closed with the plan."""
        document = {"categories": list(self._plan.categories)}
        info = {"provenance": dict(self._plan.sources)}
        (self._plan.folder / "categories.json").write_bytes(dumped({**document, **info}) + b"\n")
