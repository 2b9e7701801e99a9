"""Write a person's decision into the dataset, always with who and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from pipeline.review.fields import LISTS, PENDING, TEXTS
from pipeline.review.plugin.targets import LabelRef
from pipeline.review.pull import reviewer
from pipeline.review.words import show_words


def decide(
    dataset: Any,  # noqa: ANN401
    labels: Iterable[LabelRef],
    review: str,
    changes: Mapping[str, str] | None = None,
) -> int:
    """Give labels a state; gives how many there were.

    Args:
        dataset: The FiftyOne dataset.
        labels: The labels.
        review: Their state from now on.
        changes: Further attributes with the value that all of them get.
    """
    by_field: defaultdict[str, list[LabelRef]] = defaultdict(list)
    for label in labels:
        by_field[label.field].append(label)
    now = None if review == PENDING else datetime.now(UTC)
    who = None if review == PENDING else reviewer()
    # The state comes last: a label never says that it is decided before the decision is there.
    values = {**(changes or {}), "reviewed_by": who, "reviewed_at": now, "review": review}
    for field, members in by_field.items():
        for name, value in values.items():
            dataset.set_label_values(
                f"{LISTS[field]}.{name}",
                [
                    {"sample_id": label.sample_id, "label_id": label.label_id, "value": value}
                    for label in members
                ],
            )
    if TEXTS in by_field:
        show_words(dataset.select(sorted({label.sample_id for label in by_field[TEXTS]})))
    return sum(map(len, by_field.values()))
