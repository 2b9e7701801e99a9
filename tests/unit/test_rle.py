from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools import mask as oracle

from pipeline import rle
from pipeline.records import Bitmap, Box, Mask, Point, Quad

SETTINGS = settings(deadline=None, max_examples=120, derandomize=True)


@st.composite
def bitmaps(draw: st.DrawFn, largest: int = 64) -> Bitmap:
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["empty", "full", "pixel", "border", "holed", "checks", "noise"]))
    out = np.zeros((height, width), dtype=np.bool_)
    if kind == "full":
        out[:] = True
    elif kind == "pixel":
        out[rng.integers(height), rng.integers(width)] = True
    elif kind == "border":
        out[0], out[-1], out[:, 0], out[:, -1] = (rng.random(4) < 0.6)[:, None]
    elif kind == "holed":
        out[height // 8 : height - height // 8, width // 8 :] = True
        out[height // 3 : height // 2, width // 3 : width // 2] = False
    elif kind == "checks":
        out = np.indices((height, width)).sum(axis=0) % 2 == rng.integers(2)
    elif kind == "noise":  # many parts, some of them thin
        out = rng.random((height, width)) < rng.choice([0.03, 0.3, 0.9])
    return np.asfortranarray(out) if draw(st.booleans()) else np.ascontiguousarray(out)


def pycocotools_counts(bitmap: Bitmap) -> str:
    counts = oracle.encode(np.asfortranarray(bitmap, dtype=np.uint8))["counts"]
    assert isinstance(counts, bytes)
    return counts.decode("ascii")


def plain(bitmap: Bitmap) -> list[int]:
    """Run lengths by the definition, one pixel at a time."""
    runs, colour = [0], False
    for pixel in bitmap.T.ravel():
        if pixel != colour:
            runs.append(0)
            colour = bool(pixel)
        runs[-1] += 1
    return runs


class TestPacking:
    @SETTINGS
    @given(bitmaps())
    @example(np.ones((1, 1), dtype=np.bool_))
    @example(np.zeros((1, 1), dtype=np.bool_))
    @example(np.ones((1, 9), dtype=np.bool_))
    @example(np.ones((9, 1), dtype=np.bool_))
    def test_round_trip_and_equality_with_pycocotools(self, bitmap: Bitmap) -> None:
        mask = rle.encode(bitmap)
        assert mask == Mask(bitmap.shape[0], bitmap.shape[1], pycocotools_counts(bitmap))
        unpacked = rle.decode(mask)
        assert unpacked.dtype == np.bool_
        assert np.array_equal(unpacked, bitmap)

    @SETTINGS
    @given(bitmaps(largest=20))
    def test_plain_run_lengths_follow_the_definition(self, bitmap: Bitmap) -> None:
        mask = rle.encode(bitmap)
        assert rle.to_uncompressed(mask) == plain(bitmap)
        assert rle.from_uncompressed(mask.height, mask.width, plain(bitmap)) == mask

    @pytest.mark.parametrize("shape", [(700, 900), (900, 700), (1, 20000), (20000, 2)])
    def test_long_runs(self, shape: tuple[int, int]) -> None:
        bitmap = np.random.default_rng(0).random(shape) < 0.001
        bitmap[shape[0] // 2 :, shape[1] // 2 :] = True
        mask = rle.encode(bitmap)
        assert mask.counts == pycocotools_counts(bitmap)
        assert rle.from_counts(*shape, mask.counts) == mask

    def test_a_view_of_a_larger_array(self) -> None:
        wide = np.random.default_rng(1).random((40, 60)) < 0.5
        view = wide[3:30:2, 5:50:3]
        assert np.array_equal(rle.decode(rle.encode(view)), view)

    def test_the_bitmap_is_not_changed(self) -> None:
        bitmap = np.ones((5, 6), dtype=np.bool_)
        rle.encode(bitmap)
        assert bitmap.all()

    @pytest.mark.parametrize(
        "wrong",
        [
            np.zeros((4, 4), np.uint8),
            np.zeros((4, 4, 1), np.bool_),
            np.zeros((0, 4), np.bool_),
        ],
    )
    def test_what_is_no_bitmap_is_refused(self, wrong: Bitmap) -> None:
        with pytest.raises(ValueError, match=r"expected an \(H, W\) bool array"):
            rle.encode(wrong)


class TestMeasures:
    @SETTINGS
    @given(bitmaps())
    def test_area_and_box_are_those_of_the_pixels(self, bitmap: Bitmap) -> None:
        mask = rle.encode(bitmap)
        assert rle.area(mask) == bitmap.sum()
        rows, columns = np.nonzero(bitmap)
        box = rle.tight_box(mask)
        if not rows.size:
            assert box is None
            return
        sides = np.ptp(columns) + 1, np.ptp(rows) + 1
        assert box == Box(float(columns.min()), float(rows.min()), *map(float, sides))

    @SETTINGS
    @given(bitmaps(), st.tuples(*[st.floats(-20, 80)] * 2, *[st.floats(0, 70)] * 2))
    def test_crop_is_the_slice(
        self, bitmap: Bitmap, sides: tuple[float, float, float, float]
    ) -> None:
        x, y, width, height = sides
        crop = rle.crop_bitmap(rle.encode(bitmap), Box(x, y, width, height))
        rows = slice(max(math.floor(y), 0), max(math.ceil(y + height), 0))
        columns = slice(max(math.floor(x), 0), max(math.ceil(x + width), 0))
        expected = bitmap[rows, columns]
        assert crop.size == expected.size
        assert np.array_equal(crop, expected if expected.size else crop)


class TestComparing:
    @SETTINGS
    @given(st.data(), st.integers(1, 12), st.integers(1, 12))
    def test_matrices_count_pixels(self, data: st.DataObject, height: int, width: int) -> None:
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
        stack = rng.random((data.draw(st.integers(1, 6)), height, width)) < rng.random()
        masks = [rle.encode(bitmap) for bitmap in stack]
        flat = stack.reshape(len(stack), -1).astype(np.int64)
        shared = flat @ flat.T
        areas = flat.sum(axis=1)
        union = areas[:, None] + areas - shared
        assert np.array_equal(rle.intersection_matrix(masks), shared)
        assert rle.intersection_matrix(masks).dtype == np.int64
        assert rle.iou_matrix(masks) == pytest.approx(shared / np.maximum(union, 1))
        inside = shared / np.maximum(areas, 1)[:, None]
        assert rle.containment_matrix(masks) == pytest.approx(inside)

    def test_intersections_of_large_masks_are_exact(self) -> None:
        bitmaps = np.zeros((3, 3001, 2999), dtype=np.bool_)
        bitmaps[0, 1:, :], bitmaps[1, :, 7:], bitmaps[2, ::3, ::7] = True, True, True
        flat = bitmaps.reshape(3, -1)
        expected = [[np.count_nonzero(a & b) for b in flat] for a in flat]
        masks = [rle.encode(bitmap) for bitmap in bitmaps]
        assert rle.intersection_matrix(masks).tolist() == expected

    def test_no_masks_give_an_empty_matrix(self) -> None:
        assert rle.iou_matrix([]).shape == (0, 0)
        assert rle.intersection_matrix([]).shape == (0, 0)

    def test_masks_of_different_images_are_not_compared(self) -> None:
        masks = [rle.encode(np.ones(shape, np.bool_)) for shape in ((4, 5), (5, 4))]
        with pytest.raises(ValueError, match="one image size"):
            rle.containment_matrix(masks)


class TestMasksFromOutside:
    @SETTINGS
    @given(bitmaps(largest=24), st.randoms(use_true_random=False))
    def test_empty_runs_are_joined_away(self, bitmap: Bitmap, rng: random.Random) -> None:
        mask = rle.encode(bitmap)
        runs = plain(bitmap)
        for _ in range(4):  # split a run by an empty one, or end with an empty one
            at = rng.randrange(len(runs))
            head = rng.randint(0, runs[at])
            runs[at : at + 1] = [head, 0, runs[at] - head]
        runs += [0] * rng.randint(0, 3)
        assert rle.from_uncompressed(mask.height, mask.width, runs) == mask
        loose = oracle.frPyObjects(
            {"size": [mask.height, mask.width], "counts": runs},  # type: ignore[call-overload]  # plain counts are fine
            mask.height,
            mask.width,
        )
        packed = loose["counts"]
        assert rle.from_counts(mask.height, mask.width, packed.decode("ascii")) == mask

    @pytest.mark.parametrize(
        ("counts", "message"),
        [
            ("", "at least one"),
            ("é1", "ASCII"),
            ("0 5", "outside '0' to 'o'"),
            ("p", "outside '0' to 'o'"),
            ("P", "in the middle of a number"),
            ("PPPPPPPPPP0", "more than 7 characters"),
            ("@", "add up to"),  # -16
            ("3", "add up to"),
            ("0`1`1", "add up to"),
            ("000`N9", "add up to"),
            ("oooooo?" * 9, "add up to"),
        ],
    )
    def test_packed_run_lengths_that_lie_are_refused(self, counts: str, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            rle.from_counts(4, 4, counts)

    @SETTINGS
    @given(st.integers(1, 40), st.integers(1, 40), st.text("0123456789?@O_`abno", max_size=30))
    def test_any_text_is_a_mask_of_that_size_or_refused(
        self, height: int, width: int, counts: str
    ) -> None:
        try:
            mask = rle.from_counts(height, width, counts)
        except ValueError:
            return
        assert rle.encode(rle.decode(mask)) == mask

    @pytest.mark.parametrize("counts", [[16, -1, 1], [15], [17], [], [10**30]])
    def test_plain_run_lengths_that_lie_are_refused(self, counts: list[int]) -> None:
        with pytest.raises(ValueError, match="add up to 4 x 4 = 16"):
            rle.from_uncompressed(4, 4, counts)

    @pytest.mark.parametrize(("height", "width"), [(10**6, 10**6), (0, 4), (-1, -1), (2**16,) * 2])
    def test_sizes_that_crash_pycocotools_are_refused(self, height: int, width: int) -> None:
        with pytest.raises(ValueError, match="size must be"):
            rle.from_uncompressed(height, width, [height * width])
        with pytest.raises(ValueError, match="size must be"):
            rle.from_counts(height, width, "0")


class TestQuads:
    def test_a_whole_pixel_rectangle_covers_its_pixels(self) -> None:
        expected = np.zeros((20, 30), dtype=np.bool_)
        expected[3:8, 4:21] = True
        assert rle.quad_mask(upright(4, 3, 21, 8), 30, 20) == rle.encode(expected)

    def test_what_sticks_out_is_cut(self) -> None:
        assert rle.quad_mask(upright(-50, -5, 900, 900), 30, 20) == rle.encode(
            np.ones((20, 30), np.bool_)
        )

    def test_a_quad_outside_covers_nothing(self) -> None:
        assert rle.area(rle.quad_mask(upright(40, 3, 50, 8), 30, 20)) == 0
        assert rle.area(rle.quad_mask(upright(-9, -9, -2, -2), 30, 20)) == 0

    def test_coordinates_without_bound_are_drawn_at_once(self) -> None:
        assert rle.area(rle.quad_mask(upright(-1e12, 3, 1e12, 8), 30, 20)) == 30 * 5

    @SETTINGS
    @given(st.integers(1, 40), st.integers(1, 40), st.tuples(*[st.floats(-60, 100)] * 8))
    def test_any_quad_gives_a_sound_mask(
        self, width: int, height: int, values: tuple[float, ...]
    ) -> None:
        a, b, c, d = (Point(values[i], values[i + 1]) for i in range(0, 8, 2))
        mask = rle.quad_mask((a, b, c, d), width, height)
        assert (mask.height, mask.width) == (height, width)
        assert rle.encode(rle.decode(mask)) == mask

    @SETTINGS
    @given(st.tuples(*[st.floats(2, 58)] * 4))
    def test_area_is_near_that_of_the_quad(self, values: tuple[float, ...]) -> None:
        x0, x1 = sorted(values[:2])
        y0, y1 = sorted(values[2:])
        mask = rle.quad_mask(upright(x0, y0, x1, y1), 60, 60)
        sides = x1 - x0, y1 - y0
        assert abs(rle.area(mask) - sides[0] * sides[1]) <= sum(sides) + 1


def upright(x0: float, y0: float, x1: float, y1: float) -> Quad:
    return Point(x0, y0), Point(x1, y0), Point(x1, y1), Point(x0, y1)
