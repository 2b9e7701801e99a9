from __future__ import annotations

import itertools
import math
import random
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.geometry import (
    box_containment,
    box_iou,
    box_nms,
    clip_box,
    clip_quad,
    order_quad,
    quad_area,
    quad_box,
    quad_height,
)
from pipeline.records import Box, Point, Quad

SETTINGS = settings(deadline=None, max_examples=150, derandomize=True)
coordinates = st.floats(-500, 1500, allow_nan=False, width=32)
sides = st.floats(0, 800, allow_nan=False, width=32)
boxes = st.builds(Box, coordinates, coordinates, sides, sides)
whole_boxes = st.builds(
    Box, *(st.integers(0, 30).map(float),) * 2, *(st.integers(1, 20).map(float),) * 2
)
points = st.builds(Point, coordinates, coordinates)


def quad(*values: float) -> Quad:
    first, second, third, fourth = (Point(values[i], values[i + 1]) for i in range(0, 8, 2))
    return first, second, third, fourth


SQUARE = quad(10, 20, 40, 20, 40, 30, 10, 30)


class TestOverlap:
    @SETTINGS
    @given(whole_boxes, whole_boxes)
    def test_is_what_counting_pixels_gives(self, a: Box, b: Box) -> None:
        one, two = pixels(a), pixels(b)
        assert box_iou(a, b) == pytest.approx((one & two).sum() / (one | two).sum(), abs=1e-12)
        assert box_containment(a, b) == pytest.approx((one & two).sum() / one.sum(), abs=1e-12)

    @SETTINGS
    @given(boxes, boxes)
    def test_is_symmetric_and_a_share(self, a: Box, b: Box) -> None:
        assert box_iou(a, b) == box_iou(b, a)
        assert 0 <= box_iou(a, b) <= 1 + 1e-12
        assert 0 <= box_containment(a, b) <= 1

    def test_boxes_that_touch_do_not_overlap(self) -> None:
        assert box_iou(Box(0, 0, 5, 5), Box(5, 0, 5, 5)) == 0

    def test_a_box_without_area_overlaps_nothing(self) -> None:
        empty = Box(2, 2, 0, 0)
        assert box_iou(empty, empty) == 0
        assert box_containment(empty, Box(0, 0, 9, 9)) == 0

    def test_containment_is_one_sided(self) -> None:
        small, large = Box(2, 2, 2, 2), Box(0, 0, 8, 8)
        assert box_containment(small, large) == 1
        assert box_containment(large, small) == 4 / 64


def pixels(box: Box) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    out = np.zeros((50, 50), dtype=np.bool_)
    x, y, width, height = int(box.x), int(box.y), int(box.width), int(box.height)
    out[y : y + height, x : x + width] = True
    return out


class TestClipping:
    @SETTINGS
    @given(boxes)
    def test_a_clipped_box_is_inside_and_clipping_again_changes_nothing(self, box: Box) -> None:
        clipped = clip_box(box, 640, 480)
        if clipped is None:
            assert box_iou(box, Box(0, 0, 640, 480)) == 0
            return
        assert clipped.x >= 0
        assert clipped.y >= 0
        assert clipped.width > 0
        assert clipped.height > 0
        again = clip_box(clipped, 640, 480)
        assert again is not None
        assert astuple(again) == pytest.approx(astuple(clipped))

    def test_a_box_inside_stays_as_it_is(self) -> None:
        assert clip_box(Box(0, 0, 640, 480), 640, 480) == Box(0, 0, 640, 480)

    @pytest.mark.parametrize("box", [Box(-9, 0, 9, 9), Box(640, 5, 3, 3), Box(5, 5, 0, 9)])
    def test_nothing_is_left_of_a_box_outside_or_without_area(self, box: Box) -> None:
        assert clip_box(box, 640, 480) is None

    @SETTINGS
    @given(st.tuples(points, points, points, points))
    def test_a_clipped_quad_has_its_corners_in_the_frame(self, corners: Quad) -> None:
        box = quad_box(clip_quad(corners, 640, 480))
        assert 0 <= box.x <= box.x + box.width <= 640
        assert 0 <= box.y <= box.y + box.height <= 480

    def test_a_quad_inside_stays_as_it_is(self) -> None:
        assert clip_quad(SQUARE, 640, 480) == SQUARE

    def test_a_quad_outside_ends_without_area(self) -> None:
        assert quad_area(clip_quad(SQUARE, 10, 20)) == 0


class TestQuads:
    def test_measures_of_an_upright_one(self) -> None:
        assert quad_box(SQUARE) == Box(10, 20, 30, 10)
        assert quad_area(SQUARE) == 300
        assert quad_height(SQUARE) == 10

    @SETTINGS
    @given(st.floats(0, 2 * math.pi), st.floats(1, 200), st.floats(1, 50))
    def test_area_and_height_do_not_change_with_rotation(
        self, angle: float, width: float, height: float
    ) -> None:
        turned = rotated(angle, width, height)
        assert quad_area(turned) == pytest.approx(width * height, rel=1e-9)
        assert quad_height(turned) == pytest.approx(height, rel=1e-9)

    def test_area_is_exact_far_from_the_origin(self) -> None:
        far = 1e9
        assert quad_area(quad(far, far, far + 3, far, far + 3, far + 2, far, far + 2)) == 6

    @SETTINGS
    @given(st.tuples(points, points, points, points))
    def test_order_of_corners_does_not_depend_on_the_order_given(self, corners: Quad) -> None:
        expected = order_quad(corners)
        assert sorted(expected, key=repr) == sorted(corners, key=repr)
        assert {order_quad(mixed) for mixed in itertools.permutations(corners)} == {expected}

    def test_top_left_first_and_clockwise_as_seen(self) -> None:
        assert order_quad((SQUARE[2], SQUARE[0], SQUARE[3], SQUARE[1])) == SQUARE

    @SETTINGS
    @given(st.floats(-0.6, 0.6), st.randoms(use_true_random=False))
    def test_slanted_text_keeps_its_corners(self, angle: float, shuffler: random.Random) -> None:
        turned = list(rotated(angle, 80, 60))
        mixed = list(turned)
        shuffler.shuffle(mixed)
        assert list(order_quad(mixed)) == turned

    def test_other_than_four_points_are_refused(self) -> None:
        with pytest.raises(ValueError, match="4 corners, got 3"):
            order_quad(SQUARE[:3])


def rotated(angle: float, width: float, height: float) -> Quad:
    cos, sin = math.cos(angle), math.sin(angle)
    corners = ((0, 0), (width, 0), (width, height), (0, height))
    return quad(
        *(v for x, y in corners for v in (300 + x * cos - y * sin, 300 + x * sin + y * cos))
    )


class TestNms:
    @SETTINGS
    @given(
        st.lists(st.tuples(boxes, st.sampled_from([0.1, 0.5, 0.5000001, 0.9])), max_size=25),
        st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    )
    def test_is_the_greedy_definition(
        self, found: list[tuple[Box, float]], threshold: float
    ) -> None:
        all_boxes, scores = [box for box, _ in found], [score for _, score in found]
        expected: list[int] = []
        for i in sorted(range(len(found)), key=lambda i: (-scores[i], i)):
            if all(box_iou(all_boxes[i], all_boxes[k]) <= threshold for k in expected):
                expected.append(i)
        assert box_nms(all_boxes, scores, threshold) == expected

    def test_the_order_of_boxes_does_not_matter_when_scores_differ(self) -> None:
        rng = random.Random(5)
        found = [(Box(rng.random() * 50, rng.random() * 50, 30, 30), i / 40) for i in range(40)]
        kept = set()
        for _ in range(10):
            rng.shuffle(found)
            all_boxes, scores = zip(*found, strict=True)
            kept.add(tuple(found[i] for i in box_nms(all_boxes, scores, 0.4)))
        assert len(kept) == 1

    def test_of_equal_scores_the_first_goes_first(self) -> None:
        assert box_nms([Box(0, 0, 9, 9)] * 3, [0.5, 0.5, 0.5], 0.5) == [0]

    def test_nothing_comes_of_nothing(self) -> None:
        assert box_nms([], [], 0.5) == []

    @pytest.mark.parametrize("scores", [[0.5], [0.5, math.nan]])
    def test_scores_that_cannot_be_ordered_are_refused(self, scores: list[float]) -> None:
        with pytest.raises(ValueError, match="expected 2 scores, none NaN"):
            box_nms([Box(0, 0, 9, 9)] * 2, scores, 0.5)
