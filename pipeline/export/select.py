"""Labels as they stand → images and labels that go out, and what stays behind and why."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline import rle
from pipeline.coco.document import TEXT
from pipeline.config import ClassConfig
from pipeline.errors import ConfigError
from pipeline.export.example import UNSPLIT, Choice, Example, Picture, class_of, label_mask
from pipeline.export.naming import plain_suffix, safe_stem
from pipeline.labels import CurrentImage, CurrentLabels, Kind, MergedLabel, Status
from pipeline.labels.values import HUMAN
from pipeline.records import Decision, JsonObject, SourceFile
from pipeline.write import MANIFEST

_PLAIN_MODES: Final = frozenset({"RGB", "L"})
_HARMLESS: Final = frozenset({"wrong_extension", "exif_ignored"})


@dataclass(slots=True)
class Selection:
    """Chooses labels, image by image, and counts what it leaves out.

    Args:
        current: Labels as they stand.
        choice: Which of them go out.
        classes: Names to keep; empty for all.

    Attributes:
        roots: Folders of the source files.
        left_out: Reason → number.
        waiting: Images that go out although labels of theirs still wait for a person.

    Raises:
        ConfigError: A class is not known.
    """

    current: CurrentLabels
    choice: Choice
    classes: Sequence[str] = ()
    roots: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    _keep: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        known = class_names(self.current)
        if unknown := sorted(set(self.classes) - set(known)):
            raise ConfigError(
                f"--classes: {', '.join(unknown)}: no such class; known are {', '.join(known)}"
            )
        self._keep = frozenset(self.classes or known)

    def examples(self) -> Iterator[Example]:
        """Give the images that go out.

        Yields:
            Each with its labels, not split yet.
        """
        rows = (self.current.run.folder / MANIFEST).read_text(encoding="utf-8").splitlines()
        for image, row in zip(self.current, rows, strict=True):
            if self.choice is Choice.REVIEWED and not image.reviewed:
                self.left_out["image not reviewed"] += 1
            else:
                yield self._example(image, json.loads(row))

    def _example(self, image: CurrentImage, row: JsonObject) -> Example:
        labels = tuple(label for label in image.labels if self._goes_out(image, label))
        if self.choice is not Choice.REVIEWED:
            self.waiting += any(_waits(label, image) for label in image.labels)
        run, path = image.image, row["paths"][0]
        source = SourceFile(self._root(path["root"]), path["path"], run.sha256, run.n_bytes)
        return Example(
            run.id,
            run.sha256,
            safe_stem(path["path"], run.sha256),
            run.file_name,
            run.width,
            run.height,
            UNSPLIT,
            _picture(row, source),
            labels,
            image.tags,
        )

    def _root(self, folder: str) -> int:
        path = Path(folder)
        if path not in self.roots:
            self.roots.append(path)
        return self.roots.index(path)

    def _goes_out(self, image: CurrentImage, label: MergedLabel) -> bool:
        reason = self._against(image, label)
        if reason:
            self.left_out[reason] += 1
        return reason is None

    def _against(self, image: CurrentImage, label: MergedLabel) -> str | None:
        if label.status in {Status.REJECTED, Status.DELETED}:
            return "label rejected"
        if self.choice is Choice.ACCEPTED and _waits(label, image):
            return "label waits for review"
        if class_of(label) not in self._keep:
            return "label of another class"
        if label.content.kind is not Kind.TAG and not _has_pixels(image, label):
            return "label without a pixel in the image"
        return None


def _waits(label: MergedLabel, image: CurrentImage) -> bool:
    """Whether a person still has to look: the policy sent it to review, and nobody did."""
    if label.status is not Status.PENDING or label.source == HUMAN or image.done:
        return False
    return label.facts.decision != Decision.ACCEPT.value


def _has_pixels(image: CurrentImage, label: MergedLabel) -> bool:
    run, mask = image.image, label.content.mask
    if mask is not None and (mask.height, mask.width) != (run.height, run.width):
        return False
    return rle.area(label_mask(label.content, run.width, run.height)) > 0


def _picture(row: JsonObject, source: SourceFile) -> Picture:
    suffix = plain_suffix(row["mime"])
    plain = (
        suffix is not None
        and row["orientation"] == 1
        and row["mode"] in _PLAIN_MODES
        and row["n_frames"] == 1
        and not set(row["notes"]) - _HARMLESS
    )
    return Picture(source, plain, suffix if plain and suffix else ".png", row["orientation"])


def class_names(current: CurrentLabels) -> list[str]:
    """Names of all classes: the vocabulary in order, what people added, and ``text`` last."""
    names = current.run.classes
    return [*names, *sorted(current.log.classes - {*names, TEXT}), TEXT]


def class_configs(current: CurrentLabels, keep: Sequence[str]) -> list[ClassConfig]:
    """Classes that are kept, in their order, as the run's policy describes them; without text."""
    policy = {entry["name"]: entry for entry in current.run.config["policy"]["classes"]}
    names = [name for name in class_names(current) if name != TEXT and (not keep or name in keep)]
    return [
        ClassConfig(
            name=name,
            supercategory=policy.get(name, {}).get("supercategory", ""),
            use=policy.get(name, {}).get("use", "both"),
        )
        for name in names
    ]


def review_state(workspace: Path) -> JsonObject:
    """Say what the review log held: number of events, and a digest of them."""
    files = sorted((workspace / "reviews").glob("*.jsonl"))
    data = [file.read_bytes() for file in files]
    digest = hashlib.sha256(b"".join(data)).hexdigest()
    return {"events": sum(part.count(b"\n") for part in data), "sha256": digest}


def sources(current: CurrentLabels, state: JsonObject) -> tuple[dict[str, JsonObject], str]:
    """Entries of ``info.provenance``: the run's stages, and people, whose key is given too."""
    digest = str(state["sha256"])
    key = f"review@{digest[:12]}"
    people = {
        "stage": "review",
        "engine": "people",
        "model": "review log",
        "weights": digest,
        "fingerprint": digest[:32],
    }
    stages: Mapping[str, JsonObject] = current.run.provenance
    return {**stages, key: people}, key
