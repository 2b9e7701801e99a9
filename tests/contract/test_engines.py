"""What every engine promises, whichever library is behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline import rle
from pipeline.engines.base import Embedder, Segmenter, TextReader
from pipeline.records import RgbImage

SIZES = [(8, 8), (8, 400), (400, 8)]
"""Rows and columns that the input stage lets through: the smallest, and the most elongated."""


def _noise(height: int, width: int) -> RgbImage:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


# Every engine


def test_engine_is_what_the_protocol_says(any_engine: Any) -> None:
    assert isinstance(any_engine.engine, Embedder | Segmenter | TextReader)


def test_info_is_the_identity_known_before_loading(any_engine: Any) -> None:
    info, identity = any_engine.engine.info, any_engine.identity()
    assert (info.engine, info.model) == (identity.engine, identity.model)
    assert info.weights == identity.weights
    assert info.precision == identity.precision
    assert len(bytes.fromhex(info.weights)) == 32
    assert info.device in {"cpu", "onnxruntime"}


def test_no_images_no_answers(any_engine: Any) -> None:
    assert any_engine.ask([]) == []


def test_order_is_kept(any_engine: Any, scenes: list[RgbImage]) -> None:
    assert any_engine.ask(scenes[::-1]) == any_engine.of_scenes[::-1]


def test_a_batch_answers_as_one_by_one(any_engine: Any, scenes: list[RgbImage]) -> None:
    alone = [answer for image in scenes for answer in any_engine.ask([image])]
    assert any_engine.of_scenes == alone
    assert len(set(map(repr, alone))) > 1, "the probe cannot tell its images apart"


def test_another_load_answers_the_same(any_engine: Any, scenes: list[RgbImage]) -> None:
    assert any_engine.again().ask(scenes[:1]) == any_engine.of_scenes[:1]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_any_size_that_input_lets_through(any_engine: Any, height: int, width: int) -> None:
    assert len(any_engine.ask([_noise(height, width)])) == 1


def test_images_are_read_only_to_engines(any_engine: Any, scenes: list[RgbImage]) -> None:
    image = scenes[0].copy()
    image.flags.writeable = False
    assert any_engine.ask([image]) == any_engine.of_scenes[:1]


def test_red_and_blue_are_told_apart(
    any_engine: Any, scenes: list[RgbImage], two_tones: RgbImage
) -> None:
    swapped = [np.ascontiguousarray(image[:, :, ::-1]) for image in (*scenes, two_tones)]
    assert any_engine.ask(swapped) != [*any_engine.of_scenes, *any_engine.ask([two_tones])]


def test_loading_and_answering_is_silent(
    any_engine: Any, scenes: list[RgbImage], capfd: pytest.CaptureFixture[str]
) -> None:
    any_engine.again().ask(scenes[:1])
    assert capfd.readouterr() == ("", "")


# Embedders


def test_vectors_are_float32_of_length_one(embedder: Any, scenes: list[RgbImage]) -> None:
    for vectors in (
        embedder.engine.embed_images(scenes),
        embedder.engine.embed_texts(["a red circle", ""]),
    ):
        assert vectors.dtype == np.float32
        assert len(vectors) == 2
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_no_input_keeps_the_dimension(embedder: Any, scenes: list[RgbImage]) -> None:
    shape = (0, embedder.engine.embed_images(scenes[:1]).shape[1])
    assert embedder.engine.embed_images([]).shape == shape
    assert embedder.engine.embed_texts([]).shape == shape


def test_a_vector_has_the_same_bits_in_any_company(
    embedder: Any, scenes: list[RgbImage], two_tones: RgbImage
) -> None:
    companies = [[two_tones], [two_tones, *scenes], [*scenes, two_tones], [*scenes * 2, two_tones]]
    seen = {
        embedder.engine.embed_images(images)[position].tobytes()
        for images, position in zip(companies, (0, 0, -1, -1), strict=True)
    }
    assert len(seen) == 1


def test_a_prompts_vector_has_the_same_bits_in_any_company(embedder: Any) -> None:
    many = [f"a photo of {n} things" for n in range(19)]
    alone = embedder.engine.embed_texts(["a red circle"])
    for prompts, at in ((["a red circle", *many], 0), ([*many, "a red circle"], -1)):
        assert embedder.engine.embed_texts(prompts)[at].tobytes() == alone[0].tobytes()


def test_a_crop_too_long_for_any_image_is_embedded(embedder: Any) -> None:
    vectors = embedder.engine.embed_images([_noise(2, 5000), _noise(5000, 2)])
    assert np.isfinite(vectors).all()


def test_scale_and_bias_are_numbers(embedder: Any) -> None:
    assert embedder.engine.logit_scale > 0
    assert embedder.engine.logit_bias is None or np.isfinite(embedder.engine.logit_bias)


def test_a_colour_is_nearest_to_its_name(embedder: Any) -> None:
    red, blue = np.zeros((2, 64, 64, 3), np.uint8)
    red[:], blue[:] = (220, 30, 30), (40, 70, 220)
    names = embedder.engine.embed_texts(["red shape", "blue shape"])
    best = (embedder.engine.embed_images([red, blue]) @ names.T).argmax(axis=1)
    assert best.tolist() == [0, 1]


# Segmenters


def test_regions_lie_in_their_image(segmenter: Any, scenes: list[RgbImage]) -> None:
    answers = segmenter.of_scenes
    assert any(answers), "the probe finds nothing"
    for image, regions in zip(scenes, answers, strict=True):
        for region in regions:
            assert (region.mask.height, region.mask.width) == image.shape[:2]
            assert region.area == rle.decode(region.mask).sum() > 0
            assert region.box == rle.tight_box(region.mask)
            assert 0 <= region.predicted_iou <= 1
            assert 0 <= region.stability <= 1
            assert 0 <= region.point.x < image.shape[1]
            assert 0 <= region.point.y < image.shape[0]


def test_best_predicted_iou_comes_first(segmenter: Any) -> None:
    for regions in segmenter.of_scenes:
        scores = [region.predicted_iou for region in regions]
        assert scores == sorted(scores, reverse=True)


# Readers


def test_texts_lie_in_their_image(reader: Any, scenes: list[RgbImage]) -> None:
    answers = reader.of_scenes
    assert all(answers), "the probe is not read"
    for image, texts in zip(scenes, answers, strict=True):
        height, width = image.shape[:2]
        for span in texts:
            assert span.text.strip() == span.text != ""
            assert 0 <= span.score <= 1
            assert all(0 <= p.x <= width and 0 <= p.y <= height for p in span.quad)
            assert _is_clockwise_from_top_left(span.quad)


def _is_clockwise_from_top_left(quad: Any) -> bool:
    x, y = np.array([[point.x, point.y] for point in quad]).T
    # Twice the area by the shoelace formula: positive is clockwise, as y points down.
    turning = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()
    return bool(turning > 0 and x[0] <= x[1] and y[0] <= y[3])


def test_texts_come_top_to_bottom(reader: Any) -> None:
    for texts in reader.of_scenes:
        tops = [min(point.y for point in span.quad) for span in texts]
        assert tops == sorted(tops)
