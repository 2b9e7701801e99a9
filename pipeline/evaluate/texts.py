"""Lines of text against truth: found, read, and both.

Source: the end-to-end protocol of ICDAR 2015: one to one at an IoU of 0.5; text that cannot be
read counts neither for nor against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.evaluate.errors import Fault, FaultKind
from pipeline.evaluate.sides import TEXT_IOU, Compared, box_mask
from pipeline.metrics.calibration import Calibration, calibrate
from pipeline.metrics.intervals import Counts
from pipeline.metrics.matching import by_overlap, mask_overlaps
from pipeline.metrics.reading import Reading, plain, read
from pipeline.records import Mask
from pipeline.truth import Shape


@dataclass(frozen=True, slots=True)
class TextFigures:
    """How good the texts are.

    Attributes:
        detection: Lines that were found.
        recognition: Transcriptions of the lines that were found.
        end_to_end: Lines that were found and read without an error.
    """

    detection: Counts
    recognition: Reading
    end_to_end: Counts
    calibration: Calibration
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of one image, paired: found → truth."""

    image: Compared
    found: tuple[Shape, ...]
    truth: tuple[Shape, ...]
    pairs: dict[int, int]
    ious: dict[int, float]

    def readings(self) -> Iterator[tuple[Shape, Shape]]:
        for one, other in self.pairs.items():
            yield self.found[one], self.truth[other]


def measure(images: Sequence[Compared]) -> TextFigures:
    """Measure the lines of text of a run."""
    lines = [_pair(image) for image in images]
    readings = [pair for one in lines for pair in one.readings()]
    n_found = sum(len(one.found) for one in lines)
    n_truth = sum(len(one.truth) for one in lines)
    exact = sum(_same(found, true) for found, true in readings)
    right = [place in one.pairs and _same(shape, one.truth[one.pairs[place]])
             for one in lines for place, shape in enumerate(one.found)]  # fmt: skip
    scores = [shape.score for one in lines for shape in one.found]
    return TextFigures(
        Counts(len(readings), n_found - len(readings), n_truth - len(readings)),
        read((found.text or "", true.text or "") for found, true in readings),
        Counts(exact, n_found - exact, n_truth - exact),
        calibrate(scores, right),
        tuple(fault for one in lines for fault in _faults(one)),
    )


def _pair(image: Compared) -> _Lines:
    truth, found = image.truth.texts, image.found.texts
    overlaps = mask_overlaps([_mask(image, s) for s in found], [_mask(image, s) for s in truth])
    matches = by_overlap(overlaps, TEXT_IOU)
    unread = {one for one, other in matches.items() if truth[other].crowd}
    kept = [n for n in range(len(found)) if n not in unread]
    readable = [n for n, shape in enumerate(truth) if not shape.crowd]
    pairs = {kept.index(a): readable.index(b) for a, b in matches.items() if a not in unread}
    ious = {kept.index(a): float(overlaps[a, b]) for a, b in matches.items() if a not in unread}
    return _Lines(
        image,
        tuple(found[n] for n in kept),
        tuple(truth[n] for n in readable),
        pairs,
        ious,
    )


def _mask(image: Compared, shape: Shape) -> Mask:
    return shape.mask or box_mask(shape.box, image.width, image.height)


def _same(found: Shape, true: Shape) -> bool:
    return plain(found.text or "") == plain(true.text or "")


def _faults(lines: _Lines) -> Iterator[Fault]:
    image = lines.image
    for place, shape in enumerate(lines.found):
        if place not in lines.pairs:
            yield Fault(FaultKind.TEXT_SPURIOUS, shape.score, image, found=shape)
            continue
        true = lines.truth[lines.pairs[place]]
        if not _same(shape, true):
            iou = lines.ious[place]
            yield Fault(FaultKind.TEXT_MISREAD, shape.score, image, shape, true, iou)
    for place, shape in enumerate(lines.truth):
        if place not in lines.pairs.values():
            share = shape.area / (image.width * image.height)
            yield Fault(FaultKind.TEXT_MISSED, min(share**0.5, 1.0), image, true=shape)
