"""Scenes are deterministic and their ground truth is exact."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import cv2  # noqa: TID253
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from pipeline.synthetic import make_scene
from pipeline.synthetic.backgrounds import paint_background
from pipeline.synthetic.samples import CATEGORIES, coco_truth, sample_plans, sample_scene
from pipeline.synthetic.scenes import MIN_VISIBLE_SHARE
from pipeline.synthetic.shapes import draw_shape, fill
from pipeline.synthetic.text import FACE_COUNT, draw_plate, load_face, tight_box
from pipeline.synthetic.vocabulary import (
    BACKGROUNDS,
    COLORS,
    DEV_SEEDS,
    SAMPLE_SEEDS,
    SHAPES,
    TEST_SEEDS,
    TEXTURES,
    TRAIN_SEEDS,
    WORDS,
)

SAMPLES = Path(__file__).parents[3] / "data" / "samples"
SEEDS = range(TRAIN_SEEDS.stop - 12, TRAIN_SEEDS.stop)
# pycocotools 2.0.x meets numpy 2 in its decoder.
_DECODES = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_same_seed_same_scene() -> None:
    one, other = make_scene(7, 128), make_scene(7, 128)
    np.testing.assert_array_equal(one.image, other.image)
    assert [(o.shape, o.color, o.box) for o in one.objects] == [
        (o.shape, o.color, o.box) for o in other.objects
    ]
    assert one.words == other.words
    assert not np.array_equal(one.image, make_scene(8, 128).image)


def test_image_is_upright_rgb_of_the_asked_size() -> None:
    scene = make_scene(3, 200, height=120)
    assert scene.image.shape == (120, 200, 3)
    assert scene.image.dtype == np.uint8
    assert scene.background in BACKGROUNDS
    assert all(item.mask.shape == (120, 200) for item in scene.objects)


@pytest.mark.parametrize("seed", SEEDS)
def test_masks_are_disjoint_visible_and_tightly_boxed(seed: int) -> None:
    scene = make_scene(seed, word_chance=1.0)
    assert scene.objects
    for item in scene.objects:
        assert item.mask.any()
        assert item.box == tight_box(item.mask)
    plates = [word.plate for word in scene.words]
    layers = [item.mask.astype(int) for item in scene.objects]
    for x0, y0, x1, y1 in plates:
        layer = np.zeros(scene.image.shape[:2], int)
        layer[y0:y1, x0:x1] = 1
        layers.append(layer)
    assert np.sum(layers, 0).max() == 1


def test_later_objects_leave_enough_of_earlier_ones() -> None:
    occluded = False
    for seed in SEEDS:
        crowd = make_scene(seed, count=5, word_chance=0.0)
        for index, item in enumerate(crowd.objects):
            # The same seed with fewer objects stops earlier, so its last one lies on top.
            whole = make_scene(seed, count=index + 1, word_chance=0.0).objects[index]
            seen, full = np.count_nonzero(item.mask), np.count_nonzero(whole.mask)
            assert MIN_VISIBLE_SHARE * full <= seen <= full
            occluded |= bool(seen < full)
    assert occluded


def test_object_pixels_have_the_named_color() -> None:
    scene = make_scene(5, count=3, word_chance=0.0, colors=("red",))
    for item in scene.objects:
        inner = cv2.erode(item.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        red, green, blue = (np.median(scene.image[..., i][inner]) for i in range(3))
        assert red > 1.5 * max(green, blue)


def test_ring_has_a_hole_and_disc_has_none() -> None:
    for shape, holes in (("ring", 1), ("circle", 0)):
        cover = draw_shape(shape, (96, 96), (48, 48), 30, 0.0) > 127
        outside = cv2.connectedComponents((~cover).astype(np.uint8), connectivity=4)[0] - 1
        assert outside - 1 == holes
        assert bool(cover[48, 48]) is (holes == 0)


def test_ring_in_a_scene_keeps_its_hole() -> None:
    scene = make_scene(11, count=1, word_chance=0.0, shapes=("ring",))
    (ring,) = scene.objects
    x0, y0, x1, y1 = ring.box
    assert not ring.mask[(y0 + y1) // 2, (x0 + x1) // 2]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_fills_its_place(shape: str) -> None:
    cover = draw_shape(shape, (120, 120), (60, 60), 40, 0.2)
    x0, y0, x1, y1 = tight_box(cover > 127)
    assert 15 < x0 < 60 < x1 < 106
    assert 10 < y0 < 60 < y1 < 110
    assert 0.1 < (cover > 127).mean() < 0.6


@pytest.mark.parametrize("texture", TEXTURES)
def test_fill_has_two_tones_unless_solid(texture: str) -> None:
    patch = fill("green", texture, np.random.default_rng(0), (60, 60), 1.0)
    assert patch.shape == (60, 60, 3)
    assert bool(patch[..., 1].std() > 15) is (texture != "solid")


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_background_has_the_asked_frame(kind: str) -> None:
    assert paint_background(kind, np.random.default_rng(0), 40, 90).shape == (40, 90, 3)


def test_unknown_names_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(KeyError):
        draw_shape("blob", (32, 32), (16, 16), 8, 0.0)
    with pytest.raises(KeyError):
        paint_background("lava", rng, 8, 8)
    with pytest.raises(ValueError, match="empty"):
        tight_box(np.zeros((3, 3), bool))


def test_word_box_is_the_ink() -> None:
    plate = draw_plate("EXIT", np.random.default_rng(4), 256)
    x0, y0, x1, y1 = plate.box
    paper = plate.image[0, 0].astype(int)
    ink = np.abs(plate.image.astype(int) - paper).max(2) > 127
    assert tight_box(ink) == (x0, y0, x1, y1)


def test_every_face_draws_every_word() -> None:
    for face in range(FACE_COUNT):
        assert all(load_face(face, 20).getbbox(word)[2] > 20 for word in WORDS)


def test_words_come_only_when_asked_for() -> None:
    with_words = [make_scene(seed, word_chance=1.0, count=1) for seed in SEEDS]
    assert sum(len(scene.words) for scene in with_words) >= 10
    assert not any(make_scene(seed, word_chance=0.0).words for seed in SEEDS)
    assert all(word.text in WORDS for scene in with_words for word in scene.words)


def test_seed_ranges_are_disjoint() -> None:
    ranges = (TRAIN_SEEDS, DEV_SEEDS, SAMPLE_SEEDS, TEST_SEEDS)
    for one, other in itertools.combinations(ranges, 2):
        assert one.stop <= other.start or other.stop <= one.start


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SAMPLES / "truth.coco.json").read_text())
    return content


def test_committed_truth_is_what_the_generator_says(truth: dict[str, Any]) -> None:
    assert json.loads(json.dumps(coco_truth(sample_plans()))) == truth


def test_committed_images_are_what_the_generator_draws() -> None:
    for plan in sample_plans():
        stored = Image.open(SAMPLES / "images" / plan.name)
        assert stored.size == (plan.width, plan.height)
        drawn = sample_scene(plan).image.astype(int)
        error = np.abs(np.asarray(stored.convert("RGB")).astype(int) - drawn)
        assert error.mean() < (6 if plan.name.endswith("jpg") else 0.01)


@_DECODES
def test_truth_masks_agree_with_areas_and_boxes(truth: dict[str, Any]) -> None:
    frames = {image["id"]: image for image in truth["images"]}
    for row in truth["annotations"]:
        frame = frames[row["image_id"]]
        mask = rle.decode(row["segmentation"]).astype(bool)
        assert mask.shape == (frame["height"], frame["width"])
        assert row["area"] == np.count_nonzero(mask)
        x0, y0, x1, y1 = tight_box(mask)
        assert row["bbox"] == [x0, y0, x1 - x0, y1 - y0]


def test_truth_shows_everything(truth: dict[str, Any]) -> None:
    rows = truth["annotations"]
    assert {row["category_id"] for row in rows} == set(range(1, len(CATEGORIES) + 1))
    assert {row["color"] for row in rows if "color" in row} == set(COLORS)
    assert {row["texture"] for row in rows if "texture" in row} == set(TEXTURES)
    assert {image["background"] for image in truth["images"]} == set(BACKGROUNDS)
    assert {image["file_name"][-3:] for image in truth["images"]} == {"png", "jpg"}
    assert any(row.get("text") in WORDS for row in rows)
    assert len({(image["width"], image["height"]) for image in truth["images"]}) > 2


@_DECODES
def test_a_sample_ring_has_a_hole(truth: dict[str, Any]) -> None:
    ring = 1 + CATEGORIES.index("ring")
    rings = [row for row in truth["annotations"] if row["category_id"] == ring]
    assert any(_holes(rle.decode(row["segmentation"])) for row in rings)


def _holes(mask: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    padded = np.pad(mask == 0, 1, constant_values=True).astype(np.uint8)
    return cv2.connectedComponents(padded, connectivity=4)[0] - 1 > 1


def test_png_of_a_scene_is_lossless() -> None:
    scene = make_scene(1, 64)
    buffer = io.BytesIO()
    Image.fromarray(scene.image).save(buffer, "PNG")
    np.testing.assert_array_equal(np.asarray(Image.open(buffer)), scene.image)
