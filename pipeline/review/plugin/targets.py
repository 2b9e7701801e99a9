"""Which labels an operator is about: the selected ones, else the open image's, else the view's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.review.fields import LISTS, PENDING


@dataclass(frozen=True, slots=True)
class LabelRef:
    """One label and what an operator needs to know of it.

    Attributes:
        field: One of the three reviewed fields.
        sample_id: FiftyOne id of the image.
        label_id: FiftyOne id of the label.
        review: Its state.
        name: Its class.
        score: The machine's score; None for labels a person added.
    """

    field: str
    sample_id: str
    label_id: str
    review: str
    name: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Targets:
    """The labels an operator is about.

    Attributes:
        labels: The labels.
        selected: Whether a person selected each of them.
        where: In words, for the form that asks before it acts on unselected labels.
    """

    labels: tuple[LabelRef, ...]
    selected: bool
    where: str

    def pending(self) -> tuple[LabelRef, ...]:
        """Those without a decision; the only ones to act on without a selection."""
        return tuple(label for label in self.labels if label.review == PENDING)


def targets(ctx: Any) -> Targets:  # noqa: ANN401
    """Find out what an operator's context is about."""
    chosen = {(item["field"], item["label_id"]) for item in ctx.selected_labels or ()}
    if chosen:
        samples = sorted({item["sample_id"] for item in ctx.selected_labels})
        labels = [
            label
            for label in labels_of(ctx.dataset.select(samples))
            if (label.field, label.label_id) in chosen
        ]
        return Targets(tuple(labels), selected=True, where="selected")
    view, where = _view(ctx)
    return Targets(tuple(labels_of(view)), selected=False, where=where)


def _view(ctx: Any) -> tuple[Any, str]:  # noqa: ANN401
    if ctx.current_sample:
        return ctx.view.select(ctx.current_sample), "in this image"
    if ctx.selected:
        return ctx.view.select(ctx.selected), f"in {len(ctx.selected)} selected images"
    if ctx.has_custom_view:
        return ctx.view, "in the current view"
    return ctx.view, "in the whole dataset"


def labels_of(view: Any) -> Iterator[LabelRef]:  # noqa: ANN401
    """Give the reviewed labels of a view, filters of the view applied.

    Yields:
        One label after the other, field by field.
    """
    for field, path in LISTS.items():
        columns = [f"{path}.{name}" for name in ("_id", "review", "label", "confidence")]
        for sample, *lists in zip(*view.values(["id", *columns]), strict=True):
            for label, review, name, score in _rows(lists):
                yield LabelRef(field, sample, str(label), review or PENDING, name or "", score)


def _rows(lists: Iterable[list[Any] | None]) -> Iterator[tuple[Any, ...]]:
    return zip(*(values or () for values in lists), strict=True)
