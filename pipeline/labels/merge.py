"""Run x reviews → labels. Pure: the law that no field a person touched changes is held here.

Three-way, label by label, between what the run said that a person saw, what the run says now, and
what the person made of it:

* nobody touched it: the new label, or nothing if the run has none any more;
* accepted, edited or added: as the person left it. What the run says now is attached as a
  proposal if it is news, that is, neither what the person decided nor what they saw deciding;
* rejected: stays, rejected; deleted: stays away. Neither is ever proposed again.

A label is the same as before if its id is, which follows from the image and the geometry. Another
model draws the same object a little differently and gets another id, so a label is also the same
if it covers the same place: more than ``same_object`` IoU, which is the run's own policy of when
two regions are one object. Two labels of one run are thus never taken for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pipeline import rle
from pipeline.geometry import box_iou
from pipeline.labels.values import (
    HUMAN,
    MACHINE,
    NOTHING,
    Content,
    Facts,
    ImageReviews,
    Kind,
    MachineLabel,
    MergedLabel,
    Reviewed,
    Status,
)
from pipeline.records import Box, Mask

SAME_TEXT = 0.5
"""IoU of boxes above which two lines of text are one: readers place lines less exactly than
segmenters place masks, and lines of one image hardly overlap."""


def merge(
    machine: Sequence[MachineLabel], reviews: ImageReviews = NOTHING, same_object: float = 0.6
) -> tuple[MergedLabel, ...]:
    """Merge what a run says of one image with what people decided on it.

    Args:
        machine: Labels of the run, in its order.
        reviews: Fold of the log for this image.
        same_object: IoU above which two masks are one object.

    Returns:
        Labels of the run in their order, decided ones in their place, then those that only people
        have, in the order they were decided.
    """
    decided = [label for label in reviews.labels.values() if _binds(label)]
    opinions = _opinions(machine, decided, same_object)
    kept = {label.id: label for label in decided if label.status is not Status.DELETED}
    by_machine = {label.id: owner for owner, labels in opinions.items() for label in labels}
    merged: dict[str, MergedLabel] = {}
    for label in machine:
        owner = by_machine.get(label.id)
        if owner is None:
            note = reviews.labels.get(label.id)
            merged[label.id] = _untouched(label, note)
        elif owner not in merged and owner in kept:
            merged[owner] = _kept(kept[owner], opinions[owner])
    for review in kept.values():
        if review.id not in merged:
            merged[review.id] = _kept(review, ())
    return tuple(merged.values())


def _binds(label: Reviewed) -> bool:
    """Tell whether a decision stands against the machine's.

    A label that was only annotated, or reopened, is the machine's again; a person who deletes what
    a person added has said nothing of the machine's labels.
    """
    if label.status is Status.PENDING:
        return False
    return not (label.status is Status.DELETED and label.source == HUMAN)


def _opinions(
    machine: Sequence[MachineLabel], decided: Sequence[Reviewed], same_object: float
) -> dict[str, list[MachineLabel]]:
    """Decided id → labels of the run that speak of the same thing, the best match first."""
    known = {label.id: label for label in machine}
    found: dict[str, list[MachineLabel]] = {
        review.id: [known[review.id]] if review.id in known else [] for review in decided
    }
    free = [label for label in machine if label.id not in found]
    matches = sorted(_matches(free, decided, known, same_object), key=lambda match: -match[0])
    taken: set[str] = set()
    for _, label, owner in matches:
        if label.id not in taken:
            taken.add(label.id)
            found[owner].append(label)
    return found


def _matches(
    free: Sequence[MachineLabel],
    decided: Sequence[Reviewed],
    known: Mapping[str, MachineLabel],
    same_object: float,
) -> Iterable[tuple[float, MachineLabel, str]]:
    for review in decided:
        places = list(_places(review, known.get(review.id)))
        for content in places:
            limit = same_object if content.kind is Kind.OBJECT else SAME_TEXT
            fellows = [label for label in free if label.content.kind is content.kind]
            for label, share in zip(fellows, _overlaps(content, fellows), strict=True):
                if share > limit:
                    yield share, label, review.id


def _places(review: Reviewed, current: MachineLabel | None) -> Iterable[Content]:
    """Say where a label of the run would be this one again.

    Where the run has the label itself, it told its other labels apart from it; only the place to
    which a person moved it remains to be watched.

    Yields:
        What the label says, and what the run said before, in as far as they are to be watched.
    """
    if review.content is not None and (
        current is None or not _same_place(current.content, review.content)
    ):
        yield review.content
    if review.machine is not None and current is None:
        yield review.machine


def _same_place(a: Content, b: Content) -> bool:
    return a.label == b.label if a.kind is Kind.TAG else a.geometry == b.geometry


def _overlaps(content: Content, labels: Sequence[MachineLabel]) -> Sequence[float]:
    """How far labels cover the same place, 0 to 1; tags: whether they name the same class."""
    if content.kind is Kind.TAG:
        return [float(label.content.label == content.label) for label in labels]
    masks = [label.content.mask for label in labels]
    if content.mask is not None and all(mask is not None for mask in masks):
        return _mask_ious(content.mask, [mask for mask in masks if mask is not None])
    around = _around(content)
    return [
        0.0 if around is None or (other := _around(label.content)) is None
        else box_iou(around, other)
        for label in labels
    ]  # fmt: skip


def _mask_ious(mask: Mask, others: Sequence[Mask]) -> Sequence[float]:
    size = mask.height, mask.width
    same = [other for other in others if (other.height, other.width) == size]
    if len(same) < len(others) or not others:
        return [0.0] * len(others)
    shares: Sequence[float] = np.asarray(rle.iou_matrix([mask, *same]))[0, 1:].tolist()
    return shares


def _around(content: Content) -> Box | None:
    if not content.points:
        return content.box
    xs, ys = [point.x for point in content.points], [point.y for point in content.points]
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))


def _untouched(label: MachineLabel, note: Reviewed | None) -> MergedLabel:
    return MergedLabel(
        label.id,
        label.content,
        Status.PENDING,
        MACHINE,
        label.facts,
        label.run_id,
        extras=note.extras if note else {},
    )


def _kept(review: Reviewed, opinions: Sequence[MachineLabel]) -> MergedLabel:
    assert review.content is not None, "only a deleted label may say nothing"
    now = next((label for label in opinions if label.id == review.id), None)
    news = [label for label in opinions if _is_news(label.content, review)]
    return MergedLabel(
        review.id,
        review.content,
        review.status,
        review.source,
        now.facts if now else review.facts or Facts(),
        now.run_id if now else review.run_id,
        None if review.status is Status.REJECTED or not news else news[0],
        review.extras,
        review.by,
        review.at,
    )


def _is_news(said: Content, review: Reviewed) -> bool:
    seen = [content for content in (review.content, review.machine) if content is not None]
    return all(
        (said.label, said.text, said.geometry) != (known.label, known.text, known.geometry)
        for known in seen
    )
