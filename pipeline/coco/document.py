"""Labels laid out as COCO entries. Pure: the same labels give the same entries, in any run.

Ids come from content: an image's from the sha256 of its bytes, an annotation's from that and its
geometry, so neither a rename, nor another class, score or threshold changes them. Labels of one
image with the very same geometry are told apart by their place among all labels of the image,
dropped ones included.

Scores have 6 decimals: float32 carries 7 digits, and the last one differs between machines.
Corners of text have 2: readers are not sure of a hundredth of a pixel.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pipeline import rle
from pipeline.coco.naming import clean, name_key
from pipeline.config import ClassConfig
from pipeline.errors import CocoError
from pipeline.geometry import clip_quad
from pipeline.records import (
    Decision,
    ImageLabels,
    Instance,
    JsonObject,
    Mask,
    Point,
    Provenance,
    Quad,
    StageName,
    Tag,
    TextRegion,
    Verdict,
)

TEXT: Final = "text"
"""Name of the category of transcriptions, the last of the list."""

EXTRA: Final = "autolabel"
"""The one key for what COCO readers do not know."""

LARGEST_ID: Final = 2**52 - 1
"""Ids stay exact in readers that keep numbers as floats: COCOeval's matrices, JavaScript."""

EMPTY_MASK: Final = "the mask is empty"
NO_PIXEL: Final = "the text covers no pixel of the image"

_SCORE_DIGITS: Final = 6
_PIXEL_DIGITS: Final = 2


@dataclass(frozen=True, slots=True)
class WrittenCounts:
    """What became of the labels of one image: each is written or dropped, none is in between.

    Attributes:
        objects: Objects written.
        texts: Lines of text written.
        tags: Tags written.
        to_review: How many of these a person has to look at.
        dropped: Labels that were not written, by reason.
    """

    objects: int = 0
    texts: int = 0
    tags: int = 0
    to_review: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)


def image_id(digest: str, attempt: int = 0) -> int:
    """Id of an image, 1 to ``LARGEST_ID``, from the digest of its bytes.

    Args:
        digest: sha256 of the file's bytes.
        attempt: Above 0 for another id, where the first is taken by other content.
    """
    return _id("image", digest, str(attempt))


def annotation_id(digest: str, kind: str, geometry: str, attempt: int = 0) -> int:
    """Id of an annotation, 1 to ``LARGEST_ID``, from where it is and not from what it says.

    Args:
        digest: sha256 of the image file's bytes.
        kind: ``object`` or ``text``.
        geometry: Run lengths of the mask, or corners of the text.
        attempt: Above 0 for another id, where the first is taken by other content.
    """
    return _id("annotation", digest, kind, geometry, str(attempt))


def _id(*parts: str) -> int:
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") % LARGEST_ID + 1


def categories(classes: Sequence[ClassConfig]) -> list[JsonObject]:
    """Categories 1 to K in the order of the vocabulary, used or not, then ``text``.

    Raises:
        CocoError: Two names are the same but for case or composition of characters.
    """
    named = [(entry.name, entry.supercategory) for entry in classes] + [(TEXT, "")]
    times = Counter(name_key(name) for name, _ in named)
    if twice := [name for name, _ in named if times[name_key(name)] > 1]:
        raise CocoError(f"categories need names of their own, got {twice}: rename all but one")
    return [
        {"id": number, "name": name, "supercategory": supercategory}
        for number, (name, supercategory) in enumerate(named, start=1)
    ]


def source_key(stage: StageName, provenance: Provenance) -> str:
    """Name under which ``info.provenance`` explains a stage, e.g. ``segment@3f8a60c1d2e4``."""
    return f"{stage.value}@{provenance.fingerprint[:12]}"


def provenance_entry(stage: StageName, provenance: Provenance) -> JsonObject:
    """Lay out what ``info.provenance`` says of a stage."""
    return {
        "stage": stage.value,
        "engine": provenance.engine,
        "model": provenance.model,
        "weights": provenance.weights,
        "fingerprint": provenance.fingerprint,
    }


def image_entry(labels: ImageLabels, file_name: str, attempt: int = 0) -> JsonObject:
    """Lay out an image, with its tags and where it came from.

    Args:
        labels: All labels of the image.
        file_name: Posix path relative to the folder of images, as readers shall find it.
        attempt: As for ``image_id``.

    Raises:
        CocoError: A tag has a score that is none, or no stage to explain it.
    """
    image, info = labels.image, labels.image.info
    written = [tag for tag in labels.tags if not _goes(tag.verdict)]
    if written:
        _source(labels, StageName.EMBED)  # tags without provenance are refused
    return {
        "id": image_id(image.digest, attempt),
        "width": int(info.width),
        "height": int(info.height),
        "file_name": file_name,
        EXTRA: {
            "sha256": image.digest,
            "root": image.source.root,
            "path": image.source.path,
            "duplicates": [{"root": file.root, "path": file.path} for file in image.duplicates],
            "orientation": info.orientation,
            "tags": [_tag_entry(labels, tag) for tag in written],
            "sources": {
                stage.value: _source(labels, stage)
                for stage in StageName
                if stage in labels.provenance
            },
        },
    }


def _tag_entry(labels: ImageLabels, tag: Tag) -> JsonObject:
    where = f"tag {tag.class_name!r} of {_name(labels)}"
    return {
        "class": tag.class_name,
        "score": _share(tag.score, where),
        "threshold": _share(tag.threshold, where),
        "verdict": _verdict_entry(tag.verdict),
    }


def annotation_entries(
    labels: ImageLabels, category_ids: Mapping[str, int], attempt: int = 0
) -> list[JsonObject]:
    """Lay out what is accepted or to be reviewed: objects in their order, then lines of text.

    Args:
        labels: All labels of the image.
        category_ids: Category name → id, ``text`` included.
        attempt: As for ``annotation_id``.

    Raises:
        CocoError: A label's class, score, mask or corners cannot be written as valid COCO, or no
            stage explains it.
    """
    return lay_out(labels, category_ids, attempt)[0]


def lay_out(
    labels: ImageLabels, category_ids: Mapping[str, int], attempt: int = 0
) -> tuple[list[JsonObject], WrittenCounts]:
    """Lay out annotations as ``annotation_entries`` does, and count what became of every label.

    Raises:
        CocoError: As for ``annotation_entries``.
    """
    dropped = Counter(clean(tag.verdict.reason) for tag in labels.tags if _goes(tag.verdict))
    objects = _object_entries(labels, category_ids, attempt, dropped)
    owners = {place: int(entry["id"]) for place, entry in objects.items()}
    texts = _text_entries(labels, category_ids, attempt, owners, dropped)
    entries = [*objects.values(), *texts]
    tags = [tag.verdict for tag in labels.tags if not _goes(tag.verdict)]
    review = Decision.REVIEW.value
    to_review = sum(entry[EXTRA]["verdict"]["decision"] == review for entry in entries)
    to_review += sum(verdict.decision is Decision.REVIEW for verdict in tags)
    return entries, WrittenCounts(len(objects), len(texts), len(tags), to_review, dict(dropped))


def _goes(verdict: Verdict) -> bool:
    return verdict.decision is Decision.DROP


def _object_entries(
    labels: ImageLabels, category_ids: Mapping[str, int], attempt: int, dropped: Counter[str]
) -> dict[int, JsonObject]:
    """Entries by place in ``labels.instances``."""
    entries: dict[int, JsonObject] = {}
    twins: Counter[str] = Counter()
    for place, instance in enumerate(labels.instances):
        counts = instance.region.mask.counts
        twin, twins[counts] = twins[counts], twins[counts] + 1
        where = f"object {place} of {_name(labels)}"
        if _goes(instance.verdict):
            dropped[clean(instance.verdict.reason)] += 1
        elif (shape := _shape(_sound_mask(labels, instance.region.mask, where))) is None:
            dropped[EMPTY_MASK] += 1
        else:
            head = _head(labels, "object", shape["segmentation"]["counts"], twin, attempt)
            category = {"category_id": _category(category_ids, instance.class_name, where)}
            score = {"score": _share(instance.score, where)}
            extra = {EXTRA: _object_extra(labels, instance, where)}
            entries[place] = head | category | shape | score | extra
    return entries


def _object_extra(labels: ImageLabels, instance: Instance, where: str) -> JsonObject:
    second = instance.runner_up
    runner_up = second and {"class": second.class_name, "score": _share(second.score, where)}
    extra = {
        "verdict": _verdict_entry(instance.verdict),
        "runner_up": runner_up,
        "background": _share(instance.background, where),
        "predicted_iou": _number(instance.region.predicted_iou, _SCORE_DIGITS, where),
        "stability": _number(instance.region.stability, _SCORE_DIGITS, where),
        "merged": int(instance.merged),
        "source": _source(labels, StageName.SEGMENT),
    }
    for stage in (StageName.POOL_REGIONS, StageName.EMBED_REGIONS):  # crops name, where both are
        if stage in labels.provenance:
            extra["named_by"] = _source(labels, stage)
    return {key: value for key, value in extra.items() if value is not None}


def _text_entries(
    labels: ImageLabels,
    category_ids: Mapping[str, int],
    attempt: int,
    owners: Mapping[int, int],
    dropped: Counter[str],
) -> list[JsonObject]:
    entries: list[JsonObject] = []
    twins: Counter[str] = Counter()
    info = labels.image.info
    for place, text in enumerate(labels.texts):
        where = f"text {place} of {_name(labels)}"
        quad = _frame(text.quad, info.width, info.height)
        geometry = " ".join(f"{point.x} {point.y}" for point in quad)
        twin, twins[geometry] = twins[geometry], twins[geometry] + 1
        if _goes(text.verdict):
            dropped[clean(text.verdict.reason)] += 1
        elif (shape := _text_shape(quad, info.width, info.height, where)) is None:
            dropped[NO_PIXEL] += 1
        else:
            head = _head(labels, "text", geometry, twin, attempt)
            category = {"category_id": _category(category_ids, TEXT, where)}
            entries.append(head | category | shape | _text_rest(labels, text, quad, owners, where))
    return entries


def _text_rest(
    labels: ImageLabels, text: TextRegion, quad: Quad, owners: Mapping[int, int], where: str
) -> JsonObject:
    owner = None if text.owner is None else owners.get(text.owner)
    return {
        "score": _share(text.score, where),
        "text": clean(text.text),
        "quad": [value for point in quad for value in (point.x, point.y)],
        "order": int(text.order),
        **({} if owner is None else {"owner": owner}),
        EXTRA: {
            "verdict": _verdict_entry(text.verdict),
            "source": _source(labels, StageName.READ),
        },
    }


def _head(labels: ImageLabels, kind: str, geometry: str, twin: int, attempt: int) -> JsonObject:
    digest = labels.image.digest
    identity = f"{geometry}#{twin}" if twin else geometry
    return {
        "id": annotation_id(digest, kind, identity, attempt),
        "image_id": image_id(digest, attempt),
    }


def _sound_mask(labels: ImageLabels, mask: Mask, where: str) -> Mask:
    """Check that a mask is one of this image, before anything reads beyond its run lengths.

    Raises:
        CocoError: Its size or its run lengths are not those of the image.
    """
    size = labels.image.info.height, labels.image.info.width
    if (mask.height, mask.width) != size:
        raise CocoError(
            f"{where}: the mask is {mask.height} x {mask.width}, the image {size[0]} x {size[1]}"
        )
    try:
        return rle.from_counts(mask.height, mask.width, mask.counts)
    except ValueError as error:
        raise CocoError(f"{where}: the mask is damaged: {error}") from error


def _shape(mask: Mask) -> JsonObject | None:
    """What COCO says of a mask; None if it is empty."""
    box = rle.tight_box(mask)
    if box is None:
        return None
    return {
        "bbox": [int(value) for value in (box.x, box.y, box.width, box.height)],
        "area": rle.area(mask),
        "iscrowd": 0,
        "segmentation": {"size": [int(mask.height), int(mask.width)], "counts": mask.counts},
    }


def _text_shape(quad: Quad, width: int, height: int, where: str) -> JsonObject | None:
    if not all(math.isfinite(value) for point in quad for value in (point.x, point.y)):
        raise CocoError(f"{where}: a corner is not a finite number: {quad}")
    return _shape(rle.quad_mask(quad, width, height))


def _frame(quad: Quad, width: int, height: int) -> Quad:
    """Corners as they are written: in the image, rounded; adding 0 makes -0.0 a plain 0.0."""
    first, second, third, fourth = (
        Point(round(float(p.x), _PIXEL_DIGITS) + 0.0, round(float(p.y), _PIXEL_DIGITS) + 0.0)
        for p in clip_quad(quad, width, height)
    )
    return first, second, third, fourth


def _category(category_ids: Mapping[str, int], name: str, where: str) -> int:
    if name not in category_ids:
        raise CocoError(f"{where}: class {name!r} is not one of the {len(category_ids)} categories")
    return category_ids[name]


def _verdict_entry(verdict: Verdict) -> JsonObject:
    return {"decision": verdict.decision.value, "reason": clean(verdict.reason)}


def _source(labels: ImageLabels, stage: StageName) -> str:
    if stage not in labels.provenance:
        raise CocoError(
            f"{_name(labels)}: labels of stage {stage.value!r}, but no provenance of it"
        )
    return source_key(stage, labels.provenance[stage])


def _share(value: float, where: str) -> float:
    rounded = _number(value, _SCORE_DIGITS, where)
    if not 0 <= rounded <= 1:
        raise CocoError(f"{where}: expected a score in [0, 1], got {value}")
    return rounded


def _number(value: float, digits: int, where: str) -> float:
    if not math.isfinite(value):
        raise CocoError(f"{where}: expected a finite number, got {value}")
    return round(float(value), digits) + 0.0


def _name(labels: ImageLabels) -> str:
    return f"{labels.image.source.path!r} ({labels.image.digest[:12]})"
