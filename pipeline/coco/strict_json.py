"""JSON read as strictly as RFC 8259 has it, and never with an exception.

Python's reader takes NaN, takes the last of two equal keys, and takes any encoding; each of these
makes two readers see two documents in one file.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Final

from pipeline.coco.naming import SURROGATES

_ESCAPED_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse(data: bytes) -> tuple[object, list[str]]:
    """Parse a document.

    Returns:
        The document, or None if it cannot be read at all, and what is wrong with it.
    """
    reader = _Reader()
    try:
        text = data.decode("utf-8")
        value = json.loads(
            text,
            parse_constant=reader.constant,
            parse_float=reader.number,
            object_pairs_hook=reader.object,
        )
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        return None, [*reader.problems, f"cannot be read: {str(error)[:200]}"]
    if _ESCAPED_SURROGATE.search(text) and _has_half_pair(value):
        reader.problems.append("a string holds half of a surrogate pair, which is no character")
    return value, reader.problems


class _Reader:
    def __init__(self) -> None:
        self.problems: list[str] = []

    def constant(self, name: str) -> float:
        """Report NaN and the infinities, which Python reads and JSON does not know."""
        self.problems.append(f"{name} is no JSON number")
        return float(name)

    def number(self, digits: str) -> float:
        """Read a number with a point or an exponent; report one beyond float64."""
        value = float(digits)
        if not math.isfinite(value):
            self.problems.append(f"{digits[:40]} is too large for a number")
        return value

    def object(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        """Make a dict of the pairs of an object; report keys that are there twice."""
        value = dict(pairs)
        if len(value) != len(pairs):
            times = Counter(key for key, _ in pairs)
            twice = [key[:40] for key, count in times.most_common(5) if count > 1]
            self.problems.append(f"keys are there twice in one object: {twice}")
        return value


def _has_half_pair(value: object) -> bool:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and SURROGATES.search(item):
            return True
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
    return False
