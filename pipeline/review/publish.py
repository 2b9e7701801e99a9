"""Latest run + log → dataset. Pulls first; then writes the samples that differ, and only those.

Killed at any moment, here or in the database, the next publish makes the dataset what the
workspace says: a sample is one document, its note says what it was made from, and both are
written at once.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bson.binary import Binary

from pipeline.coco.document import TEXT
from pipeline.config import ClassConfig
from pipeline.labels.log import ReviewLog, locked_reviews
from pipeline.labels.merge import merge
from pipeline.labels.runs import (
    FinishedRun,
    QuarantinedFile,
    RunImage,
    by_labels,
    latest,
    showable,
)
from pipeline.labels.values import (
    MergedLabel,
    Status,
    canonical,
    content_hash,
    facts_to_json,
    machine_to_json,
)
from pipeline.records import JsonObject, StageName
from pipeline.review.database import open_database
from pipeline.review.documents import (
    fields_digest,
    label_fields,
    pack_array,
    published_note,
)
from pipeline.review.fields import DONE, OBJECTS, PENDING, QUARANTINED, TAGS, TEXTS
from pipeline.review.look import dress
from pipeline.review.projection import (
    ReviewDataset,
    SampleUpdate,
    StoredSample,
    database_faults,
    dataset_name,
)
from pipeline.review.pull import Puller, PullReport
from pipeline.review.queues import SURE, conflicts, min_margin
from pipeline.runfile import RunFile
from pipeline.store import FindingStore, StageStore

if TYPE_CHECKING:
    from pipeline.app import Listener  # which loads every verb, and none is needed here

_CHUNK_IMAGES: Final = 64
_ATTEMPTS: Final = 5


@dataclass(slots=True)
class PublishReport:
    """What a publish did.

    Attributes:
        dataset: Name of the dataset.
        pulled: What people had done since the last time.
        images: Images of the run.
        written: Samples that were new or differed.
        unchanged: Samples that were right already.
        removed: Samples of images that are in the folder no more; their reviews are kept.
        quarantined: Files without labels; those that can be shown have samples.
        decided: Labels that stand as a person left them.
        proposals: Among them, those on which the machine now says something new.
        busy: Samples left for the next publish, as somebody kept editing them.
    """

    dataset: str
    run_id: str
    pulled: PullReport
    images: int = 0
    written: int = 0
    unchanged: int = 0
    removed: int = 0
    quarantined: int = 0
    decided: int = 0
    proposals: int = 0
    busy: int = 0


@dataclass(frozen=True, slots=True)
class _Target:
    """What a sample shall be, but for its masks, which are laid out only if it must be written.

    Attributes:
        before: The sample as it is, None if there is none.
        flat: Values of its plain fields.
        machine: Digest of what the run says of the image.
        content: Digest of all of this.
    """

    sha256: str
    path: str
    width: int
    height: int
    labels: tuple[MergedLabel, ...]
    flat: Mapping[str, Any]
    machine: str
    content: str
    vector: Any = field(default=None, compare=False)
    before: StoredSample | None = None


def publish(run: RunFile, listener: Listener | None = None) -> PublishReport:
    """Make the dataset show the latest run of a workspace, with all that people decided.

    Raises:
        DatabaseError: The database cannot be started or reached, or is lost on the way.
        ReviewError: There is no finished run, or the log cannot be read or written.
    """
    workspace = run.config.workspace
    with locked_reviews(workspace):
        finished = latest(workspace)
        log = ReviewLog(workspace)
        with open_database(workspace), database_faults("publish"):
            dataset = ReviewDataset(dataset_name(run))
            puller = Puller(dataset, log, workspace)
            # FiftyOne's modules stay; without them in view the collector takes a sixth less of all.
            gc.freeze()
            report = _Publisher(finished, log, dataset, puller).run(listener)
            dress(dataset.dataset, _classes(run, finished, log))
            return report


class _Publisher:
    """One publish."""

    def __init__(
        self,
        run: FinishedRun,
        log: ReviewLog,
        dataset: ReviewDataset,
        puller: Puller,
    ) -> None:
        self._run = run
        self._log = log
        self._dataset = dataset
        self._puller = puller
        self._vectors = _vectors(run)
        self._report = PublishReport(dataset.dataset.name, run.run_id, puller.report)
        stages, classes = run.config["stages"], run.config["policy"]["classes"]
        self._owners = bool(stages.get("segment"))
        looked_twice = stages.get("segment") and stages.get("embed")
        self._both = frozenset(
            entry["name"] for entry in classes if looked_twice and entry["use"] == "both"
        )

    def run(self, listener: Listener | None) -> PublishReport:
        """Pull, write, tidy up."""
        if listener is not None:
            listener.phase("pull", None)
        self._puller.pull_all()
        if listener is not None:
            listener.phase("publish", len(self._run))
        for images in by_labels(self._run.images()):
            self._write([image.sha256 for image in images], lambda xs=images: map(self._image, xs))
            self._report.images += len(images)
            if listener is not None:
                listener.advance(len(images))
        quarantined = self._run.quarantined()
        shown = showable(quarantined, self._run)
        for start in range(0, len(shown), _CHUNK_IMAGES):
            files = shown[start : start + _CHUNK_IMAGES]
            self._write(
                [str(file.sha256) for file in files], lambda xs=files: map(self._quarantined, xs)
            )
        self._report.quarantined = len(quarantined)
        self._remove({str(file.sha256) for file in shown})
        self._describe(quarantined)
        return self._report

    def _write(self, digests: Sequence[str], targets: Any) -> None:  # noqa: ANN401
        """Write a chunk; what a reviewer changed since it was read is pulled and tried again."""
        for attempt in range(_ATTEMPTS):
            found = {sample.sha256: sample for sample in self._dataset.read(digests)}
            if self._puller.take(found.values()):
                found = {sample.sha256: sample for sample in self._dataset.read(digests)}
            wanted = [self._finished(target, found.get(target.sha256)) for target in targets()]
            due = [target for target in wanted if target.content != _content_of(target.before)]
            if not attempt:
                self._count(wanted, due)
            if not due:
                return
            self._dataset.add({t.sha256: t.path for t in due if t.before is None})
            written = self._dataset.write([self._update(target) for target in due])
            if written == len(due):
                return
        self._report.busy += len(due) - written

    def _count(self, wanted: Sequence[_Target], due: Sequence[_Target]) -> None:
        report, labels = self._report, [label for target in wanted for label in target.labels]
        report.written += len(due)
        report.unchanged += len(wanted) - len(due)
        report.decided += sum(label.status is not Status.PENDING for label in labels)
        report.proposals += sum(label.proposal is not None for label in labels)

    def _image(self, image: RunImage) -> _Target:
        reviews = self._log[image.sha256]
        labels = merge(image.labels, reviews, self._run.same_object)
        contradictions = conflicts(
            labels, self._both, same_object=self._run.same_object, owners=self._owners
        )
        flat = {
            "file_name": image.file_name,
            "image_id": str(image.id),
            "status": DONE if reviews.done else PENDING,
            "quarantine_reason": None,
            "quarantine_detail": None,
            "conflicts": contradictions,
            "tags": list(reviews.tags),
            "min_margin": SURE if reviews.done else min_margin(labels),
            "metadata": {
                "_cls": "ImageMetadata",
                "size_bytes": image.n_bytes,
                "mime_type": image.mime,
                "width": image.width,
                "height": image.height,
                "num_channels": 3,
            },
        }
        machine = _digest([[label.id, content_hash(label.content)] for label in image.labels])
        return _Target(
            image.sha256,
            image.path,
            image.width,
            image.height,
            labels,
            flat,
            machine,
            "",
            self._vectors,
        )

    def _quarantined(self, file: QuarantinedFile) -> _Target:
        flat: dict[str, Any] = {
            "file_name": file.file_name,
            "image_id": None,
            "status": QUARANTINED,
            "quarantine_reason": file.reason,
            "quarantine_detail": file.detail,
            "conflicts": [],
            "tags": list(self._log[str(file.sha256)].tags),
            "min_margin": SURE,
            "metadata": None,
        }
        return _Target(str(file.sha256), file.path, 0, 0, (), flat, "", "")

    def _finished(self, target: _Target, before: StoredSample | None) -> _Target:
        """Add what depends on the sample that is there."""
        note = before.note if before else {}
        changed = bool(note) and note.get("machine") != target.machine
        if note.get("machine") == target.machine and note.get("run") == self._run.run_id:
            changed = bool(before and before.document.get("changed_by_rerun"))
        flat = {**target.flat, "filepath": target.path, "changed_by_rerun": changed}
        key = target.vector.fingerprint if target.vector else None
        content = _digest([flat, [_label_to_json(label) for label in target.labels], key])
        return _Target(
            target.sha256,
            target.path,
            target.width,
            target.height,
            target.labels,
            flat,
            target.machine,
            content,
            target.vector,
            before,
        )

    def _update(self, target: _Target) -> SampleUpdate:
        labelled = target.flat["status"] != QUARANTINED
        values: dict[str, Any] = {**target.flat, "run_id": self._run.run_id}
        values |= (
            label_fields(target.labels, target.width, target.height)
            if labelled
            else dict.fromkeys((OBJECTS, TEXTS, TAGS))
        )
        if target.vector is not None:
            vector = target.vector.read([target.sha256]).get(target.sha256)
            values["embedding"] = None if vector is None else Binary(pack_array(vector))
        values["auto"] = {
            "labels": published_note(target.labels),
            "done": target.flat["status"] == DONE,
            "tags": target.flat["tags"],
            "digest": fields_digest(values),
            "machine": target.machine,
            "run": self._run.run_id,
            "content": target.content,
        }
        return SampleUpdate(target.sha256, target.before, values)

    def _remove(self, quarantined: set[str]) -> None:
        """Remove samples of images that left the folder, after a last look at them."""
        gone = [
            digest
            for digest in self._dataset.digests()
            if digest not in self._run and digest not in quarantined
        ]
        for start in range(0, len(gone), _CHUNK_IMAGES):
            digests = gone[start : start + _CHUNK_IMAGES]
            for _ in range(_ATTEMPTS):
                samples = list(self._dataset.read(digests))
                if self._puller.take(samples):
                    samples = list(self._dataset.read(digests))
                removed = self._dataset.remove(samples)
                self._report.removed += removed
                if removed == len(samples):
                    break

    def _describe(self, quarantined: Sequence[QuarantinedFile]) -> None:
        people = sorted(self._log.classes - {*self._run.classes, TEXT})
        self._dataset.dataset.info = {
            "autolabel": {
                "workspace": str(self._run.folder.parents[1]),
                "run_id": self._run.run_id,
                "classes": self._run.classes,
                "classes_of_people": people,
                "toy_models": self._run.toy_models,
                "provenance": list(self._run.provenance.values()),
            },
            "quarantine": [
                {
                    "path": file.path,
                    "reason": file.reason,
                    "detail": file.detail,
                    "stage": file.stage,
                    "sha256": file.sha256,
                }
                for file in quarantined
            ],
        }
        self._dataset.dataset.save()


def _classes(run: RunFile, finished: FinishedRun, log: ReviewLog) -> list[ClassConfig]:
    """Classes of the run file, which may be newer than the run; then others that labels have."""
    known = {entry.name: entry for entry in run.config.policy.classes}
    for other in (*finished.classes, *sorted(log.classes - {TEXT})):
        known.setdefault(other, ClassConfig(name=other))
    return list(known.values())


def _vectors(run: FinishedRun) -> StageStore[Any] | None:
    """Open the image vectors of the run, if it made any."""
    stages = [row for row in run.provenance.values() if row["stage"] == StageName.EMBED.value]
    if not stages:
        return None
    store = FindingStore(run.store_url)
    description = store.description(StageName.EMBED, stages[0]["fingerprint"])
    return None if description is None else store.stage(StageName.EMBED, description)


def _content_of(sample: StoredSample | None) -> object:
    return None if sample is None else sample.note.get("content")


def _label_to_json(label: MergedLabel) -> JsonObject:
    proposal = label.proposal and {**machine_to_json(label.proposal), "run_id": None}
    return {
        "id": label.id,
        "content": content_hash(label.content),
        "status": label.status.value,
        "source": label.source,
        "facts": facts_to_json(label.facts),
        "proposal": proposal,
        "extras": dict(label.extras),
        "by": label.by,
        "at": label.at,
    }


def _digest(value: object) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:32]
