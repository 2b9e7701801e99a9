"""Figures of a benchmark, as they are kept and shown."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from benchmarks.arms import Arm, Taken


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of some repeats."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Take them from the repeats themselves, at least one."""
        kept = [significant(value) for value in (statistics.median(values), *values)]
        return cls(kept[0], min(kept[1:]), max(kept[1:]))


@dataclass(frozen=True, slots=True)
class Row:
    """What an arm took.

    Attributes:
        arm: Its name.
        wall: Seconds.
        cpu: Seconds, of all threads.
        ratio: Wall seconds of the reference over the arm's own, round by round.
        cpu_ratio: The same for CPU seconds.
        times_floor: Median wall seconds over the least that this machine could need.
        peak_mb: Peak memory of a process with this arm alone, MiB.
        answer: What came out, in figures.
    """

    arm: str
    wall: Spread
    cpu: Spread
    ratio: Spread
    cpu_ratio: Spread
    times_floor: float | None = None
    peak_mb: int | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Arms beside each other; the first is the reference.

    Attributes:
        title: The work, with its size.
        rows: One per arm.
        lost: What should have been equal and was not, in words.
    """

    title: str
    rows: tuple[Row, ...]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a benchmark found.

    Attributes:
        comparisons: Arms beside each other.
        figures: All else, by name.
        lost: Equality lost outside of the comparisons.
    """

    comparisons: tuple[Comparison, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    lost: tuple[str, ...] = ()

    def all_lost(self) -> list[str]:
        """Say all that should have been equal and was not."""
        return [*self.lost, *(line for found in self.comparisons for line in found.lost)]


def compared(
    title: str,
    arms: Sequence[Arm[Any]],
    taken: Mapping[str, Taken[Any]],
    *,
    answers: Mapping[str, Mapping[str, Any]] | None = None,
    peaks: Mapping[str, int] | None = None,
    lost: Sequence[str] = (),
) -> Comparison:
    """Lay out what arms took; the first is the reference.

    Args:
        title: The work, with its size.
        arms: In the order of the table.
        taken: By name of the arm.
        answers: What came out, by name of the arm.
        peaks: Peak memory in MiB, by name of the arm.
        lost: What should have been equal and was not.
    """
    reference = taken[arms[0].name]
    rows = []
    for arm in arms:
        mine = taken[arm.name]
        wall = Spread.of(mine.wall)
        rows.append(
            Row(
                arm.name,
                wall,
                Spread.of(mine.cpu),
                Spread.of(_ratios(reference.wall, mine.wall)),
                Spread.of(_ratios(reference.cpu, mine.cpu)),
                None if arm.floor is None else significant(wall.median / arm.floor),
                (peaks or {}).get(arm.name),
                (answers or {}).get(arm.name, {}),
            )
        )
    return Comparison(title, tuple(rows), tuple(lost))


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Give JSON values."""
    return dataclasses.asdict(outcome)


def from_json(values: Mapping[str, Any]) -> Outcome:
    """Take JSON values back."""
    comparisons = tuple(
        Comparison(
            entry["title"],
            tuple(_row(row) for row in entry["rows"]),
            tuple(entry["lost"]),
        )
        for entry in values.get("comparisons", ())
    )
    return Outcome(comparisons, values.get("figures", {}), tuple(values.get("lost", ())))


def significant(value: float, digits: int = 3) -> float:
    """Round to a number of significant digits; whole numbers stay as they are."""
    rounded = float(f"{value:.{digits}g}")
    return round(value) if abs(value) >= 10**digits else rounded


def _row(values: Mapping[str, Any]) -> Row:
    spreads = {key: Spread(**values[key]) for key in ("wall", "cpu", "ratio", "cpu_ratio")}
    return Row(**{**values, **spreads})


def _ratios(reference: Sequence[float], mine: Sequence[float]) -> list[float]:
    # Where a clock has not moved, nothing can be said but that it was fast.
    return [theirs / max(own, 1e-6) for theirs, own in zip(reference, mine, strict=True)]
