"""Values out of a JSON file that may be anything: taken if they are what they should be. Pure."""

from __future__ import annotations

import math
import re
import reprlib
from dataclasses import dataclass
from typing import Final, TypeGuard

from pipeline.coco.violations import Report
from pipeline.records import JsonObject

LARGEST_EXACT: Final = 2**53 - 1
"""Larger ids are not exact in readers that keep numbers as 64-bit floats, as COCOeval does."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

_REPR: Final = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 80


@dataclass(frozen=True, slots=True)
class Frame:
    """Size of an image that annotations lie in."""

    width: int
    height: int


def shown(value: object) -> str:
    """Show a value in a message, cut to a readable length whatever it is."""
    return _REPR.repr(value)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number; JSON's true and 1.0 are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_id(value: object) -> TypeGuard[int]:
    """Whether it can be an id."""
    return is_whole(value) and 1 <= value <= LARGEST_EXACT


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Whether it is a JSON object."""
    return isinstance(value, dict)


def is_digest(value: object) -> bool:
    """Whether it is a sha256 in hexadecimal digits."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def is_filled(value: object) -> bool:
    """Whether it is a text with something in it."""
    return isinstance(value, str) and bool(value.strip())


def as_number(value: object) -> float | None:
    """Return a JSON number as a float, infinite if it is too large; None for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def finite_numbers(
    value: object, length: int, rule: int, where: str, what: str, report: Report
) -> list[float] | None:
    """Return a JSON list of that many finite numbers as floats.

    Anything else is reported, as rule 21 where it is an element that is no number, and None.
    """
    items = value if isinstance(value, list) else []
    numbers = [number for item in items if (number := as_number(item)) is not None]
    if len(items) == length and len(numbers) < length:
        report.add(21, where, f"{what}: expected numbers, got {shown(value)}")
    elif len(items) != length or not all(math.isfinite(number) for number in numbers):
        report.add(rule, where, f"{what}: expected {length} finite numbers, got {shown(value)}")
    else:
        return numbers
    return None
