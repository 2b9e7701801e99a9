"""Whether scores mean what they say: right in 8 of 10 at a score of 0.8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Labels with similar scores.

    Attributes:
        low: Lowest score; the next bin's is this one's upper end.
        high: Upper end.
        n: Number of labels.
        confidence: Mean score; None without labels.
        precision: Share that is right; None without labels.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    precision: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """A reliability diagram, and how far it is from the diagonal."""

    ece: float | None
    bins: tuple[Bin, ...]


def calibrate(scores: Sequence[float], right: Sequence[bool], n_bins: int = _BINS) -> Calibration:
    """Compare scores with how often they are right.

    Args:
        scores: N scores in [0, 1].
        right: Whether each is right.
        n_bins: Number of bins of equal width.

    Source: expected calibration error as in Guo et al., "On Calibration of Modern Neural Networks"
    (ICML 2017), weighted by the number of labels in each bin.
    """
    score, hit = np.asarray(scores, np.float64), np.asarray(right, np.float64)
    place = np.minimum((score * n_bins).astype(int), n_bins - 1)
    bins, error = [], 0.0
    for k in range(n_bins):
        inside = place == k
        n = int(inside.sum())
        confidence = float(score[inside].mean()) if n else None
        precision = float(hit[inside].mean()) if n else None
        if confidence is not None and precision is not None:
            error += n / len(score) * abs(confidence - precision)
        bins.append(Bin(k / n_bins, (k + 1) / n_bins, n, confidence, precision))
    return Calibration(error if len(score) else None, tuple(bins))
