"""Documents of the database, without one: what is laid out is read back as it was."""

from __future__ import annotations

import io
import zlib
from datetime import UTC, datetime

import bson
import numpy as np
from bson.codec_options import CodecOptions
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from review.histories import line, rectangle, region

from pipeline.labels.values import (
    HUMAN,
    MACHINE,
    Content,
    Facts,
    Kind,
    MergedLabel,
    Status,
    content_hash,
)
from pipeline.records import Box
from pipeline.review.documents import (
    fields_digest,
    label_fields,
    label_oid,
    pack_array,
    published_from_note,
    published_note,
    seen_labels,
    unpack_array,
    written_time,
)
from pipeline.review.queues import SURE, conflicts, min_margin

AT = "2026-11-23T15:00:00.123+00:00"


def labels() -> list[MergedLabel]:
    facts = Facts(score=0.5, decision="review", margin=0.2)
    extras = {"tags": ["check"], "seen": {"$date": "2026-01-01T00:00:00Z"}}
    drawn = Content(Kind.OBJECT, "drawn", box=Box(1, 2, 30, 40))
    cat, text = region("cat", rectangle(3, 4, 20, 10)), line("<b>STOP</b>", 5, 6)
    own = "human:" + "0" * 24
    return [
        MergedLabel("1", cat, Status.PENDING, MACHINE, facts, "r"),
        MergedLabel(own, drawn, Status.ACCEPTED, HUMAN, Facts(), None, by="me", at=AT),
        MergedLabel("2", text, Status.EDITED, MACHINE, facts, "r", None, extras),
        MergedLabel("tag:a:b.$c", Content(Kind.TAG, "b.$c"), Status.REJECTED, MACHINE, facts, "r"),
    ]  # fmt: skip


def stored() -> RawBSONDocument:
    """As the database gives it back."""
    document = {**label_fields(labels(), 64, 64), "status": "pending", "tags": []}
    return RawBSONDocument(bson.encode(document), CodecOptions(RawBSONDocument, tz_aware=True))


def test_labels_come_back_as_they_were_laid_out() -> None:
    known = {label.id: label.content for label in labels()}
    seen = seen_labels(stored(), (64, 64), lambda name: [known[name]] if name in known else [])
    assert [(x.id, x.content, x.review) for x in seen] == [
        (x.id, x.content, x.status) for x in labels()
    ]
    assert [x.added for x in seen] == [False, True, False, False]
    assert seen[2].extras == labels()[2].extras
    assert (seen[1].by, seen[1].at) == ("me", AT)


def test_labels_come_back_without_knowing_them() -> None:
    seen = seen_labels(stored(), (64, 64), lambda _name: [])
    assert [content_hash(x.content) for x in seen[:2]] == [
        content_hash(x.content) for x in labels()[:2]
    ]
    assert seen[2].content.points == labels()[2].content.points


def test_the_note_comes_back() -> None:
    note = published_from_note(published_note(labels()))
    assert [(x.id, x.kind, x.status, x.extras) for x in note] == [
        (x.id, x.content.kind, x.status, x.extras) for x in labels()
    ]


def test_the_digest_of_what_is_written_is_that_of_what_is_read() -> None:
    written = {**label_fields(labels(), 64, 64), "status": "pending", "tags": []}
    assert fields_digest(written) == fields_digest(stored())
    for change in ({"status": "done"}, {"tags": ["x"]}, {"objects": None}):
        assert fields_digest({**written, **change}) != fields_digest(written)


def test_ids_follow_from_ours_and_a_copy_is_told_from_its_original() -> None:
    assert label_oid("1") == label_oid("1") != label_oid("2")
    assert str(label_oid("human:" + "ab" * 12)) == "ab" * 12
    document = label_fields(labels(), 64, 64)
    copied = {**document["objects"]["detections"][0], "_id": ObjectId("cd" * 12)}
    document["objects"]["detections"].append(copied)
    last = seen_labels(document, (64, 64), lambda _name: [])[2]
    assert (last.id, last.added) == ("human:" + "cd" * 12, True)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    array=st.one_of(
        arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))),
        arrays(np.float32, st.integers(1, 600), elements=st.floats(-1, 1, width=32)),
    )
)
def test_arrays_are_packed_as_numpy_does(array: np.ndarray) -> None:
    data = pack_array(array)
    buffer = io.BytesIO()
    np.save(buffer, array)
    assert zlib.decompress(data) == buffer.getvalue()
    assert (unpack_array(data) == array).all()


def test_times_are_utc_whether_they_say_so_or_not() -> None:
    time = datetime(2026, 11, 23, 15, 0, 0, 123000, UTC)
    assert written_time(time) == written_time(time.replace(tzinfo=None)) == AT
    assert written_time(None) is None


def test_what_waits_for_a_person_sets_the_margin() -> None:
    assert min_margin(labels()) == 0.2
    assert min_margin(labels()[1:]) == SURE


def test_contradictions_are_named_and_rejected_labels_are_silent() -> None:
    both = frozenset({"b.$c", "dog"})
    dog = Content(Kind.TAG, "dog")
    tag = MergedLabel("t", dog, Status.PENDING, MACHINE, Facts(), "r")
    over = region("lynx", rectangle(3, 4, 20, 11))
    twin = MergedLabel("o", over, Status.PENDING, MACHINE, Facts(), "r")
    found = conflicts([*labels(), tag, twin], both, same_object=0.6, owners=True)
    assert found == [
        "tag dog without an object",
        "cat and lynx cover the same place",
        "text '<b>STOP</b>' belongs to no object",
    ]
    assert conflicts(labels(), both, same_object=0.6, owners=False) == []
