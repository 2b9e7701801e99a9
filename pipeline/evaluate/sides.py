"""What is compared: images with the labels of truth on one side and of the run on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from pipeline import rle
from pipeline.records import Box, Mask
from pipeline.truth import Side, TruthKind

IOU: Final = 0.5
"""From which a found object is the true one."""

TEXT_IOU: Final = 0.5
"""The same for lines of text, as in ICDAR 2015."""


@dataclass(frozen=True, slots=True)
class Compared:
    """An image that both sides know.

    Attributes:
        found: All that the run wrote.
        accepted: What of it the policy accepted: it stands without a person's look.
    """

    id: int
    sha256: str
    file_name: str
    width: int
    height: int
    truth: Side
    found: Side
    accepted: Side

    def as_accepted(self) -> Compared:
        """The image as if the run had written only what stands without a person's look."""
        return replace(self, found=self.accepted)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All images, and what cannot be compared.

    Attributes:
        classes: Names that objects of the truth can have, in order; None without objects.
        tag_classes: The same for tags.
        has_texts: Whether the truth speaks of text.
        sha256: Of the truth.
    """

    kind: TruthKind
    path: str
    sha256: str
    run_id: str
    images: Sequence[Compared]
    only_in_run: int
    only_in_truth: int
    classes: Sequence[str] | None
    tag_classes: Sequence[str] | None
    has_texts: bool


def box_mask(box: Box, width: int, height: int) -> Mask:
    """Fill a box: what stands for the mask of a label that has none."""
    bitmap = np.zeros((height, width), np.bool_)
    top, left = max(round(box.y), 0), max(round(box.x), 0)
    bitmap[top : round(box.y + box.height), left : round(box.x + box.width)] = True
    return rle.encode(bitmap)
