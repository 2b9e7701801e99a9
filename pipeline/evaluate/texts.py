"""Lines of text against truth: found, read, and both.

Where they are is judged twice. By the protocol of ICDAR 2015, one to one at an IoU of 0.5, which
readers with generous boxes fail against tight truth although they read every word; and by DetEval,
as ICDAR 2013 did, which asks that the truth is covered. What they say is compared wherever a found
line and a true one mean the same place. Text that cannot be read counts neither way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.evaluate.errors import Fault, FaultKind
from pipeline.evaluate.sides import TEXT_IOU, Compared, box_mask
from pipeline.metrics.calibration import Calibration, calibrate
from pipeline.metrics.intervals import Counts
from pipeline.metrics.matching import by_overlap, mask_overlaps, mask_shares
from pipeline.metrics.places import DETEVAL, Detection, Group, Least, count, group
from pipeline.metrics.reading import Reading, plain, read, spotted
from pipeline.records import Mask
from pipeline.truth import Shape

SAME_PLACE: Final = Least(0.5, 0.3)
"""From when on two lines are compared by what they say: the words then decide, not their boxes.

Source: 0.3 is the least area precision of CLEval (Baek et al., CVPR workshops 2020).
"""

_UNREADABLE: Final = 0.5
"""Share of a found line on text that nobody can read, from which it is neither right nor wrong.

Source: as in the scripts of ICDAR 2013 and 2015.
"""


@dataclass(frozen=True, slots=True)
class Read:
    """Lines found and read: a found line and a true one are right together, as a group.

    Attributes:
        truth: Number of true lines.
        found: Number of found lines.
        right_truth: True lines that were read.
        right_found: Found lines that are right.
    """

    truth: int
    found: int
    right_truth: int
    right_found: int

    @property
    def by_truth(self) -> Counts:
        """Read and missed."""
        return Counts(self.right_truth, 0, self.truth - self.right_truth)

    @property
    def by_found(self) -> Counts:
        """Right and wrong."""
        return Counts(self.right_found, self.found - self.right_found, 0)

    @property
    def hmean(self) -> float | None:
        """Harmonic mean of precision and recall; None if there is neither truth nor find."""
        p, r = self.by_found.precision, self.by_truth.recall
        if p is None or r is None:
            return None
        return 2 * p.value * r.value / (p.value + r.value) if p.value + r.value else 0.0


@dataclass(frozen=True, slots=True)
class TextFigures:
    """How good the texts are.

    Attributes:
        detection: Lines that were found, as ICDAR 2015 counts.
        deteval: The same as DetEval counts.
        recognition: Transcriptions of what is in the same place.
        end_to_end: Lines that are in the same place and read without an error.
        word_spotting: The same with the laxer rules for words of ICDAR 2015.
        end_to_end_iou: As ``end_to_end``, in the places of ``detection``.
    """

    detection: Counts
    deteval: Detection
    recognition: Reading
    end_to_end: Read
    word_spotting: Read
    end_to_end_iou: Counts
    calibration: Calibration
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class _Lines:
    """Lines of one image that count, and which of them belong together.

    Attributes:
        pairs: Found → truth at the IoU of ICDAR 2015.
        groups: By DetEval.
        places: By ``SAME_PLACE``: what is read.
    """

    image: Compared
    found: tuple[Shape, ...]
    truth: tuple[Shape, ...]
    pairs: dict[int, int]
    groups: tuple[Group, ...]
    places: tuple[Group, ...]

    def said(self, place: Group) -> tuple[str, str]:
        """What was found in a place, and what is true."""
        return (
            _joined([self.found[n] for n in place.found]),
            _joined([self.truth[n] for n in place.truth]),
        )


def measure(images: Sequence[Compared]) -> TextFigures:
    """Measure the lines of text of a run."""
    lines = [_lines(image) for image in images]
    n_found = sum(len(one.found) for one in lines)
    n_truth = sum(len(one.truth) for one in lines)
    paired = [
        (one.found[a].text or "", one.truth[b].text or "")
        for one in lines
        for a, b in one.pairs.items()
    ]
    exact = sum(plain(found) == plain(true) for found, true in paired)
    right = [_is_read(one, n) for one in lines for n in range(len(one.found))]
    scores = [shape.score for one in lines for shape in one.found]
    return TextFigures(
        Counts(len(paired), n_found - len(paired), n_truth - len(paired)),
        count((len(one.truth), len(one.found), one.groups) for one in lines),
        read(one.said(place) for one in lines for place in one.places),
        _read(lines, plain),
        _read(lines, spotted),
        Counts(exact, n_found - exact, n_truth - exact),
        calibrate(scores, right),
        tuple(fault for one in lines for fault in _faults(one)),
    )


def _lines(image: Compared) -> _Lines:
    found, given = image.found.texts, image.truth.texts
    truth = tuple(shape for shape in given if not shape.crowd)
    masks, true = [_mask(image, s) for s in found], [_mask(image, s) for s in truth]
    places = group(masks, true, SAME_PLACE)
    unreadable = [_mask(image, s) for s in given if s.crowd]
    on_unreadable = mask_shares(masks, unreadable)[0].sum(axis=1) >= _UNREADABLE
    read_here = {n for place in places for n in place.found}
    kept = [n for n in range(len(found)) if n in read_here or not on_unreadable[n]]
    masks = [masks[n] for n in kept]
    return _Lines(
        image,
        tuple(found[n] for n in kept),
        truth,
        by_overlap(mask_overlaps(masks, true), TEXT_IOU),
        tuple(group(masks, true, DETEVAL)),
        tuple(group(masks, true, SAME_PLACE)),
    )


def _mask(image: Compared, shape: Shape) -> Mask:
    return shape.mask or box_mask(shape.box, image.width, image.height)


def _joined(shapes: Sequence[Shape]) -> str:
    """Words of one place in reading order: from the left, or from the top if they are stacked."""
    centres = [(s.box.x + s.box.width / 2, s.box.y + s.box.height / 2) for s in shapes]
    across, down = (max(values) - min(values) for values in zip(*centres, strict=True))
    axis = 0 if across >= down else 1
    order = sorted(range(len(shapes)), key=lambda n: centres[n][axis])
    return " ".join(shapes[n].text or "" for n in order)


def _is_read(lines: _Lines, n: int) -> bool:
    said = [lines.said(place) for place in lines.places if n in place.found]
    return any(plain(found) == plain(true) for found, true in said)


def _read(lines: Sequence[_Lines], key: Callable[[str], str | None]) -> Read:
    """Count what was read; what the key does not ask for counts neither way."""
    truth = found = right_truth = right_found = 0
    for one in lines:
        asked = {n for n, shape in enumerate(one.truth) if key(shape.text or "") is not None}
        left_out: set[int] = set()
        for place in one.places:
            if not asked.issuperset(place.truth):
                left_out.update(place.found)
                asked -= set(place.truth)
                continue
            said, true = one.said(place)
            right = key(said) == key(true)
            right_truth += right * len(place.truth)
            right_found += right * len(place.found)
        truth += len(asked)
        found += len(one.found) - len(left_out)
    return Read(truth, found, right_truth, right_found)


def _faults(lines: _Lines) -> Iterator[Fault]:
    image = lines.image
    for place in lines.places:
        said, true = lines.said(place)
        if plain(said) != plain(true):
            shape, other = lines.found[place.found[0]], lines.truth[place.truth[0]]
            yield Fault(FaultKind.TEXT_MISREAD, shape.score, image, shape, other)
    met = {n for place in lines.places for n in place.found}
    for n, shape in enumerate(lines.found):
        if n not in met:
            yield Fault(FaultKind.TEXT_SPURIOUS, shape.score, image, found=shape)
    met = {n for place in lines.places for n in place.truth}
    for n, shape in enumerate(lines.truth):
        if n not in met:
            share = shape.area / (image.width * image.height)
            yield Fault(FaultKind.TEXT_MISSED, min(share**0.5, 1.0), image, true=shape)
