"""Charts as plain numbers: where bars and lines lie. The template draws them as SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 320
HEIGHT: Final = 110
BINS: Final = 25
DECISIONS: Final = ("accept", "review", "drop")


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of a chart, in its own units.

    Attributes:
        style: Class of the style sheet.
        title: What it says when pointed at.
    """

    x: float
    y: float
    width: float
    height: float
    style: str
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """A vertical line: a threshold."""

    x: float
    title: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Scores from 0 to 1, stacked by decision; heights go with the square root of counts.

    Attributes:
        n: Scores in it.
        highest: Count of the highest bar.
    """

    title: str
    n: int
    highest: int
    bars: tuple[Bar, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Diagram:
    """Reliability: how often labels of a score were right.

    Attributes:
        bars: One per bin of scores.
        ece: Expected calibration error; None if unknown.
    """

    title: str
    ece: float | None
    bars: tuple[Bar, ...]


def histogram(
    title: str, scores: Iterable[tuple[float, str]], thresholds: Mapping[str, float]
) -> Histogram:
    """Lay out a histogram of scores.

    Args:
        title: Its name.
        scores: Score and decision each.
        thresholds: What the line says → where it stands.
    """
    counts = [dict.fromkeys(DECISIONS, 0) for _ in range(BINS)]
    n = 0
    for score, decision in scores:
        counts[min(int(max(score, 0.0) * BINS), BINS - 1)][decision] += 1
        n += 1
    highest = max(sum(count.values()) for count in counts)
    bars = tuple(bar for at, count in enumerate(counts) for bar in _stacked(at, count, highest))
    lines = tuple(
        Line(round(value * WIDTH, 1), f"{name} {value:g}") for name, value in thresholds.items()
    )
    return Histogram(title, n, highest, bars, lines)


def _stacked(at: int, counts: Mapping[str, int], highest: int) -> Iterable[Bar]:
    total, step = sum(counts.values()), WIDTH / BINS
    full = HEIGHT * math.sqrt(total / highest) if total else 0.0
    top = HEIGHT - full
    low, high = at / BINS, (at + 1) / BINS
    for name in DECISIONS:
        if counts[name]:
            height = full * counts[name] / total
            title = f"{low:.2f} to {high:.2f}: {counts[name]} {name}"
            yield Bar(
                round(at * step + 0.5, 1), round(top, 1), round(step - 1, 1), round(height, 1),
                name, title,
            )  # fmt: skip
            top += height


def diagram(title: str, calibration: Mapping[str, object]) -> Diagram:
    """Lay out a reliability diagram.

    Args:
        title: Its name.
        calibration: As ``evaluation.json`` has it: ece, and bins with low, high, n, precision.
    """
    bins = calibration.get("bins")
    ece = calibration.get("ece")
    bars = []
    for one in bins if isinstance(bins, Sequence) else ():
        if one["n"] and one["precision"] is not None:
            height = HEIGHT * one["precision"]
            low, high = one["low"], one["high"]
            says = f"{low:.1f} to {high:.1f}: right {one['precision']:.0%} of {one['n']}"
            bars.append(
                Bar(
                    round(low * WIDTH + 1, 1), round(HEIGHT - height, 1),
                    round((high - low) * WIDTH - 2, 1), round(height, 1), "accept", says,
                )
            )  # fmt: skip
    return Diagram(title, ece if isinstance(ece, float) else None, tuple(bars))


@dataclass(frozen=True, slots=True)
class Share:
    """A row of a bar table: parts of a width of 100."""

    bars: tuple[Bar, ...]


def shares(parts: Sequence[tuple[str, float]], whole: float) -> Share:
    """Lay parts side by side.

    Args:
        parts: Style and amount each.
        whole: Amount that fills the width.
    """
    bars, x = [], 0.0
    for style, amount in parts:
        width = 100 * amount / whole if whole else 0.0
        if width > 0:
            bars.append(Bar(round(x, 2), 0, round(width, 2), 10, style, f"{amount:g} {style}"))
            x += width
    return Share(tuple(bars))
