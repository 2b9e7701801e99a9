"""Lines of text: boxes as readers draw them, words in pieces and words joined."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluate import texts
from pipeline.evaluate.sides import Compared, box_mask
from pipeline.metrics.matching import by_overlap, mask_overlaps, mask_shares
from pipeline.metrics.places import DETEVAL, Group, count, group
from pipeline.metrics.reading import spotted
from pipeline.records import Box
from pipeline.truth import Shape, Side

SIZE = 240
CELL = 60
words = st.text("ABCDEFGHÄß12", min_size=3, max_size=6)


@st.composite
def lines(draw: st.DrawFn) -> list[Shape]:
    """Words far from each other: one in the middle of each cell of a grid, or none."""
    shapes = []
    for cell in draw(st.sets(st.integers(0, 15), min_size=1)):
        width, height = draw(st.integers(16, 28)), draw(st.integers(8, 14))
        centre = (CELL * (cell % 4 + 0.5), CELL * (cell // 4 + 0.5))
        box = Box(centre[0] - width // 2, centre[1] - height // 2, width, height)
        shapes.append(line(box, draw(words)))
    return shapes


def line(box: Box, text: str | None, *, crowd: bool = False) -> Shape:
    return Shape("1", "text", box, None, box.width * box.height, 0.9, text, crowd)


def measured(found: list[Shape], truth: list[Shape]) -> texts.TextFigures:
    sides = (Side((), tuple(truth)), Side((), tuple(found)), Side())
    return texts.measure([Compared(1, "0" * 64, "a.png", SIZE, SIZE, *sides)])


def grown(shape: Shape, factor: float) -> Shape:
    """The same line in a box of factor times the area, around the same centre."""
    box, scale = shape.box, factor**0.5
    width, height = box.width * scale, box.height * scale
    centre = box.x + box.width / 2, box.y + box.height / 2
    return line(Box(centre[0] - width / 2, centre[1] - height / 2, width, height), shape.text)


@given(lines())
def test_truth_is_perfect_to_itself(truth: list[Shape]) -> None:
    of = measured(truth, truth)
    assert (of.deteval.precision, of.deteval.recall, of.deteval.hmean) == (1, 1, 1)
    assert of.end_to_end.hmean == of.word_spotting.hmean == 1
    assert of.detection.fp == of.detection.fn == 0
    assert (of.recognition.cer, of.recognition.wer) == (0, 0)
    assert of.faults == ()


@given(lines(), st.floats(1.0, 3.5))
def test_generous_boxes_cost_nothing_until_the_limit(truth: list[Shape], factor: float) -> None:
    found = [grown(shape, factor) for shape in truth]
    of = measured(found, truth)
    if factor < 2.8:  # boxes are cut to whole pixels, so the limits are not sharp
        assert of.end_to_end.hmean == 1, "read is read"
    masks = [[box_mask(s.box, SIZE, SIZE) for s in side] for side in (found, truth)]
    for a, b in zip(*masks, strict=True):
        share = float(mask_shares([a], [b])[0][0, 0])
        assert bool(group([a], [b], DETEVAL)) == (share >= DETEVAL.precision)
    overlaps = mask_overlaps(*masks)
    assert of.detection.tp == len(by_overlap(overlaps, 0.5))
    if factor > 2.3:
        assert of.detection.tp == 0, "what made the figures of a good reader low"


@given(lines(), lines(), st.randoms())
@settings(max_examples=50)
def test_order_says_nothing_and_all_is_counted_once(
    found: list[Shape], truth: list[Shape], chance: Random
) -> None:
    of = measured(found, truth)
    chance.shuffle(found)
    chance.shuffle(truth)
    again = measured(found, truth)
    assert (of.deteval, of.end_to_end, of.detection) == (
        again.deteval,
        again.end_to_end,
        again.detection,
    )
    d = of.deteval
    assert d.one_to_one + d.merged_found + d.split_found <= d.found == len(found)
    assert d.one_to_one + d.merged + d.split <= d.truth == len(truth)
    for rate in (d.precision, d.recall, d.hmean):
        assert rate is not None
        assert 0 <= rate <= 1
    masks = [[box_mask(s.box, SIZE, SIZE) for s in side] for side in (found, truth)]
    groups = group(masks[0], masks[1], DETEVAL)
    taken = [n for one in groups for n in one.found], [n for one in groups for n in one.truth]
    assert all(len(side) == len(set(side)) for side in taken)


def test_a_line_over_several_words_and_a_word_in_pieces() -> None:
    whole = line(Box(20, 20, 80, 12), "GRAND HOTEL")
    left, right = line(Box(20, 20, 36, 12), "GRAND"), line(Box(62, 20, 38, 12), "HOTEL")
    joined = measured([whole], [right, left])
    assert (joined.deteval.merged, joined.deteval.merged_found) == (2, 1)
    assert (joined.deteval.precision, joined.deteval.recall) == (1, 1)
    assert (joined.end_to_end.right_truth, joined.end_to_end.right_found) == (2, 1)
    assert joined.detection.tp == 0, "one to one, a line is no word"
    pieces = measured([right, left], [whole])
    assert (pieces.deteval.split, pieces.deteval.split_found) == (1, 2)
    assert (pieces.deteval.precision, pieces.deteval.recall) == (0.8, 0.8)
    assert pieces.end_to_end.hmean == 1
    assert pieces.faults == ()
    both = measured([whole, left, right], [left, right])
    assert (both.deteval.one_to_one, both.deteval.merged) == (2, 0)
    assert [fault.kind for fault in both.faults] == ["text_spurious"]


def test_a_word_found_twice_counts_once() -> None:
    word = line(Box(20, 20, 40, 12), "STOP")
    of = measured([word, line(Box(19, 19, 42, 14), "STOP")], [word])
    assert (of.deteval.one_to_one, of.deteval.split) == (1, 0)
    assert (of.end_to_end.right_found, of.end_to_end.found) == (1, 2)


def test_text_that_nobody_can_read_counts_neither_way() -> None:
    smudge = line(Box(100, 100, 60, 20), None, crowd=True)
    word = line(Box(20, 20, 40, 12), "STOP")
    of = measured([word, line(Box(110, 102, 20, 10), "?")], [word, smudge])
    assert (of.deteval.truth, of.deteval.found) == (1, 1)
    assert of.end_to_end.hmean == 1
    assert of.faults == ()


def test_word_spotting_asks_for_words() -> None:
    assert [spotted(text) for text in ("“Hotel!”", "A", "10", "v1.2", "Café")] == [
        "hotel",
        None,
        None,
        None,
        "café",
    ]
    truth = [line(Box(20, 20, 40, 12), "Hotel"), line(Box(20, 80, 20, 12), "NO")]
    found = [line(Box(20, 20, 40, 12), "HOTEL."), line(Box(20, 80, 20, 12), "HO")]
    of = measured(found, truth)
    assert (of.word_spotting.truth, of.word_spotting.found) == (1, 1)
    assert of.word_spotting.hmean == 1
    assert of.end_to_end.hmean == 0


def test_nothing_is_no_rate() -> None:
    assert count([]).hmean is None
    assert group([], [], DETEVAL) == []
    assert measured([], []).end_to_end.hmean is None
    one = [box_mask(Box(0, 0, 9, 9), 20, 20)]
    assert group(one, one, DETEVAL) == [Group((0,), (0,))]
