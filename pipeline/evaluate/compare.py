"""Brings run and truth together, image by image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline import rle
from pipeline.errors import EvaluationError
from pipeline.evaluate.sides import Compared, Comparison
from pipeline.labels import Content, CurrentImage, CurrentLabels, Kind, Status
from pipeline.labels.runs import FinishedRun, RunImage, latest
from pipeline.records import Box, Decision, ImageLabels
from pipeline.truth import Shape, Side, TrueImage, Truth, TruthKind, read_truth

REVIEWED = "reviewed"
"""What ``--truth`` says for the reviewed labels themselves."""


def compare(workspace: Path, truth: str) -> Comparison:
    """Bring the latest run of a workspace together with truth.

    Args:
        workspace: The workspace.
        truth: Path of a file, or ``reviewed``.

    Raises:
        EvaluationError: The truth is damaged, or no image of the run is in it.
        ReviewError: There is no finished run.
    """
    comparison = _reviewed(workspace) if truth == REVIEWED else _with_file(workspace, Path(truth))
    if not comparison.images:
        raise EvaluationError(
            f"{truth}: none of its images is in run {comparison.run_id} of {workspace}. "
            + (
                "Review some: autolabel review CONFIG"
                if truth == REVIEWED
                else "Images are matched by sha256, else by file_name"
            )
        )
    return comparison


def _with_file(workspace: Path, path: Path) -> Comparison:
    truth, run = read_truth(path), latest(workspace)
    known = _Known(truth.images)
    images: list[Compared] = []
    only_in_run = 0
    for image in run.images():
        true = known.take(image)
        if true is None:
            only_in_run += 1
            continue
        if (true.width, true.height) != (image.width, image.height):
            raise EvaluationError(
                f"{path}: {true.file_name} is {true.width} x {true.height} there, and "
                f"{image.width} x {image.height} in run {run.run_id}: not the same upright image"
            )
        images.append(_compared(image, true.side, truth))
    return _comparison(path, truth, run, images, only_in_run)


def _comparison(
    path: Path, truth: Truth, run: FinishedRun, images: list[Compared], only_in_run: int
) -> Comparison:
    return Comparison(
        truth.kind,
        str(path),
        truth.sha256,
        run.run_id,
        images,
        only_in_run,
        len(truth.images) - len(images),
        truth.classes,
        truth.tag_classes,
        truth.has_texts,
    )


class _Known:
    """Images of the truth by digest, else by name."""

    def __init__(self, images: Iterable[TrueImage]) -> None:
        self._by_digest = {image.sha256: image for image in images if image.sha256}
        self._by_name = {image.file_name: image for image in images if not image.sha256}

    def take(self, image: RunImage) -> TrueImage | None:
        """Give the true image of one of the run, at most once."""
        found = self._by_digest.pop(image.sha256, None)
        return found or self._by_name.pop(image.file_name, None)


def _compared(image: RunImage, side: Side, truth: Truth) -> Compared:
    return of_run(image, side, None if truth.classes is None else set(truth.classes))


def of_run(image: RunImage, truth: Side, classes: set[str] | None) -> Compared:
    """Hold an image of the run, as it was before anybody reviewed it, against its truth.

    Args:
        image: Of the run.
        truth: What is true.
        classes: Objects that the truth speaks of; None for all.
    """
    kept = [
        label
        for label in image.labels
        if classes is None or label.content.kind is not Kind.OBJECT
        or label.content.label in classes
    ]  # fmt: skip
    found, accepted = (
        _side(((one.id, one.content, one.facts.score) for one in labels), image)
        for labels in (kept, [one for one in kept if one.facts.decision == Decision.ACCEPT.value])
    )
    return Compared(
        image.id,
        image.sha256,
        image.file_name,
        image.width,
        image.height,
        truth,
        found,
        accepted,
    )


def derived_side(labels: ImageLabels, classes: Sequence[str] | None) -> Side:
    """What a policy makes of an image's findings: objects and tags that it does not drop.

    Args:
        labels: As fuse gives them, dropped ones included.
        classes: Objects that the truth speaks of; None for all.
    """
    objects = [
        Shape("", one.class_name, one.region.box, one.region.mask, one.region.area, one.score)
        for one in labels.instances
        if one.verdict.decision is not Decision.DROP
        and (classes is None or one.class_name in classes)
    ]
    stands = [one for one in labels.tags if one.verdict.decision is not Decision.DROP]
    return Side(tuple(objects), (), {one.class_name: one.score for one in stands})


def _side(labels: Iterable[tuple[str, Content, float | None]], image: RunImage) -> Side:
    objects: list[Shape] = []
    texts: list[Shape] = []
    tags: dict[str, float] = {}
    for ident, content, given in labels:
        score = 1.0 if given is None else given
        if content.kind is Kind.TAG:
            tags[content.label] = score
        else:
            shape = _shape(ident, content, score, image)
            (objects if content.kind is Kind.OBJECT else texts).append(shape)
    return Side(tuple(objects), tuple(texts), tags)


def _shape(ident: str, content: Content, score: float, image: RunImage) -> Shape:
    mask = content.mask
    if mask is None and content.points:
        ring = [value for point in content.points for value in (point.x, point.y)]
        mask = rle.polygon_mask([ring], image.width, image.height)
    box = content.box or (rle.tight_box(mask) if mask is not None else None) or Box(0, 0, 0, 0)
    area = rle.area(mask) if mask is not None else box.width * box.height
    return Shape(ident, content.label, box, mask, area, score, content.text)


def _reviewed(workspace: Path) -> Comparison:
    current = CurrentLabels(workspace)
    images = [_of_reviews(image) for image in current if image.reviewed]
    tag_classes = {name for one in images for name in (*one.truth.tags, *one.found.tags)}  # type: ignore[misc]  # both sides have tags here
    digest = hashlib.sha256()
    for file in sorted(current.log.folder.glob("*.jsonl")):
        digest.update(file.read_bytes())
    order = [*current.run.classes, *sorted(current.log.classes)]
    shapes = {s.class_name for one in images for s in (*one.truth.objects, *one.found.objects)}
    return Comparison(
        TruthKind.REVIEWED,
        str(current.log.folder),
        digest.hexdigest(),
        current.run.run_id,
        images,
        len(current) - len(images),
        0,
        _ordered(order, shapes),
        _ordered(order, tag_classes),
        any(one.truth.texts or one.found.texts for one in images),
    )


def _ordered(order: Sequence[str], names: set[str]) -> list[str] | None:
    return [name for name in dict.fromkeys(order) if name in names] or None


def _of_reviews(image: CurrentImage) -> Compared:
    stands = (
        (label.id, label.content, None)
        for label in image.labels
        if label.status is not Status.REJECTED
    )
    return of_run(image.image, _side(stands, image.image), None)
