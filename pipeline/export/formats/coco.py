"""COCO instances in three profiles.

``coco`` has run lengths and is lossless, ``coco-polygon`` has polygons that keep a stated IoU, and
run lengths where they cannot, ``coco-uncompressed`` has plain run lengths.

No library writes them right: FiftyOne fills holes and writes the box's area, supervision marks
masks of two parts as crowds. Every file passes ``autolabel check``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from pipeline import rle
from pipeline.coco.document import EXTRA, annotation_id
from pipeline.coco.naming import clean
from pipeline.export.example import Example, Plan, Tally, class_of, is_text
from pipeline.export.formats.spool import Spool, write_object
from pipeline.export.outline import polygons
from pipeline.export.quads import quad_of
from pipeline.labels import Kind, MergedLabel, Status
from pipeline.labels.values import HUMAN
from pipeline.records import Decision, JsonObject, Mask

Profile: TypeAlias = Callable[[Mask, float, Tally], JsonObject]
"""Lays a mask out: bbox, area, segmentation."""

BOX_ONLY: Final = "box"
_REASONS: Final = {
    Status.ACCEPTED: "accepted by a person",
    Status.EDITED: "corrected by a person",
}


def compressed(mask: Mask, min_iou: float, tally: Tally) -> JsonObject:
    """Lay a mask out as compressed run lengths: lossless."""
    del min_iou, tally
    return _shape(mask, {"size": [mask.height, mask.width], "counts": mask.counts})


def uncompressed(mask: Mask, min_iou: float, tally: Tally) -> JsonObject:
    """Lay a mask out as plain run lengths: lossless, for readers that know no others."""
    del min_iou, tally
    counts = rle.to_uncompressed(mask)
    return _shape(mask, {"size": [mask.height, mask.width], "counts": counts})


def polygonal(mask: Mask, min_iou: float, tally: Tally) -> JsonObject:
    """Lay a mask out as polygons; as run lengths where they would not keep ``min_iou``."""
    drawn = polygons(mask, min_iou)
    if drawn is None:
        tally.fallbacks += 1
        return compressed(mask, min_iou, tally)
    tally.lowest_iou = min(tally.lowest_iou, drawn.iou)
    return _shape(drawn.drawn, drawn.rings)


def _shape(mask: Mask, segmentation: object) -> JsonObject:
    box = rle.tight_box(mask)
    assert box is not None, "labels without pixels are left out by select"
    return {
        "bbox": [int(value) for value in (box.x, box.y, box.width, box.height)],
        "area": rle.area(mask),
        "iscrowd": 0,
        "segmentation": segmentation,
    }


@dataclass(frozen=True, slots=True)
class Coco:
    """COCO instances.

    Attributes:
        profile: How masks are laid out.
    """

    profile: Profile = compressed

    def __call__(self, plan: Plan) -> CocoExport:
        """Begin an export."""
        return CocoExport(plan, self.profile)


class CocoExport:
    """``images/<split>/`` and ``annotations/instances_<split>.json``."""

    def __init__(self, plan: Plan, profile: Profile) -> None:
        self._plan = plan
        self._entries = CocoEntries(plan, profile)
        self.tally = self._entries.tally
        self._folder = plan.folder / "annotations"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._images = {split: Spool(plan) for split in plan.splits}
        self._annotations = {split: Spool(plan) for split in plan.splits}

    def image_path(self, example: Example) -> str:
        """Beside the others of its split."""
        return f"images/{example.split}/{example.file_name}"

    def add(self, example: Example, data: bytes) -> None:
        """Write the entries of one image."""
        del data
        self._images[example.split].append(image_entry(example, self._plan))
        for entry in self._entries.of(example):
            self._annotations[example.split].append(entry)
        self.tally.written[Kind.TAG.value] += len(example.of(Kind.TAG))

    def finish(self) -> None:
        """Write the documents, one per split."""
        for split in self._plan.splits:
            info = {
                "description": self._plan.name,
                "split": split,
                "provenance": dict(self._plan.sources),
            }
            write_object(
                self._folder / f"instances_{split}.json",
                {
                    "info": info,
                    "licenses": [],
                    "images": self._images[split],
                    "annotations": self._annotations[split],
                    "categories": list(self._plan.categories),
                },
            )


class CocoEntries:
    """Lays labels out as annotations, each with an id of its own.

    Attributes:
        tally: What was laid out.
    """

    def __init__(self, plan: Plan, profile: Profile) -> None:
        self.tally = Tally()
        self._plan, self._profile = plan, profile
        self._ids: set[int] = set()

    def of(self, example: Example) -> list[JsonObject]:
        """Annotations of one image: objects and texts in the order of the run."""
        ids = {label.id: self._id(example, label) for label in example.shapes}
        n_texts = len(example.of(Kind.TEXT))
        orders = iter(range(n_texts, 2 * n_texts))
        entries = []
        for label in example.shapes:
            head = {"id": ids[label.id], "image_id": example.id}
            category = {"category_id": self._plan.category_ids[class_of(label)]}
            mask = example.mask(label)
            shape = self._profile(
                rle.from_counts(mask.height, mask.width, mask.counts),
                self._plan.min_iou,
                self.tally,
            )
            score = {"score": score_of(label)}
            text = _text_rest(example, label, ids, next(orders)) if is_text(label) else {}
            entries.append(head | category | shape | score | text | {EXTRA: self._extra(label)})
            self.tally.written[label.content.kind.value] += 1
        return entries

    def _id(self, example: Example, label: MergedLabel) -> int:
        """The id that the run gave, or one from what the person drew; none is there twice."""
        number = int(label.id) if label.id.isdecimal() and label.source != HUMAN else 0
        attempt = 0
        while number in self._ids or number == 0:
            number = annotation_id(example.sha256, "person", label.id, attempt)
            attempt += 1
        self._ids.add(number)
        return number

    def _extra(self, label: MergedLabel) -> JsonObject:
        extra = {"verdict": verdict(label), "review": label.status.value, "label": label.id}
        content = label.content
        if content.mask is None and not is_text(label):
            extra["drawn_as"] = BOX_ONLY
        if label.source == HUMAN:
            return extra | {"source": self._plan.people}
        stages = self._plan.stages
        if is_text(label):
            return extra | {"source": stages.get("read", self._plan.people)}
        naming = stages.get("embed_regions", stages.get("pool_regions"))
        named = {} if naming is None else {"named_by": naming}
        return extra | {"source": stages.get("segment", self._plan.people)} | named


def image_entry(example: Example, plan: Plan) -> JsonObject:
    """Lay out an image with its tags."""
    embed = plan.stages.get("embed")
    return {
        "id": example.id,
        "width": example.width,
        "height": example.height,
        "file_name": example.file_name,
        EXTRA: {
            "sha256": example.sha256,
            "name": clean(example.name),
            "tags": [
                {"class": tag.content.label, "score": score_of(tag), "verdict": verdict(tag)}
                for tag in example.of(Kind.TAG)
            ],
            "sources": {} if embed is None else {"embed": embed},
        },
    }


def score_of(label: MergedLabel) -> float:
    """Score of a label: the machine's; 1 for what a person drew or changed."""
    decided = label.source == HUMAN or label.status is Status.EDITED
    return 1.0 if decided or label.facts.score is None else label.facts.score


def verdict(label: MergedLabel) -> JsonObject:
    """Say who decided, and why."""
    if label.source == HUMAN and label.status is not Status.EDITED:
        return {"decision": Decision.ACCEPT.value, "reason": "added by a person"}
    if label.status in _REASONS:
        return {"decision": Decision.ACCEPT.value, "reason": _REASONS[label.status]}
    reason = clean(label.facts.reason or "no reason given")
    return {"decision": label.facts.decision or Decision.REVIEW.value, "reason": reason}


def _text_rest(example: Example, label: MergedLabel, ids: dict[str, int], spare: int) -> JsonObject:
    quad = quad_of(example, label)
    owner = ids.get(label.facts.owner or "")
    return {
        "text": clean(label.content.text or ""),
        "quad": [value for point in quad for value in (point.x, point.y)],
        "order": spare if label.facts.order is None else label.facts.order,
        **({} if owner is None else {"owner": owner}),
    }
