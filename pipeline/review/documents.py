"""Labels as FiftyOne stores them: BSON documents and back, without fiftyone.

Building documents costs a fifth of building ``fo.Detection`` objects, and a sample that is one
document is written whole or not at all, which fields set one after the other are not.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import bson
import numpy as np
from bson import json_util
from bson.binary import Binary
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from numpy.typing import NDArray

from pipeline import rle
from pipeline.labels.values import (
    Content,
    Kind,
    MergedLabel,
    Status,
    canonical,
    content_hash,
    machine_to_json,
)
from pipeline.review.changes import Published, SeenLabel
from pipeline.review.fields import OBJECTS, TAGS, TEXTS
from pipeline.review.masks import (
    place,
    relative,
    to_points,
    untouched_box,
    untouched_points,
)

FIELDS: Final = {Kind.OBJECT: OBJECTS, Kind.TEXT: TEXTS, Kind.TAG: TAGS}
CONTAINERS: Final = {
    Kind.OBJECT: ("Detections", "detections", "Detection"),
    Kind.TEXT: ("Polylines", "polylines", "Polyline"),
    Kind.TAG: ("Classifications", "classifications", "Classification"),
}
"""Kind → class, list and label class in FiftyOne."""

_NPY_PREFIX: Final = 10
_ADDED: Final = "human:"
_SHAPES: Final = "points"  # among extras: a polyline of several shapes, kept as it is
_OWN: Final = frozenset(
    {
        "_id", "_cls", "tags", "attributes", "label", "bounding_box", "mask", "mask_path",
        "confidence", "index", "instance", "points", "closed", "filled", "logits", "text",
        "autolabel_id", "review", "source", "decision", "reason", "margin", "run_id", "model",
        "auto_hash", "proposal", "reviewed_by", "reviewed_at", "predicted_iou", "stability",
        "area", "runner_up", "background", "order", "owner",
    }
)  # fmt: skip


def label_oid(label_id: str) -> ObjectId:
    """FiftyOne's id of a label: follows from ours, or is in it for what a person added."""
    if label_id.startswith(_ADDED):
        return ObjectId(label_id.removeprefix(_ADDED))
    return ObjectId(hashlib.sha256(label_id.encode()).digest()[:12])


def label_fields(labels: Iterable[MergedLabel], width: int, height: int) -> dict[str, Any]:
    """Lay out the three label fields of a sample."""
    lists: dict[Kind, list[dict[str, Any]]] = {kind: [] for kind in Kind}
    for label in labels:
        lists[label.content.kind].append(_document(label, width, height))
    return {
        FIELDS[kind]: {"_cls": CONTAINERS[kind][0], CONTAINERS[kind][1]: lists[kind]}
        for kind in Kind
    }


def _document(label: MergedLabel, width: int, height: int) -> dict[str, Any]:
    content, facts = label.content, label.facts
    extras = json_util.loads(canonical(dict(label.extras))) if label.extras else {}
    shapes = extras.pop(_SHAPES, None)
    document = {
        "_id": label_oid(label.id),
        "_cls": CONTAINERS[content.kind][2],
        "tags": extras.pop("tags", []),
        **({} if content.kind is Kind.TAG else {"attributes": {}}),
        "label": content.label,
        "confidence": facts.score,
        "autolabel_id": label.id,
        "review": label.status.value,
        "source": label.source,
        "decision": facts.decision,
        "reason": facts.reason,
        "margin": facts.margin,
        "run_id": label.run_id,
        "model": facts.model,
        "auto_hash": content_hash(content),
        "proposal": label.proposal and canonical(machine_to_json(label.proposal)),
        "reviewed_by": label.by or None,
        "reviewed_at": _parsed_time(label.at),
    }
    if content.kind is Kind.OBJECT:
        document |= _object(content, width, height)
        names = ("predicted_iou", "stability", "area", "runner_up", "background")
        document |= {name: getattr(facts, name) for name in names}
    elif content.kind is Kind.TEXT:
        corners = [[[p.x / width, p.y / height] for p in content.points]]
        document |= {"points": shapes or corners, "closed": True, "filled": False}
        document |= {"text": content.text, "order": facts.order, "owner": facts.owner}
    return {**document, **extras}


def _object(content: Content, width: int, height: int) -> dict[str, Any]:
    if content.mask is None:
        assert content.box is not None, "an object without a mask has a box"
        return {"bounding_box": relative(content.box, width, height), "mask": None}
    assert content.box is not None, "a mask's box is known"
    bitmap = rle.crop_bitmap(content.mask, content.box)
    box = relative(content.box, width, height)
    return {"bounding_box": box, "mask": Binary(pack_array(bitmap))}


def pack_array(array: NDArray[Any]) -> bytes:
    """Pack an array as FiftyOne stores arrays: npy, zlib.

    Source: NPY format 1.0. ``numpy.save`` takes as long for the header of a mask as zlib for all.
    """
    head = f"{{'descr': {array.dtype.str!r}, 'fortran_order': False, 'shape': {array.shape}, }}"
    head += " " * (-(_NPY_PREFIX + len(head) + 1) % 64) + "\n"
    prefix = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little")
    return zlib.compress(prefix + head.encode("latin1") + array.tobytes(), 1)


def unpack_array(data: bytes) -> NDArray[Any]:
    """Give a stored array back.

    Raises:
        ValueError: The bytes are no array.
    """
    array: NDArray[Any] = np.load(io.BytesIO(zlib.decompress(data)), allow_pickle=False)
    return array


def _parsed_time(at: str | None) -> datetime | None:
    return datetime.fromisoformat(at) if at else None


def written_time(at: datetime | None) -> str | None:
    """ISO 8601 in UTC of a time from the database, which are UTC without saying so."""
    if at is None:
        return None
    return at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC).isoformat(timespec="milliseconds")


def published_note(labels: Iterable[MergedLabel]) -> list[list[str]]:
    """Note what is published of each label, to tell people's acts by later."""
    return [
        [
            label.id,
            label.content.kind.value,
            content_hash(label.content),
            label.status.value,
            canonical(dict(label.extras)),
        ]
        for label in labels
    ]


def published_from_note(note: Iterable[Sequence[str]]) -> list[Published]:
    """Give the note back."""
    return [
        Published(name, Kind(kind), said, Status(status), json.loads(extras))
        for name, kind, said, status, extras in note
    ]


def fields_digest(document: Mapping[str, Any]) -> str:
    """Hash the label fields, the status and the tags of a sample, as they are stored byte for byte.

    Args:
        document: A raw document of the database, or the values about to be written.
    """
    said = [document.get("status"), list(document.get("tags") or ())]
    digest = hashlib.sha256(canonical(said).encode())
    for field in FIELDS.values():
        value = document.get(field)
        if isinstance(value, RawBSONDocument):
            digest.update(value.raw)
        elif value is not None:
            digest.update(bson.encode(value))
    return digest.hexdigest()[:32]


def seen_labels(
    document: Mapping[str, Any],
    size: tuple[int, int],
    known: Callable[[str], Iterable[Content]],
) -> list[SeenLabel]:
    """Read the labels of a sample as they stand now.

    Args:
        document: The sample.
        size: Width and height of the image.
        known: Gives what a label may have been published as; a label that only drifted from it
            is read as that.
    """
    seen = []
    for kind, field in FIELDS.items():
        container = document.get(field) or {}
        labels = container.get(CONTAINERS[kind][1]) or ()
        seen += [_seen(kind, label, size, known) for label in labels]
    return seen


def _seen(
    kind: Kind,
    label: Mapping[str, Any],
    size: tuple[int, int],
    known: Callable[[str], Iterable[Content]],
) -> SeenLabel:
    oid, label_id = label["_id"], label.get("autolabel_id")
    # A copy of one of our labels brings our id along, but not the id that follows from it.
    if not isinstance(label_id, str) or not _is_ours(label_id, oid):
        label_id = f"{_ADDED}{oid}"
    content = _content(kind, label, size, list(known(label_id)))
    added = label_id.startswith(_ADDED)
    return SeenLabel(
        label_id,
        content,
        added,
        _status(label.get("review")),
        _extras(kind, label),
        label.get("reviewed_by"),
        written_time(label.get("reviewed_at")),
    )


def _is_ours(label_id: str, oid: ObjectId) -> bool:
    try:
        return label_oid(label_id) == oid
    except bson.errors.InvalidId:
        return False


def _status(value: object) -> Status | None:
    states = {status.value: status for status in Status if status is not Status.DELETED}
    return states.get(value) if isinstance(value, str) else None


def _extras(kind: Kind, label: Mapping[str, Any]) -> dict[str, Any]:
    extras = {key: value for key, value in label.items() if key not in _OWN and value is not None}
    if label.get("tags"):
        extras["tags"] = sorted(label["tags"])
    if kind is Kind.TEXT and len(label.get("points") or ()) > 1:
        extras[_SHAPES] = label["points"]
    if not extras:
        return {}
    loaded: dict[str, Any] = json.loads(json_util.dumps(extras))
    return loaded


def _content(
    kind: Kind, label: Mapping[str, Any], size: tuple[int, int], known: Sequence[Content]
) -> Content:
    name = str(label.get("label") or "")
    if kind is Kind.TAG:
        return Content(kind, name)
    if kind is Kind.TEXT:
        text = label.get("text")
        return _line(name, None if text is None else str(text), label, size, known)
    return _region(name, label, size, known)


def _line(
    name: str,
    text: str | None,
    label: Mapping[str, Any],
    size: tuple[int, int],
    known: Sequence[Content],
) -> Content:
    shapes = label.get("points") or [[]]
    for content in known:
        if untouched_points(content, shapes[0], *size):
            return Content(Kind.TEXT, name, text, box=content.box, points=content.points)
    points = to_points(shapes[0], *size)
    return Content(Kind.TEXT, name, text, points=points)


def _region(
    name: str, label: Mapping[str, Any], size: tuple[int, int], known: Sequence[Content]
) -> Content:
    stored, box = label.get("mask"), label.get("bounding_box") or [0.0, 0.0, 0.0, 0.0]
    pixels = None if stored is None else unpack_array(bytes(stored))
    for content in known:
        if untouched_box(content, box, pixels, *size):
            return Content(Kind.OBJECT, name, mask=content.mask, box=content.box)
    mask, around = place(box, pixels, *size)
    return Content(Kind.OBJECT, name, mask=mask, box=around)
