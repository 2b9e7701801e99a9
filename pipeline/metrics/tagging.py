"""Average precision of tags."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import average_precision_score


def average_precision(truth: Sequence[bool], scores: Sequence[float]) -> float | None:
    """Average precision over images; None if no image shows the class.

    Args:
        truth: Whether each image shows the class.
        scores: Score of each image; 0 for one that was not tagged.

    Source: scikit-learn, without interpolation.
    """
    if not any(truth):
        return None
    return float(average_precision_score([int(value) for value in truth], list(scores)))
