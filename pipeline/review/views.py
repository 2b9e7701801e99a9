"""The queues: saved views that say what to look at next.

They pick images and keep all labels of an image. A view that hid labels would be tidier, yet the
Annotate tab writes an edit to a place in the list of labels, and in a shortened list that place is
another label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.records import Decision
from pipeline.review.fields import DONE, LISTS, PENDING, QUARANTINED

LOW_CONFIDENCE: Final = 0.5
"""Scores are probabilities: below one half, the label is more likely wrong than right."""


@dataclass(frozen=True, slots=True)
class Queue:
    """A saved view.

    Attributes:
        name: Shown in the App's list of views and on the panel's button.
        description: Shown beside the name.
        colour: Of its dot in the list.
        build: Gives the view of a dataset.
    """

    name: str
    description: str
    colour: str
    build: Callable[[Any], Any]


def save_queues(dataset: Any) -> None:  # noqa: ANN401
    """Save every queue in the dataset, in place of an older one of the same name."""
    dataset.create_index("min_margin")
    for queue in QUEUES:
        dataset.save_view(
            queue.name,
            queue.build(dataset),
            description=queue.description,
            color=queue.colour,
            overwrite=True,
        )


def _any_label(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Images with a label for which all of this is true, as a query of the database."""
    return {"$or": [{path: {"$elemMatch": condition}} for path in LISTS.values()]}


def _waiting(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Images not finished yet that have a pending label for which all of this is true."""
    return {
        "status": {"$nin": [DONE, QUARANTINED]},
        **_any_label({"review": PENDING, **condition}),
    }


def _needs_review(dataset: Any) -> Any:  # noqa: ANN401
    return dataset.mongo([{"$match": _waiting({"decision": Decision.REVIEW.value})}]).sort_by(
        "min_margin"
    )


def _low_confidence(dataset: Any) -> Any:  # noqa: ANN401
    return dataset.mongo([{"$match": _waiting({"confidence": {"$lt": LOW_CONFIDENCE}})}]).sort_by(
        "min_margin"
    )


def _conflicts(dataset: Any) -> Any:  # noqa: ANN401
    return dataset.mongo([{"$match": {"conflicts.0": {"$exists": True}}}]).sort_by("min_margin")


def _quarantined(dataset: Any) -> Any:  # noqa: ANN401
    return dataset.mongo([{"$match": {"status": QUARANTINED}}]).sort_by("quarantine_reason")


def _changed(dataset: Any) -> Any:  # noqa: ANN401
    return dataset.mongo([{"$match": {"changed_by_rerun": True}}]).sort_by("min_margin")


def _second_opinions(dataset: Any) -> Any:  # noqa: ANN401
    return dataset.mongo([{"$match": _any_label({"proposal": {"$type": "string"}})}])


def _reviewed(dataset: Any) -> Any:  # noqa: ANN401
    touched = _any_label({"review": {"$exists": True, "$nin": [PENDING, None]}})
    return dataset.mongo([{"$match": {"$or": [{"status": DONE}, touched]}}])


QUEUES: Final = (
    Queue(
        "needs review",
        "Labels the machine was unsure of, the closest calls first",
        "#f2b134",
        _needs_review,
    ),
    Queue(
        "low confidence",
        f"Pending labels with a score below {LOW_CONFIDENCE}",
        "#e8590c",
        _low_confidence,
    ),
    Queue(
        "conflicts",
        "Labels that contradict each other: see the field `conflicts`",
        "#d6336c",
        _conflicts,
    ),
    Queue(
        "quarantined",
        "Files without labels: see `quarantine_reason` and `quarantine_detail`",
        "#868e96",
        _quarantined,
    ),
    Queue(
        "changed by re-run",
        "Images whose labels the latest run changed",
        "#1c7ed6",
        _changed,
    ),
    Queue(
        "second opinions",
        "Labels a person decided on and the machine now sees otherwise",
        "#7048e8",
        _second_opinions,
    ),
    Queue(
        "reviewed",
        "Images that are done or carry a decision of a person",
        "#2f9e44",
        _reviewed,
    ),
)
