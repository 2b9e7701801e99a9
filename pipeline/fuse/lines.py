"""Words of one line belong together: spans → lines, each in its own reading direction."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.config import TextPolicy
from pipeline.records import Point, Quad, TextSpan

_VERTICAL: Final = 1.5
"""Height over width from which a word is taken to run downwards.

Source: ``get_rotate_crop_image`` of PaddleOCR and RapidOCR, which turns such crops to read them.
"""
_SAME_DIRECTION: Final = math.cos(math.radians(15))
_SAME_SIZE: Final = 0.5
"""Text height of the smaller word over that of the larger."""
_LEVEL: Final = 0.5
"""Sideways step between the end of a word and the start of the next, in text heights."""
_OVERLAP: Final = 0.5
"""Share of the shorter word that may lie on the other one; quads of readers are generous."""
_EAST_ASIAN: Final = ("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO")

_REPLACED: Final = {"Cc": " ", "Cs": "\N{REPLACEMENT CHARACTER}"}
"""Characters that no label may hold, by Unicode category."""


@dataclass(frozen=True, slots=True)
class Word:
    """A span in its own frame.

    Attributes:
        span: As the reader returned it.
        x: Reading direction, a unit vector; y is a quarter turn clockwise from it.
        y: Second component of the direction.
        height: Extent across the direction, in pixels.
        start: Middle of the edge where reading starts.
        end: Middle of the edge where it ends.
    """

    span: TextSpan
    x: float
    y: float
    height: float
    start: Point
    end: Point


@dataclass(frozen=True, slots=True)
class Line:
    """Words that are read one after the other.

    Attributes:
        spans: In reading order.
        quad: Around all of them, in the frame of the line.
        text: Joined by single spaces.
        score: Of the weakest span.
        height: Median text height of its words in pixels.
        direction: Unit vector along the line.
        doubts: Why a person should look at it, whatever its score.
    """

    spans: tuple[TextSpan, ...]
    quad: Quad
    text: str
    score: float
    height: float
    direction: Point
    doubts: tuple[str, ...] = ()


def find_lines(spans: Sequence[TextSpan], policy: TextPolicy) -> list[Line]:
    """Join spans to lines; every span ends in exactly one line.

    Words are of one line if they run in the same direction at a similar size, the next starts at
    the height where the last ended, and the gap is at most ``line_gap`` text heights. A word
    below the score threshold does not spoil its line: it becomes a line of its own and the rest
    goes to review as incomplete. So does a single character of a script that no neighbour uses,
    mostly a pictogram, but it leaves the rest as it is.

    Spans in a script that runs from right to left are put in that order. The characters within
    a span are never reordered: readers return them in logical order.

    Returns:
        Lines in no particular order, but the same whatever the order of the spans.
    """
    words = [_word(span) for span in sorted(spans, key=_place)]
    lines: list[Line] = []
    for cluster in _clusters(words, policy.line_gap):
        lines.extend(_split([words[at] for at in cluster], policy.threshold))
    return lines


def runs_leftwards(text: str) -> bool:
    """Whether most letters of a text belong to scripts that run from right to left."""
    kinds = [unicodedata.bidirectional(char) for char in text]
    return sum(kind in {"R", "AL"} for kind in kinds) > kinds.count("L")


def plain(text: str) -> str:
    """Text with single spaces, without control characters and broken halves of characters."""
    return " ".join("".join(_REPLACED.get(unicodedata.category(c), c) for c in text).split())


def _place(span: TextSpan) -> tuple[tuple[float, ...], str, float]:
    return tuple(v for point in span.quad for v in (point.y, point.x)), span.text, span.score


def _word(span: TextSpan) -> Word:
    first, second, third, fourth = span.quad
    along = _minus(_middle(second, third), _middle(first, fourth))
    across = _minus(_middle(fourth, third), _middle(first, second))
    width, height = math.hypot(along.x, along.y), math.hypot(across.x, across.y)
    if len(plain(span.text)) > 1 and height >= _VERTICAL * width > 0:
        x, y = across.x / height, across.y / height
        return Word(span, x, y, width, _middle(first, second), _middle(fourth, third))
    x, y = (along.x / width, along.y / width) if width > 0 else (1.0, 0.0)
    return Word(span, x, y, height, _middle(first, fourth), _middle(second, third))


def _middle(a: Point, b: Point) -> Point:
    return Point((a.x + b.x) / 2, (a.y + b.y) / 2)


def _minus(a: Point, b: Point) -> Point:
    return Point(a.x - b.x, a.y - b.y)


def _clusters(words: Sequence[Word], line_gap: float) -> Iterable[list[int]]:
    follows = _follows(words, line_gap)
    linked = follows | follows.T
    left = set(range(len(words)))
    while left:
        cluster, front = set[int](), [min(left)]
        while front:
            at = front.pop()
            if at in left:
                left.remove(at)
                cluster.add(at)
                front.extend(np.flatnonzero(linked[at]).tolist())
        yield sorted(cluster)


def _follows(words: Sequence[Word], line_gap: float) -> NDArray[np.bool_]:
    """Tell which word may come right after which: (N, N), [i, j] if j after i."""
    x, y, height = (np.array([getattr(w, name) for w in words]) for name in ("x", "y", "height"))
    start = np.array([(w.start.x, w.start.y) for w in words]).reshape(-1, 2)
    end = np.array([(w.end.x, w.end.y) for w in words]).reshape(-1, 2)
    length = np.hypot(end[:, 0] - start[:, 0], end[:, 1] - start[:, 1])
    parallel = np.outer(x, x) + np.outer(y, y) >= _SAME_DIRECTION
    small, large = np.minimum.outer(height, height), np.maximum.outer(height, height)
    # Measured in the frame of the first word, from its end to the start of the other one.
    step_x = start[None, :, 0] - end[:, None, 0]
    step_y = start[None, :, 1] - end[:, None, 1]
    gap = step_x * x[:, None] + step_y * y[:, None]
    aside = np.abs(step_y * x[:, None] - step_x * y[:, None])
    near: NDArray[np.bool_] = (
        (gap <= line_gap * (small + large) / 2)
        & (gap >= -_OVERLAP * np.minimum.outer(length, length))
        & (aside <= _LEVEL * small)
    )
    near &= parallel & (small >= _SAME_SIZE * large)
    return near


def _split(words: list[Word], threshold: float) -> list[Line]:
    weak = {id(w) for w in words if w.span.score < threshold}
    if len(weak) == len(words):
        return [_line(words)]
    odd = {id(w) for w in words if id(w) not in weak and _is_odd(w, words)}
    main = [w for w in words if id(w) not in weak | odd]
    left_out = [w for w in words if id(w) in weak]
    seen = ", ".join(f"{plain(w.span.text)!r} ({w.span.score:.2f})" for w in left_out)
    missing = (f"incomplete: {seen} in the same line is below the threshold",) if seen else ()
    note = "a single character of another script than its neighbours: a pictogram?"
    lines = [_line(main, missing)] if main else []
    lines += [_line([w]) for w in left_out]
    return lines + [_line([w], (note,)) for w in words if id(w) in odd]


def _is_odd(word: Word, words: Sequence[Word]) -> bool:
    text = plain(word.span.text)
    others = _scripts(w.span.text for w in words if w is not word)
    return len(text) == 1 and bool(others) and bool(_scripts([text]) - others)


def _scripts(texts: Iterable[str]) -> set[str]:
    letters = (char for text in texts for char in text if char.isalpha())
    names = (unicodedata.name(char, "UNKNOWN").split()[0] for char in letters)
    return {"EAST ASIAN" if name in _EAST_ASIAN else name for name in names}


def _line(words: list[Word], doubts: tuple[str, ...] = ()) -> Line:
    direction = _direction(words)
    words = sorted(words, key=lambda w: w.start.x * direction.x + w.start.y * direction.y)
    if runs_leftwards("".join(w.span.text for w in words)):
        words.reverse()
    return Line(
        spans=tuple(w.span for w in words),
        quad=words[0].span.quad if len(words) == 1 else _around(words, direction),
        text=plain(" ".join(w.span.text for w in words)),
        score=min(w.span.score for w in words),
        height=median(w.height for w in words),
        direction=direction,
        doubts=doubts,
    )


def _direction(words: Sequence[Word]) -> Point:
    """Mean direction; long words count for more, as theirs is better known."""
    x = math.fsum(w.end.x - w.start.x for w in words)
    y = math.fsum(w.end.y - w.start.y for w in words)
    length = math.hypot(x, y)
    return Point(x / length, y / length) if length > 0 else Point(1.0, 0.0)


def _around(words: Sequence[Word], direction: Point) -> Quad:
    x, y = direction.x, direction.y
    corners = [point for word in words for point in word.span.quad]
    along = [point.x * x + point.y * y for point in corners]
    across = [point.y * x - point.x * y for point in corners]
    left, right, top, bottom = min(along), max(along), min(across), max(across)

    def point(u: float, v: float) -> Point:
        """Turn the line's own coordinates into the image's, in pixels."""
        return Point(u * x - v * y, u * y + v * x)

    return point(left, top), point(right, top), point(right, bottom), point(left, bottom)
