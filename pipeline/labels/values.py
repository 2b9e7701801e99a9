"""What a label says, what a run said of it, and what people decided. Frozen; JSON and back.

Pixels of the upright image everywhere, as in ``pipeline.records``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from pipeline.records import Box, JsonObject, Mask, Point


class Kind(StrEnum):
    """Where a label stands: a field of the sample for each."""

    OBJECT = "object"
    TEXT = "text"
    TAG = "tag"


class Status(StrEnum):
    """What people decided on a label; all but DELETED are values of its ``review`` attribute."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    EDITED = "edited"
    DELETED = "deleted"


HUMAN: Final = "human"
MACHINE: Final = "machine"


class What(StrEnum):
    """What a person did, as the log names it."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    MARKED_EDITED = "marked_edited"
    REOPENED = "reopened"
    RELABELLED = "relabelled"
    GEOMETRY_EDITED = "geometry_edited"
    TEXT_CORRECTED = "text_corrected"
    ANNOTATED = "annotated"
    ADDED = "added"
    DELETED = "deleted"
    RESTORED = "restored"
    IMAGE_DONE = "image_done"
    IMAGE_REOPENED = "image_reopened"
    IMAGE_TAGGED = "image_tagged"


@dataclass(frozen=True, slots=True)
class Content:
    """What a label says: everything a person can correct.

    Attributes:
        label: Class name; ``text`` for a line of text.
        text: Transcription, for lines of text.
        mask: Pixels of an object; None if only a box was drawn.
        box: Of an object: tight around its mask, or as drawn.
        points: Corners of a line of text.
    """

    kind: Kind
    label: str
    text: str | None = None
    mask: Mask | None = None
    box: Box | None = None
    points: tuple[Point, ...] = ()

    @property
    def geometry(self) -> tuple[object, ...]:
        """What of it is a place in the image."""
        if self.mask is not None:
            return (self.mask,)
        box = self.box and tuple(
            round(value, 1) for value in (self.box.x, self.box.y, self.box.width, self.box.height)
        )
        return (box, tuple((round(p.x, 1), round(p.y, 1)) for p in self.points))


@dataclass(frozen=True, slots=True)
class Facts:
    """What a run adds to a label, for people to judge it by; None where it does not apply.

    Attributes:
        margin: How far the score is from another outcome: the lead over the runner-up or the
            background for objects, over the threshold for tags and texts.
        area: Pixels of the mask.
        runner_up: Second best class.
        owner: Id of the object that carries a line of text.
    """

    score: float | None = None
    decision: str | None = None
    reason: str | None = None
    margin: float | None = None
    model: str | None = None
    predicted_iou: float | None = None
    stability: float | None = None
    area: int | None = None
    runner_up: str | None = None
    background: float | None = None
    order: int | None = None
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class MachineLabel:
    """A label as a run wrote it.

    Attributes:
        id: COCO annotation id, or ``tag:<digest>:<class>``.
        run_id: The run.
    """

    id: str
    content: Content
    facts: Facts
    run_id: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A label that a person touched, as it was left.

    Attributes:
        content: None for a label that was deleted before anybody knew what it said.
        machine: What the run said that the person saw; None for additions.
        facts: What that run added.
        extras: Label tags and attributes of the person's own.
        by: Who, as far as known.
        at: When, ISO 8601 in UTC.
        run_id: Run of ``machine``.
    """

    id: str
    status: Status
    source: str
    content: Content | None
    machine: Content | None = None
    facts: Facts | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""
    at: str = ""
    run_id: str | None = None

    def same_decision(self, other: Reviewed) -> bool:
        """Tell whether both say the same, whoever said it and when."""
        return (
            self.status is other.status
            and self.content == other.content
            and dict(self.extras) == dict(other.extras)
        )


@dataclass(frozen=True, slots=True)
class ImageReviews:
    """All that people decided on one image."""

    labels: Mapping[str, Reviewed] = field(default_factory=dict)
    done: bool = False
    tags: tuple[str, ...] = ()


NOTHING: Final = ImageReviews()


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log.

    Attributes:
        what: What was done, all at once.
        image: sha256 of the image's bytes.
        file_name: Its name at the time, for people who read the log.
        label: The label as it was left; None for events of the image.
        by: Who.
        at: When, ISO 8601 in UTC.
        tags: All tags of the image from then on; None if they did not change.
    """

    what: tuple[What, ...]
    image: str
    file_name: str
    label: Reviewed | None
    by: str
    at: str
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class MergedLabel:
    """A label as it goes into the dataset.

    Attributes:
        proposal: The machine's newer opinion on a label that a person has decided.
    """

    id: str
    content: Content
    status: Status
    source: str
    facts: Facts
    run_id: str | None
    proposal: MachineLabel | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    by: str | None = None
    at: str | None = None


_FACTS: Final = tuple(entry.name for entry in fields(Facts))


@lru_cache(maxsize=4096)
def content_hash(content: Content) -> str:
    """Hash what a label says, 16 hexadecimal digits; coordinates to a tenth of a pixel."""
    mask = content.mask
    place = content.geometry if mask is None else (mask.height, mask.width, mask.counts)
    said = repr((content.kind.value, content.label, content.text, place))
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def canonical(value: object) -> str:
    """Write JSON so that equal values give equal text."""
    if not value:
        return json.dumps(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_to_json(content: Content | None) -> JsonObject | None:
    """Lay a label's content out; empty parts are left out."""
    if content is None:
        return None
    out: JsonObject = {"kind": content.kind.value, "label": content.label}
    if content.text is not None:
        out["text"] = content.text
    if content.mask is not None:
        mask = content.mask
        out["mask"] = {"size": [mask.height, mask.width], "counts": mask.counts}
    if content.box is not None:
        box = content.box
        out["box"] = [box.x, box.y, box.width, box.height]
    if content.points:
        out["points"] = [[point.x, point.y] for point in content.points]
    return out


def content_from_json(value: JsonObject | None) -> Content | None:
    """Give a label's content back.

    Raises:
        KeyError: A required part is missing.
        ValueError: The kind is unknown.
    """
    if value is None:
        return None
    mask = value.get("mask")
    return Content(
        Kind(value["kind"]),
        value["label"],
        value.get("text"),
        mask and Mask(mask["size"][0], mask["size"][1], mask["counts"]),
        Box(*value["box"]) if "box" in value else None,
        tuple(Point(*pair) for pair in value.get("points", ())),
    )


def facts_to_json(facts: Facts) -> JsonObject:
    """Lay facts out; those that do not apply are left out."""
    values = ((name, getattr(facts, name)) for name in _FACTS)
    return {name: value for name, value in values if value is not None}


def reviewed_to_json(label: Reviewed) -> JsonObject:
    """Lay a reviewed label out."""
    return {
        "id": label.id,
        "status": label.status.value,
        "source": label.source,
        "content": content_to_json(label.content),
        "machine": content_to_json(label.machine),
        "facts": label.facts and facts_to_json(label.facts),
        "extras": dict(label.extras),
        "run_id": label.run_id,
    }


def reviewed_from_json(value: JsonObject, by: str, at: str) -> Reviewed:
    """Give a reviewed label back.

    Raises:
        KeyError: A required part is missing.
        ValueError: A status or kind is unknown.
    """
    facts = value["facts"]
    return Reviewed(
        value["id"],
        Status(value["status"]),
        value["source"],
        content_from_json(value["content"]),
        content_from_json(value["machine"]),
        Facts(**facts) if facts is not None else None,
        value["extras"],
        by,
        at,
        value["run_id"],
    )


def machine_to_json(label: MachineLabel) -> JsonObject:
    """Lay out a machine's opinion, as the ``proposal`` attribute holds it."""
    return {
        "id": label.id,
        "run_id": label.run_id,
        "content": content_to_json(label.content),
        **facts_to_json(label.facts),
    }
