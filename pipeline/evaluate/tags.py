"""Tags of images against truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.evaluate.errors import Fault, FaultKind
from pipeline.evaluate.sides import Compared
from pipeline.metrics.calibration import Calibration, calibrate
from pipeline.metrics.intervals import Counts
from pipeline.metrics.tagging import average_precision


@dataclass(frozen=True, slots=True)
class TagFigures:
    """How good the tags are.

    Attributes:
        precisions: Class → average precision; None if no image shows it.
        classes: Class → counts.
        accepted: Of those that stand without a person's look.
    """

    precisions: Mapping[str, float | None]
    classes: Mapping[str, Counts]
    accepted: Counts
    calibration: Calibration
    faults: tuple[Fault, ...]

    @property
    def mean(self) -> float | None:
        """Mean of the average precisions, over the classes that have one."""
        known = [value for value in self.precisions.values() if value is not None]
        return sum(known) / len(known) if known else None

    @property
    def overall(self) -> Counts:
        """All classes together."""
        return sum(self.classes.values(), Counts())


def measure(images: Sequence[Compared], classes: Sequence[str]) -> TagFigures:
    """Measure tags; a tag that the run did not write counts with a score of 0."""
    precisions: dict[str, float | None] = {}
    counted: dict[str, Counts] = {}
    scores: list[float] = []
    right: list[bool] = []
    for name in classes:
        true = [name in (image.truth.tags or {}) for image in images]
        found = [(image.found.tags or {}).get(name) for image in images]
        precisions[name] = average_precision(true, [score or 0.0 for score in found])
        pairs = list(zip(true, found, strict=True))
        counted[name] = _count(name, images)
        scores += [score for _, score in pairs if score is not None]
        right += [is_true for is_true, score in pairs if score is not None]
    faults = tuple(fault for image in images for fault in _faults(image, classes))
    accepted = [image.as_accepted() for image in images]
    stands = sum((_count(name, accepted) for name in classes), Counts())
    return TagFigures(precisions, counted, stands, calibrate(scores, right), faults)


def _count(name: str, images: Sequence[Compared]) -> Counts:
    true = [name in (image.truth.tags or {}) for image in images]
    found = [name in (image.found.tags or {}) for image in images]
    tp = sum(one and other for one, other in zip(true, found, strict=True))
    return Counts(tp, sum(found) - tp, sum(true) - tp)


def _faults(image: Compared, classes: Sequence[str]) -> Iterator[Fault]:
    true, found = image.truth.tags or {}, image.found.tags or {}
    for name in classes:
        if name in found and name not in true:
            yield Fault(FaultKind.TAG_SPURIOUS, found[name], image, tag=name)
        elif name in true and name not in found:
            yield Fault(FaultKind.TAG_MISSED, 1.0, image, tag=name)
