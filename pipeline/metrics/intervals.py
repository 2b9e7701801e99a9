"""Rates with confidence intervals, as intervals that never promise too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scipy.stats import beta

CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Interval:
    """A rate with the range that it lies in with the stated confidence."""

    value: float
    low: float
    high: float


def rate(hits: int, total: int, confidence: float = CONFIDENCE) -> Interval | None:
    """Share of hits; None if nothing was tried.

    Source: Clopper and Pearson, Biometrika 26 (1934): two-sided, never covers less than it says.
    """
    if not total:
        return None
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, total - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, total - hits)) if hits < total else 1.0
    return Interval(hits / total, low, high)


def at_least(hits: int, total: int, confidence: float = CONFIDENCE) -> float:
    """Rate that is reached with the stated confidence, one-sided; 0 if nothing was tried.

    Source: Clopper and Pearson, as ``rate``.
    """
    return float(beta.ppf(1 - confidence, hits, total - hits + 1)) if hits else 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Right, wrong and missed.

    Attributes:
        tp: Found and true.
        fp: Found and not true.
        fn: True and not found.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    @property
    def truth(self) -> int:
        """Number of what is true."""
        return self.tp + self.fn

    @property
    def found(self) -> int:
        """Number of what was found."""
        return self.tp + self.fp

    @property
    def precision(self) -> Interval | None:
        """Share of what was found that is true."""
        return rate(self.tp, self.found)

    @property
    def recall(self) -> Interval | None:
        """Share of what is true that was found."""
        return rate(self.tp, self.truth)

    @property
    def f1(self) -> Interval | None:
        """Harmonic mean of both.

        It is ``2 j / (1 + j)`` of ``j``, the share of hits among all that was found or is true,
        and grows with it; so the interval of one is the interval of the other.
        """
        share = rate(self.tp, self.tp + self.fp + self.fn)
        if share is None:
            return None
        return Interval(*(2 * j / (1 + j) for j in (share.value, share.low, share.high)))

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)
