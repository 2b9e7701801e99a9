"""Random projects for property tests: runs that differ, people who edit, a dataset in between.

``Desk`` stands for the dataset, in memory: publish lays labels out and notes what it laid out, and
people edit what lies there. The code under test is the same as for the real one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline import rle
from pipeline.coco.document import annotation_id
from pipeline.labels.merge import merge
from pipeline.labels.runs import tag_id
from pipeline.labels.values import (
    HUMAN,
    Content,
    Event,
    Facts,
    ImageReviews,
    Kind,
    MachineLabel,
    MergedLabel,
    Status,
    content_hash,
)
from pipeline.records import Box, Mask, Point
from pipeline.review.changes import Published, SeenImage, SeenLabel, detect

SIZE = 64
CLASSES = ("cat", "dog", "<b>bird</b>")
DIGEST = "ab" * 32
PLACES = ((4, 4), (34, 4), (4, 34), (34, 34))


def rectangle(x: int, y: int, width: int, height: int) -> Mask:
    """A filled rectangle in an image of SIZE x SIZE."""
    bitmap = np.zeros((SIZE, SIZE), np.bool_)
    bitmap[y : y + height, x : x + width] = True
    return rle.encode(bitmap)


def region(label: str, mask: Mask) -> Content:
    return Content(Kind.OBJECT, label, mask=mask, box=rle.tight_box(mask))


def line(text: str, x: int, y: int) -> Content:
    corners = ((x, y), (x + 20, y), (x + 20, y + 6), (x, y + 6))
    return Content(
        Kind.TEXT,
        "text",
        text,
        box=Box(x, y, 20, 6),
        points=tuple(Point(float(a), float(b)) for a, b in corners),
    )


def machine_label(content: Content, run: int, score: float = 0.6) -> MachineLabel:
    """A label of a run, with the id that the COCO writer would give it."""
    if content.kind is Kind.TAG:
        name = tag_id(DIGEST, content.label)
    else:
        geometry = content.mask.counts if content.mask else repr(content.points)
        name = str(annotation_id(DIGEST, content.kind.value, geometry))
    return MachineLabel(name, content, Facts(score=score, decision="review", margin=0.1), f"r{run}")


@dataclass(frozen=True)
class Model:
    """What a run is made with; another model draws and reads a little differently."""

    shift: int = 0
    grow: int = 0
    names: tuple[int, ...] = (0, 1, 2, 0)
    objects: tuple[bool, ...] = (True,) * 4
    tags: tuple[bool, ...] = (True,) * 3
    texts: tuple[bool, ...] = (True, True)
    misread: bool = False

    def run(self, number: int) -> tuple[MachineLabel, ...]:
        """Labels of the one image."""
        found = [
            region(CLASSES[name], rectangle(x + self.shift, y, 20 + self.grow, 20))
            for (x, y), name, is_there in zip(PLACES, self.names, self.objects, strict=True)
            if is_there
        ]
        found += [
            Content(Kind.TAG, c) for c, there in zip(CLASSES, self.tags, strict=True) if there
        ]
        words = ("ST0P", "EX1T") if self.misread else ("STOP", "EXIT")
        found += [
            line(word, 10 + self.shift, 10 + 30 * i)
            for i, (word, there) in enumerate(zip(words, self.texts, strict=True))
            if there
        ]
        return tuple(machine_label(content, number) for content in found)


@dataclass
class Desk:
    """One image: its reviews, its latest run, and the labels as they lie before people."""

    reviews: ImageReviews = field(default_factory=ImageReviews)
    machine: tuple[MachineLabel, ...] = ()
    labels: list[SeenLabel] = field(default_factory=list)
    note: list[Published] = field(default_factory=list)
    done: bool = False
    noted_done: bool = False
    events: list[Event] = field(default_factory=list)
    merged: tuple[MergedLabel, ...] = ()
    published: tuple[MachineLabel, ...] = ()
    n_added: int = 0

    def pull(self) -> list[Event]:
        """Take up what people did, and note it."""
        image = SeenImage(
            DIGEST,
            "a.png",
            tuple(self.labels),
            tuple(self.note),
            frozenset(Kind),
            self.done,
            self.noted_done,
            "someone",
            "2026-01-01T00:00:00.000+00:00",
        )
        events = list(detect(image, {x.id: x for x in self.published}, self.reviews))
        for event in events:
            self.reviews = fold(self.reviews, event)
        self.events += events
        states = {x.id: x.status for x in self.note}
        self.note = [
            Published(
                x.id,
                x.content.kind,
                content_hash(x.content),
                x.review or states.get(x.id, Status.PENDING),
                x.extras,
            )
            for x in self.labels
        ]
        self.noted_done = self.done
        return events

    def publish(self, machine: Sequence[MachineLabel]) -> None:
        """Pull, merge, and lay the labels out."""
        self.pull()
        self.machine = self.published = tuple(machine)
        self.merged = merge(self.machine, self.reviews)
        self.labels = [
            SeenLabel(x.id, x.content, x.id.startswith("human:"), x.status, x.extras, x.by, x.at)
            for x in self.merged
        ]
        self.note = [
            Published(x.id, x.content.kind, content_hash(x.content), x.status, x.extras)
            for x in self.merged
        ]
        self.done = self.noted_done = self.reviews.done

    def change(self, place: int, **values: object) -> None:
        """Edit a label as a tool would."""
        self.labels[place] = replace(self.labels[place], **values)  # type: ignore[arg-type]

    def add(self, content: Content) -> None:
        """Draw a label."""
        self.n_added += 1
        name = f"human:{self.n_added:024x}"
        self.labels.append(SeenLabel(name, content, added=True, review=None))

    def delete(self, place: int) -> SeenLabel:
        """Delete a label."""
        return self.labels.pop(place)

    @property
    def sources(self) -> dict[str, str]:
        """Id → source, as laid out last."""
        return {x.id: x.source for x in self.merged}


def fold(reviews: ImageReviews, event: Event) -> ImageReviews:
    """What the log does with an event."""
    if event.label is not None:
        reviews = replace(reviews, labels={**reviews.labels, event.label.id: event.label})
    names = {what.value for what in event.what}
    if names & {"image_done", "image_reopened"}:
        reviews = replace(reviews, done="image_done" in names)
    return reviews


def overlap(a: Content, b: Content) -> float:
    """How far two contents are one thing."""
    if a.kind is not b.kind:
        return 0.0
    if a.kind is Kind.TAG:
        return float(a.label == b.label)
    if a.mask is not None and b.mask is not None:
        return float(rle.iou_matrix([a.mask, b.mask])[0, 1])
    return 0.0


__all__ = ["HUMAN", "Desk", "Model", "line", "machine_label", "overlap", "rectangle", "region"]
