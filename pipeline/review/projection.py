"""The dataset: its name, its schema, its samples. The only writer of samples.

Samples are written as documents of the database, one atomic update each, and only while they are
as they were read: an edit that a reviewer makes in between is taken up first, never overwritten.
FiftyOne's own ways to write set field after field, without such a condition.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, UpdateOne
from pymongo.errors import ConnectionFailure, DocumentTooLarge, PyMongoError
from pymongo.write_concern import WriteConcern

from pipeline.errors import DatabaseError, ReviewError
from pipeline.review.fields import LISTS, OBJECTS, TAGS, TEXTS
from pipeline.runfile import RunFile

_BATCH: Final = 64
_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A sample as it is in the database.

    Attributes:
        document: Its fields; label fields raw, so that untouched ones cost nothing.
    """

    document: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Identity of the image."""
        return str(self.document["sha256"])

    @property
    def note(self) -> Mapping[str, Any]:
        """What the last publish or pull noted; empty for a sample that was never finished."""
        note: Mapping[str, Any] = self.document.get("auto") or {}
        return note


@dataclass(frozen=True, slots=True)
class SampleUpdate:
    """New values of a sample, to be written while it is as it was read.

    Attributes:
        before: As it was read; None for one that is new.
    """

    sha256: str
    before: StoredSample | None
    values: Mapping[str, Any]


def dataset_name(run: RunFile) -> str:
    """Name of the dataset of a run file: its name, and a hash to tell workspaces apart."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", run.config.name).strip("-")[:_NAME] or "run"
    return f"{plain}-{_workspace_hash(run.config.workspace)}"


def _workspace_hash(workspace: Path) -> str:
    return hashlib.sha256(str(workspace.resolve()).encode()).hexdigest()[:8]


class ReviewDataset:
    """The FiftyOne dataset of a workspace; made if it is not there. Needs an open database.

    Args:
        name: As ``dataset_name`` gives it.

    Attributes:
        dataset: The ``fiftyone.Dataset``.
    """

    def __init__(self, name: str) -> None:
        import fiftyone as fo
        from fiftyone.core.odm import get_db_conn

        fo.config.show_progress_bars = False
        exists = fo.dataset_exists(name)
        self.dataset: Final = fo.load_dataset(name) if exists else fo.Dataset(name, persistent=True)
        _declare(self.dataset)
        options = CodecOptions(document_class=RawBSONDocument, tz_aware=True, tzinfo=UTC)
        collection = get_db_conn()[self.dataset._sample_collection_name]  # noqa: SLF001
        # Nothing counts as written before it is in the journal: an acknowledged write survives.
        self._samples = collection.with_options(write_concern=WriteConcern(w="majority", j=True))
        self._raw = collection.with_options(codec_options=options)

    def read(self, sha256s: Sequence[str] | None = None) -> Iterator[StoredSample]:
        """Give samples that were made here, in bounded memory.

        Args:
            sha256s: Which; all if None.

        Yields:
            The sample, label fields raw.
        """
        query = {"sha256": {"$type": "string"} if sha256s is None else {"$in": list(sha256s)}}
        # A few at a time: a sample with many masks takes megabytes.
        for document in self._raw.find(query, {"embedding": 0}).batch_size(_BATCH):
            yield StoredSample(document)

    def digests(self) -> set[str]:
        """Give the sha256 of every sample that was made here."""
        return {
            row["sha256"] for row in self._raw.find({"sha256": {"$type": "string"}}, ["sha256"])
        }

    def add(self, files: Mapping[str, str]) -> None:
        """Add bare samples.

        Args:
            files: sha256 → absolute path.
        """
        import fiftyone as fo

        samples = [fo.Sample(filepath=path, sha256=digest) for digest, path in files.items()]
        if samples:
            self.dataset.add_samples(samples, expand_schema=False, validate=False, progress=False)

    def write(self, updates: Sequence[SampleUpdate]) -> int:
        """Write samples that are still as they were read; gives how many were."""
        now = datetime.now(UTC)
        operations = [
            UpdateOne(_unchanged(update), {"$set": {**update.values, "last_modified_at": now}})
            for update in updates
        ]
        if not operations:
            return 0
        return int(self._samples.bulk_write(operations, ordered=False).matched_count)

    def remove(self, samples: Iterable[StoredSample]) -> int:
        """Remove samples that are still as they were read; gives how many were."""
        operations = [DeleteOne(_as_read(sample)) for sample in samples]
        if not operations:
            return 0
        return int(self._samples.bulk_write(operations, ordered=False).deleted_count)


def _unchanged(update: SampleUpdate) -> dict[str, Any]:
    if update.before is None:
        return {"sha256": update.sha256, "auto": None}
    return _as_read(update.before)


def _as_read(sample: StoredSample) -> dict[str, Any]:
    document = sample.document
    return {"_id": document["_id"], "last_modified_at": document["last_modified_at"]}


@contextmanager
def database_faults(doing: str) -> Iterator[None]:
    """Turn faults of the database into one message that says what to do.

    Yields:
        Nothing.

    Raises:
        DatabaseError: The database is gone, or refuses.
        ReviewError: An image has more labels than the database can hold.
    """
    try:
        yield
    except DocumentTooLarge as error:
        raise ReviewError(
            f"{doing}: the labels of one image exceed the 16 MB that MongoDB holds per image "
            f"({error}). Raise policy.regions.min_area or the thresholds and run again"
        ) from None
    except (ConnectionFailure, ConnectionError) as error:
        raise DatabaseError(
            f"{doing}: the database is gone ({str(error)[:200]}). What was pulled is kept; "
            "the same command starts the database again and goes on"
        ) from None
    except PyMongoError as error:
        raise DatabaseError(f"{doing}: the database refused: {str(error)[:500]}") from None


def _declare(dataset: Any) -> None:  # noqa: ANN401
    """Declare every field once; a dataset whose making was interrupted gets what it lacks."""
    import fiftyone as fo
    from fiftyone.core.odm import create_field

    there = dataset.get_field_schema(flat=True)
    missing = {path: kind for path, kind in _schema(fo).items() if path not in there}
    fields = {
        path: create_field(path.rsplit(".", 1)[-1], kind, **extra)
        for path, (kind, extra) in missing.items()
    }
    # All in one go: add_sample_field reads the whole dataset document again for each, 25 s in all.
    for deep in (False, True):
        chosen = {path: field for path, field in fields.items() if ("." in path) is deep}
        if chosen:
            dataset._merge_sample_field_schema(chosen)  # noqa: SLF001
    if "sha256" not in dataset.get_index_information():
        dataset.create_index("sha256", unique=True)


def _schema(fo: Any) -> dict[str, tuple[Any, dict[str, Any]]]:  # noqa: ANN401
    text, number, whole = fo.StringField, fo.FloatField, fo.IntField
    plain: dict[str, Any] = dict.fromkeys(
        ("sha256", "file_name", "image_id", "run_id", "status", "quarantine_reason",
         "quarantine_detail"), text
    )  # fmt: skip
    plain |= {"changed_by_rerun": fo.BooleanField, "min_margin": number}
    plain |= {"embedding": fo.VectorField, "auto": fo.DictField}
    schema: dict[str, tuple[Any, dict[str, Any]]] = {
        path: (kind, {}) for path, kind in plain.items()
    }
    schema["conflicts"] = (fo.ListField, {"subfield": text})
    classes = {OBJECTS: fo.Detections, TEXTS: fo.Polylines, TAGS: fo.Classifications}
    for field, document in classes.items():
        schema[field] = (fo.EmbeddedDocumentField, {"embedded_doc_type": document})
    common: dict[str, Any] = dict.fromkeys(
        ("autolabel_id", "review", "source", "decision", "reason", "run_id", "model", "auto_hash",
         "proposal", "reviewed_by"), text
    )  # fmt: skip
    common |= {"margin": number, "reviewed_at": fo.DateTimeField}
    special: dict[str, dict[str, Any]] = {
        OBJECTS: {
            "predicted_iou": number, "stability": number, "area": whole, "runner_up": text,
            "background": number,
        },
        TEXTS: {"text": text, "order": whole, "owner": text},
        TAGS: {},
    }  # fmt: skip
    for field, own in special.items():
        schema |= {f"{LISTS[field]}.{name}": (kind, {}) for name, kind in {**common, **own}.items()}
    return schema
