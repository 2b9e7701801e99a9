from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import PolicyConfig
from pipeline.fuse import fuse
from pipeline.records import Decision, ImageLabels, Region, TextRegion, TextSpan

ACCEPT, REVIEW, DROP = Decision.ACCEPT, Decision.REVIEW, Decision.DROP
Named = tuple[Region, dict[str, float]]


def _fuse(
    draw: Any, spans: list[TextSpan], objects: tuple[Named, ...] = (), **text: float
) -> ImageLabels:
    policy: PolicyConfig = draw.policy("sign", "ring", "cross", text=text)
    return fuse(draw.findings(policy, objects, texts=spans), policy, draw.vocabulary(policy))


def _one(draw: Any, span: TextSpan, *objects: Named, **text: float) -> TextRegion:
    (line,) = _fuse(draw, [span], objects, **text).texts
    return line


def sure(name: str, share: float = 0.9) -> dict[str, float]:
    return {name: share, "background": 1.0 - share}


@pytest.mark.parametrize(
    ("score", "height", "decision", "reason"),
    [
        (0.95, 10.0, ACCEPT, "score 0.95 >= 0.70"),
        (0.55, 10.0, REVIEW, "score 0.55 < 0.70"),
        (0.39, 10.0, DROP, "score 0.39 < 0.40, the threshold"),
        (0.95, 3.2, DROP, "text height 3.20 < 4.00 px"),
    ],
)
def test_verdicts_of_text_tell_the_numbers(
    draw: Any, score: float, height: float, decision: Decision, reason: str
) -> None:
    line = _one(draw, draw.span("STOP", 10, 10, 20, height, score))
    assert (line.verdict.decision, line.verdict.reason) == (decision, reason)


def test_height_is_measured_across_the_reading_direction(draw: Any) -> None:
    assert _one(draw, draw.span("SOUTH", 10, 10, 3, 40)).verdict.decision is DROP


def test_lines_are_numbered_in_reading_order(draw: Any) -> None:
    spans = [draw.span("DAY", 35, 40), draw.span("SUN", 10, 10), draw.span("EVERY", 10, 40)]
    texts = _fuse(draw, spans).texts
    assert [(line.order, line.text) for line in texts] == [(0, "SUN"), (1, "EVERY DAY")]


# -- owners


def test_a_text_belongs_to_the_smallest_object_that_carries_it(draw: Any) -> None:
    wall = (draw.region(draw.rectangle(0, 0, 100, 70)), sure("cross"))
    sign = (draw.region(draw.rectangle(10, 10, 50, 30)), sure("sign"))
    labels = _fuse(draw, [draw.span("STOP", 20, 20)], (wall, sign))
    (line,) = labels.texts
    assert line.owner is not None
    assert labels.instances[line.owner].region is sign[0]


def test_if_the_smallest_is_dropped_the_next_one_carries_the_text(draw: Any) -> None:
    wall = (draw.region(draw.rectangle(0, 0, 100, 70)), sure("cross"))
    sign = (draw.region(draw.rectangle(10, 10, 50, 30)), {"sign": 0.2, "background": 0.8})
    labels = _fuse(draw, [draw.span("STOP", 20, 20)], (wall, sign))
    (line,) = labels.texts
    assert line.owner is not None
    assert labels.instances[line.owner].region is wall[0]


@pytest.mark.parametrize(("share", "owned"), [(0.5, True), (0.51, False)])
def test_owner_containment_is_the_share_of_the_line_on_the_object(
    draw: Any, share: float, owned: bool
) -> None:
    sign = (draw.region(draw.rectangle(10, 10, 50, 30)), sure("sign"))
    line = _one(draw, draw.span("STOP", 50, 20, 20, 10), sign, owner_containment=share)
    assert (line.owner is not None) is owned


def test_a_text_on_nothing_has_no_owner(draw: Any) -> None:
    sign = (draw.region(draw.rectangle(10, 10, 30, 20)), sure("sign"))
    assert _one(draw, draw.span("STOP", 80, 50), sign).owner is None


def test_text_outside_the_image_or_without_area_has_no_owner(draw: Any) -> None:
    sign = (draw.region(draw.rectangle(0, 0, 100, 60)), sure("sign"))
    spans = [draw.span("FAR", 500, 500), draw.span("FLAT", 20, 20, 30, 0), draw.span("ON", 5, 40)]
    owners = {line.text: line.owner for line in _fuse(draw, spans, (sign,)).texts}
    assert owners == {"FAR": None, "FLAT": None, "ON": 0}


# -- shapes that were read as characters


def test_a_ring_read_as_a_letter_is_dropped(draw: Any) -> None:
    ring = (draw.region(draw.disc(40, 40, 20) & ~draw.disc(40, 40, 12)), sure("ring"))
    # RapidOCR's quads on shapes are wider than the shape.
    line = _one(draw, draw.span("O", 12, 12, 58, 58), ring)
    assert line.verdict.decision is DROP
    assert line.verdict.reason == "looks like the shape of the ring at x 20, y 20 (41 x 41 px)"


@pytest.mark.parametrize(
    ("text", "share", "decision"),
    [
        ("\u2605", 0.9, DROP),  # a symbol on an accepted object
        ("\u2605", 0.6, REVIEW),  # the object is in doubt itself
        ("A", 0.9, REVIEW),  # a letter may be one, for all its shape
        ("7", 0.9, REVIEW),
        ("OK", 0.9, ACCEPT),  # two characters are a word
    ],
)
def test_only_what_cannot_be_text_is_dropped_unseen(
    draw: Any, text: str, share: float, decision: Decision
) -> None:
    shape = (draw.region(draw.rectangle(25, 25, 30, 30)), sure("cross", share))
    line = _one(draw, draw.span(text, 20, 20, 40, 40), shape)
    assert line.verdict.decision is decision


def test_a_speck_inside_a_character_is_not_its_shape(draw: Any) -> None:
    speck = (draw.region(draw.rectangle(35, 35, 8, 8)), sure("cross"))
    assert _one(draw, draw.span("7", 20, 20, 40, 40), speck).verdict.decision is ACCEPT


def test_a_letter_on_a_sign_is_text(draw: Any) -> None:
    sign = (draw.region(draw.rectangle(10, 10, 40, 40)), sure("sign"))
    line = _one(draw, draw.span("O", 24, 24, 12, 12), sign)
    assert (line.verdict.decision, line.owner) == (ACCEPT, 0)


def test_a_letter_whose_strokes_are_a_background_region_is_text(draw: Any) -> None:
    strokes = (draw.region(draw.disc(40, 40, 12)), {"ring": 0.2, "background": 0.8})
    assert _one(draw, draw.span("O", 26, 26, 28, 28), strokes).verdict.decision is ACCEPT


@pytest.mark.parametrize(
    ("text", "decision"), [("+", REVIEW), ("\u25b2\u25b2", REVIEW), ("5", ACCEPT)]
)
def test_text_without_letters_or_digits_goes_to_review(
    draw: Any, text: str, decision: Decision
) -> None:
    assert _one(draw, draw.span(text, 10, 10)).verdict.decision is decision


def test_text_of_control_characters_is_dropped(draw: Any) -> None:
    line = _one(draw, draw.span("\x07", 10, 10))
    assert (line.text, line.verdict.reason) == ("", "no character to read")
