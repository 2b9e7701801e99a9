"""Dataset → log: what people did in any tool, found by comparison, kept durably."""

from __future__ import annotations

import getpass
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from pipeline.errors import ReviewError
from pipeline.labels.log import ReviewLog, locked_reviews
from pipeline.labels.runs import FinishedRun
from pipeline.labels.values import (
    Content,
    Event,
    ImageReviews,
    MachineLabel,
    Status,
    canonical,
    content_hash,
)
from pipeline.review.changes import SeenImage, detect
from pipeline.review.database import open_database
from pipeline.review.documents import (
    FIELDS,
    fields_digest,
    published_from_note,
    seen_labels,
    written_time,
)
from pipeline.review.fields import DONE
from pipeline.review.projection import (
    ReviewDataset,
    SampleUpdate,
    StoredSample,
    database_faults,
    dataset_name,
)
from pipeline.runfile import RunFile
from pipeline.write import LABELS

REVIEWER_SETTING: Final = "AUTOLABEL_REVIEWER"
_CHUNK: Final = 64
ItemT = TypeVar("ItemT")


@dataclass(slots=True)
class PullReport:
    """What a pull found.

    Attributes:
        dataset: Name of the dataset.
        images: Images that people touched.
        events: What was done → how often.
    """

    dataset: str
    images: int = 0
    events: Counter[str] = field(default_factory=Counter)

    def count(self, events: Iterable[Event]) -> None:
        """Count the events of one image."""
        found = [what.value for event in events for what in event.what]
        self.images += bool(found)
        self.events.update(found)


def pull(run: RunFile) -> PullReport:
    """Take what people did in the dataset into the log.

    Raises:
        DatabaseError: The database cannot be started or reached, or is lost on the way.
        ReviewError: There is no dataset yet, or the log cannot be read or written.
    """
    workspace, name = run.config.workspace, dataset_name(run)
    with locked_reviews(workspace), open_database(workspace), database_faults("pull"):
        import fiftyone as fo

        if not fo.dataset_exists(name):
            raise ReviewError(
                f"{name}: no such dataset yet; make it with: autolabel publish CONFIG"
            )
        puller = Puller(ReviewDataset(name), ReviewLog(workspace), workspace)
        puller.pull_all()
        return puller.report


def reviewer() -> str:
    """Name for acts that name nobody: the setting's, else the account's."""
    named = os.environ.get(REVIEWER_SETTING, "").strip()
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return "unknown"


class Puller:
    """Compares samples with what was published of them.

    Args:
        dataset: Where people work.
        log: Where what they did is kept.
        workspace: Whose runs say what the machine had said.
    """

    def __init__(self, dataset: ReviewDataset, log: ReviewLog, workspace: Path) -> None:
        self.report: Final = PullReport(dataset.dataset.name)
        self._dataset = dataset
        self._log = log
        self._workspace = workspace
        self._by = reviewer()
        self._runs: dict[str, FinishedRun | None] = {}

    def pull_all(self) -> None:
        """Pull every sample."""
        for samples in chunked(self._dataset.read(), _CHUNK):
            self.take(samples)

    def take(self, samples: Iterable[StoredSample]) -> bool:
        """Pull samples that were just read; gives whether people had touched any.

        What was taken is durable in the log before the samples are marked as pulled.

        Raises:
            ReviewError: The log cannot be written; the samples are as they were.
        """
        touched = [sample for sample in samples if sample.note and is_touched(sample)]
        updates, events = [], []
        for sample in touched:
            seen = self._seen(sample)
            machine = self._machine(sample)
            found = list(detect(seen, machine, self._log[sample.sha256]))
            self.report.count(found)
            events += found
            updates.append(_pulled(sample, seen))
        self._log.append(events)
        self._dataset.write(updates)
        return bool(touched)

    def _seen(self, sample: StoredSample) -> SeenImage:
        document, reviews = sample.document, self._log[sample.sha256]
        machine = self._machine(sample)
        size = document["metadata"]["width"], document["metadata"]["height"]
        return SeenImage(
            sample.sha256,
            document.get("file_name") or "",
            seen_labels(document, size, lambda name: _known(name, machine, reviews)),
            published_from_note(sample.note.get("labels", ())),
            frozenset(kind for kind, name in FIELDS.items() if document.get(name) is not None),
            document.get("status") == DONE,
            bool(sample.note.get("done")),
            self._by,
            written_time(document["last_modified_at"]) or "",
            tuple(sorted(document.get("tags") or ())),
            tuple(sorted(sample.note.get("tags", ()))),
        )

    def _machine(self, sample: StoredSample) -> Mapping[str, MachineLabel]:
        run_id = sample.document.get("run_id") or ""
        if run_id not in self._runs:
            folder = self._workspace / "runs" / run_id
            here = bool(run_id) and (folder / LABELS).is_file()
            self._runs[run_id] = FinishedRun(folder) if here else None
        run = self._runs[run_id]
        return {} if run is None else {label.id: label for label in run.labels(sample.sha256)}


def is_touched(sample: StoredSample) -> bool:
    """Tell whether anything of the labels or the status differs from what was written."""
    return bool(fields_digest(sample.document) != sample.note.get("digest"))


def _known(
    label_id: str, machine: Mapping[str, MachineLabel], reviews: ImageReviews
) -> Iterator[Content]:
    logged = reviews.labels.get(label_id)
    if logged is not None and logged.content is not None:
        yield logged.content
    if label_id in machine:
        yield machine[label_id].content


def _pulled(sample: StoredSample, seen: SeenImage) -> SampleUpdate:
    """Note that the sample is known as it is now."""
    states = {label.id: label.status for label in seen.published}
    labels = [
        [
            label.id,
            label.content.kind.value,
            content_hash(label.content),
            (label.review or states.get(label.id, Status.PENDING)).value,
            canonical(dict(label.extras)),
        ]
        for label in seen.labels
    ]
    values: dict[str, Any] = {
        "auto.labels": labels,
        "auto.done": seen.done,
        "auto.tags": list(seen.tags),
        "auto.digest": fields_digest(sample.document),
        "auto.content": None,  # the next publish lays the sample out anew
    }
    return SampleUpdate(sample.sha256, sample, values)


def chunked(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Cut a stream into lists.

    Yields:
        Lists of ``size`` items; the last may be shorter.
    """
    stream = iter(items)
    while chunk := list(islice(stream, size)):
        yield chunk
