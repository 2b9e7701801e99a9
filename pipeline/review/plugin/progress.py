"""How far the review is: counts per class and the pace of this session."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pipeline.review.fields import LISTS, PENDING, STATES, TEXTS

SHORTEST_SESSION: Final = 60.0
"""Seconds; a pace measured over less says nothing."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of labels.

    Attributes:
        per_class: Class → state → labels.
        in_session: Labels decided since the session began.
        session_seconds: Length of the session.
    """

    per_class: Mapping[str, Mapping[str, int]]
    in_session: int
    session_seconds: float

    @property
    def total(self) -> int:
        """All labels."""
        return sum(sum(states.values()) for states in self.per_class.values())

    @property
    def decided(self) -> int:
        """Labels that are not pending any more."""
        return self.total - sum(states.get(PENDING, 0) for states in self.per_class.values())

    @property
    def per_hour(self) -> float:
        """Labels decided per hour of this session."""
        return self.in_session * 3600 / max(self.session_seconds, SHORTEST_SESSION)


def measure(dataset: Any, started: datetime, now: datetime) -> Progress:  # noqa: ANN401
    """Count all labels of the three reviewed fields, in the database.

    Args:
        dataset: The FiftyOne dataset.
        started: When the session began, UTC.
        now: The present, UTC.
    """
    per_class: Counter[tuple[str, str]] = Counter()
    in_session = 0
    for field, path in LISTS.items():
        rows = dataset._sample_collection.aggregate(_pipeline(field, path, started))  # noqa: SLF001
        for row in rows:
            name, review = row["_id"].get("label"), row["_id"].get("review")
            per_class[_title(field, name), review if review in STATES else PENDING] += row["n"]
            in_session += row["recent"]
    return Progress(_nested(per_class), in_session, (now - started).total_seconds())


def _pipeline(field: str, path: str, started: datetime) -> list[dict[str, Any]]:
    label = {} if field == TEXTS else {"label": f"${path}.label"}
    recent = {"$gte": [f"${path}.reviewed_at", started]}
    return [
        {"$project": {f"{path}.label": 1, f"{path}.review": 1, f"{path}.reviewed_at": 1}},
        {"$unwind": f"${path}"},
        {
            "$group": {
                "_id": {**label, "review": f"${path}.review"},
                "n": {"$sum": 1},
                "recent": {"$sum": {"$cond": [recent, 1, 0]}},
            }
        },
    ]


def _title(field: str, name: str | None) -> str:
    titles = {TEXTS: "text", "objects": f"{name}"}
    return titles.get(field, f"tag: {name}")


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    names: Iterable[str] = sorted({name for name, _ in counts}, key=_objects_first)
    return {name: {state: counts.get((name, state), 0) for state in STATES} for name in names}


def _objects_first(title: str) -> tuple[bool, bool, str]:
    return title.startswith("tag: "), title == "text", title
