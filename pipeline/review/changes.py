"""What people did since the last publish: the dataset's labels against what was published. Pure.

Only a difference from what was published is a person's act. A label that is as it was published,
while the log knows better, is an old state that a crash of the database brought back: it says
nothing, and the next publish puts the log's state there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.labels.values import (
    HUMAN,
    MACHINE,
    NOTHING,
    Content,
    Event,
    ImageReviews,
    Kind,
    MachineLabel,
    Reviewed,
    Status,
    What,
    content_hash,
)


@dataclass(frozen=True, slots=True)
class Published:
    """What publish, or the last pull, noted of a label.

    Attributes:
        hash: ``content_hash`` of its content.
        status: Its ``review``.
        extras: Tags and attributes of people's own.
    """

    id: str
    kind: Kind
    hash: str
    status: Status
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeenLabel:
    """A label as it stands in the dataset now.

    Attributes:
        id: Its ``autolabel_id``; ``human:<label id>`` if it did not come from here.
        added: Whether it did not come from here.
        review: Its ``review`` attribute; None if that is no status.
        by: Its ``reviewed_by``.
        at: Its ``reviewed_at``.
    """

    id: str
    content: Content
    added: bool
    review: Status | None
    extras: Mapping[str, Any] = field(default_factory=dict)
    by: str | None = None
    at: str | None = None


@dataclass(frozen=True, slots=True)
class SeenImage:
    """An image of the dataset.

    Attributes:
        labels: Its labels now.
        published: What was published of them.
        fields: Kinds whose field is there; of one that is not, nothing was deleted.
        done: Whether it is marked as done now.
        published_done: Whether it was published as done.
        tags: Tags of the image now, sorted.
        published_tags: Those it was published with.
        by: Who, for acts that name nobody.
        at: When, for acts that give no time.
    """

    sha256: str
    file_name: str
    labels: Sequence[SeenLabel]
    published: Sequence[Published]
    fields: frozenset[Kind]
    done: bool
    published_done: bool
    by: str
    at: str
    tags: tuple[str, ...] = ()
    published_tags: tuple[str, ...] = ()


def detect(
    image: SeenImage, machine: Mapping[str, MachineLabel], reviews: ImageReviews = NOTHING
) -> Iterator[Event]:
    """Tell what people did to an image.

    Args:
        image: The image in the dataset.
        machine: Id → what the run that was published said.
        reviews: Fold of the log for this image.

    Yields:
        One event per label that differs from what is logged, then those of the image.
    """
    noted = {label.id: label for label in image.published}
    for seen in image.labels:
        yield from _of_label(image, seen, noted.get(seen.id), machine.get(seen.id), reviews)
    present = {seen.id for seen in image.labels}
    for published in image.published:
        if published.id not in present and published.kind in image.fields:
            yield from _deleted(image, published, machine.get(published.id), reviews)
    if image.done not in {image.published_done, reviews.done}:
        what = What.IMAGE_DONE if image.done else What.IMAGE_REOPENED
        yield Event((what,), image.sha256, image.file_name, None, image.by, image.at)
    if image.tags not in {image.published_tags, reviews.tags}:
        what = What.IMAGE_TAGGED
        yield Event((what,), image.sha256, image.file_name, None, image.by, image.at, image.tags)


def _of_label(
    image: SeenImage,
    seen: SeenLabel,
    noted: Published | None,
    machine: MachineLabel | None,
    reviews: ImageReviews,
) -> Iterator[Event]:
    logged = reviews.labels.get(seen.id)
    edited = noted is None or content_hash(seen.content) != noted.hash
    moved = noted is None or (seen.review is not None and seen.review is not noted.status)
    annotated = dict(seen.extras) != dict(noted.extras if noted else {})
    if not (edited or moved or annotated):
        return
    said = None if machine is None else machine.content
    # Who and when are set by our operators; an edit by other means leaves the older ones there.
    fresh = seen.at != (logged.at if logged else None)
    source = HUMAN if seen.added or (logged and logged.source == HUMAN) else MACHINE
    now = Reviewed(
        seen.id,
        _status(seen, noted, source, edited=edited, machine=machine, logged=logged),
        source,
        seen.content,
        logged.machine if logged and logged.machine else said,
        machine.facts if machine else (logged.facts if logged else None),
        seen.extras,
        seen.by if fresh and seen.by else image.by,
        seen.at if fresh and seen.at else image.at,
        machine.run_id if machine else (logged.run_id if logged else None),
    )
    what = _what(now, noted, logged, machine)
    if what and not (logged and now.same_decision(logged)):
        yield Event(what, image.sha256, image.file_name, now, now.by, now.at)


def _status(
    seen: SeenLabel,
    noted: Published | None,
    source: str,
    *,
    edited: bool,
    machine: MachineLabel | None,
    logged: Reviewed | None,
) -> Status:
    """Decide what a label's state is: what the person said, else what follows from their edit."""
    before = noted.status if noted else Status.PENDING
    said = seen.review or before
    if source == HUMAN:
        return Status.ACCEPTED if said is Status.PENDING else said
    differs = edited if machine is None else seen.content != machine.content
    if said is Status.PENDING:
        # Back to what the machine said, by hand: that is a decision too, unless it is reopened.
        decided = logged is not None and logged.status not in {Status.PENDING, Status.DELETED}
        decided = decided and edited and said is before
        return Status.EDITED if differs or decided else Status.PENDING
    if said is before and edited and said is Status.ACCEPTED:
        return Status.EDITED
    return said


def _what(
    now: Reviewed, noted: Published | None, logged: Reviewed | None, machine: MachineLabel | None
) -> tuple[What, ...]:
    if logged is None and now.source == HUMAN:
        return (What.ADDED,)
    what: list[What] = []
    if logged is not None and logged.status is Status.DELETED:
        what.append(What.RESTORED)
    before = logged.content if logged else None if machine is None else machine.content
    what += _edits(before, now.content)
    status = logged.status if logged else (noted.status if noted else Status.PENDING)
    if now.status is not status or (noted is not None and now.status is not noted.status):
        what += _decision(now.status, edited=bool(what))
    if dict(now.extras) != dict(logged.extras if logged else {}):
        what.append(What.ANNOTATED)
    return tuple(dict.fromkeys(what))


def _edits(before: Content | None, after: Content | None) -> list[What]:
    if after is None or before is None:
        return [What.GEOMETRY_EDITED] if after is not None else []
    pairs = (
        (What.RELABELLED, before.label != after.label),
        (What.TEXT_CORRECTED, before.text != after.text),
        (What.GEOMETRY_EDITED, before.geometry != after.geometry),
    )
    return [what for what, is_so in pairs if is_so]


def _decision(status: Status, *, edited: bool) -> list[What]:
    if status is Status.EDITED:
        return [] if edited else [What.MARKED_EDITED]
    names = {
        Status.ACCEPTED: What.ACCEPTED,
        Status.REJECTED: What.REJECTED,
        Status.PENDING: What.REOPENED,
    }
    return [names[status]] if status in names else []


def _deleted(
    image: SeenImage,
    published: Published,
    machine: MachineLabel | None,
    reviews: ImageReviews,
) -> Iterator[Event]:
    logged = reviews.labels.get(published.id)
    if logged is not None and logged.status is Status.DELETED:
        return
    if logged is not None:
        label = replace(logged, status=Status.DELETED, by=image.by, at=image.at)
    else:
        label = Reviewed(published.id, Status.DELETED, MACHINE, None, by=image.by, at=image.at)
    if machine is not None and label.source == MACHINE:
        label = replace(
            label,
            content=label.content or machine.content,
            machine=label.machine or machine.content,
            facts=machine.facts,
            run_id=machine.run_id,
        )
    yield Event((What.DELETED,), image.sha256, image.file_name, label, image.by, image.at)
