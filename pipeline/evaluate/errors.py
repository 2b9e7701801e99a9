"""Everything that is wrong, as one kind of value, so that it can be put worst first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pipeline.evaluate.sides import Compared
from pipeline.records import Box, JsonObject
from pipeline.truth import Shape

SHOWN: Final = 500


class FaultKind(StrEnum):
    """In what way a label is wrong, or missing."""

    MISSED = "missed"
    SPURIOUS = "spurious"
    CONFUSED = "confused"
    MISPLACED = "misplaced"
    TAG_MISSED = "tag_missed"
    TAG_SPURIOUS = "tag_spurious"
    TEXT_MISSED = "text_missed"
    TEXT_SPURIOUS = "text_spurious"
    TEXT_MISREAD = "text_misread"


@dataclass(frozen=True, slots=True)
class Fault:
    """One error.

    Attributes:
        severity: From 0 to 1: the score of what was found, the size of what was missed.
        found: What the run says; None if it says nothing.
        true: What is true; None if nothing is.
        tag: Name of a tag, found or true.
    """

    kind: FaultKind
    severity: float
    image: Compared
    found: Shape | None = None
    true: Shape | None = None
    iou: float | None = None
    tag: str | None = None


def worst_first(faults: Iterable[Fault]) -> list[Fault]:
    """Order errors by how bad they are; equal ones by image and place, so that none is chance."""
    return sorted(
        faults,
        key=lambda fault: (
            -fault.severity,
            fault.image.file_name,
            fault.kind.value,
            fault.tag or "",
            str(fault.found or fault.true),
        ),
    )


def counts(faults: Iterable[Fault]) -> dict[str, int]:
    """Count errors by kind."""
    return dict(sorted(Counter(fault.kind.value for fault in faults).items()))


def entry(fault: Fault) -> JsonObject:
    """Lay an error out for ``evaluation.json``."""
    found, true = fault.found, fault.true
    missed = fault.kind is FaultKind.TAG_MISSED
    return {
        "kind": fault.kind.value,
        "severity": fault.severity,
        "image": fault.image.file_name,
        "sha256": fault.image.sha256,
        "class": found.class_name if found else None if missed else fault.tag,
        "truth_class": true.class_name if true else fault.tag if missed else None,
        "score": found.score if found else None,
        "iou": fault.iou,
        "box": _box(found.box if found else None),
        "truth_box": _box(true.box if true else None),
        "label_id": found and found.id,
        "truth_id": true and true.id,
        "text": found and found.text,
        "truth_text": true and true.text,
    }


def _box(box: Box | None) -> list[Any] | None:
    return None if box is None else [box.x, box.y, box.width, box.height]
