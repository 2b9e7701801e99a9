"""What a COCO file can do wrong: the conformance rules, and findings against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

RULES: Final[Mapping[int, str]] = {
    1: "JSON as in RFC 8259, UTF-8, finite numbers, no key twice",
    2: "info, licenses, images, annotations, categories are there, lists of objects",
    3: "image id: a whole number from 1, unique",
    4: "file_name: unique, relative, posix, inside the folder of images, and there",
    5: "width and height: whole numbers, as our decoder gives them for the upright image",
    6: "license refers to licenses, date_captured is an ISO date; never null",
    7: "category ids: 1 to K without gaps, in order",
    8: "category names: not empty, unique but for case and composition; supercategory a string",
    9: "annotation id: a whole number from 1, unique",
    10: "image_id, category_id, owner and tags refer to what is there",
    11: "bbox: four finite numbers x, y, width, height, inside the image, not empty",
    12: "area: the mask's pixels",
    13: "bbox: tight around the mask",
    14: "iscrowd: 0 or 1, and 0 for labels of ours",
    15: "segmentation: polygons or run lengths, never null or empty",
    16: "polygons: closed around an area, inside the image",
    17: "run lengths: of the image's size, ASCII, whole, packed as every encoder packs them",
    18: "plain run lengths: whole numbers from 0 that add up to the image",
    19: "masks with holes: as run lengths only",
    20: "no empty mask",
    21: "numbers are numbers",
    22: "scores: finite, from 0 to 1",
    23: "provenance: verdict, and a source with model, weights and settings",
    24: "nothing of the clock, so that the same input gives the same bytes",
    29: "text: transcription, four corners inside the image, place in the reading order",
}
"""Rules by their number in the checklist; those that one file alone can break."""

SHOWN_PER_RULE: Final = 20


@dataclass(frozen=True, slots=True)
class Violation:
    """One breach of a rule.

    Attributes:
        rule: Number in ``RULES``.
        where: The entry, e.g. ``annotations[3] (id 71)``.
        message: What was expected and found.
    """

    rule: int
    where: str
    message: str


class Report:
    """Collects violations: of each rule the first ones in full, the rest as a number."""

    def __init__(self) -> None:
        self._shown: list[Violation] = []
        self._times: Counter[int] = Counter()

    def add(self, rule: int, where: str, message: str) -> None:
        """Note a violation."""
        self._times[rule] += 1
        if self._times[rule] <= SHOWN_PER_RULE:
            self._shown.append(Violation(rule, where, message))

    def violations(self) -> list[Violation]:
        """List them by rule, in the order of the file, then what was left out per rule."""
        more = [
            Violation(rule, "...", f"and {times - SHOWN_PER_RULE} more of this rule")
            for rule, times in self._times.items()
            if times > SHOWN_PER_RULE
        ]
        return sorted([*self._shown, *more], key=lambda violation: violation.rule)
