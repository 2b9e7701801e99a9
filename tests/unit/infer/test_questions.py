"""Whatever a model does, every image gets its own answer or its own failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import rle
from pipeline.errors import ImageRejectedError, OutOfMemoryError
from pipeline.infer.questions import Asked, ask
from pipeline.reasons import Reason
from pipeline.records import Box, Failure, Point, Region, RegionVectors, StageName, TextSpan


def asked(n: int) -> list[Asked]:
    images = [np.full((8, 8, 3), i, np.uint8) for i in range(n)]
    return [Asked(f"{i:064x}", f"{i}.png", image) for i, image in enumerate(images)]


def engines(embed: Callable[[Sequence[np.ndarray]], Any] | None) -> Any:
    return SimpleNamespace(embedder=SimpleNamespace(embed_images=embed))


def engine(name: str, method: str, call: Callable[[Any], Any]) -> Any:
    return SimpleNamespace(**{name: SimpleNamespace(**{method: call})})


def first_pixels(images: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([[image[0, 0, 0], 1] for image in images], np.float32)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.sets(st.integers(0, 9)))
def test_images_that_raise_fail_alone_and_order_is_kept(bad: set[int]) -> None:
    def embed(images: Sequence[np.ndarray]) -> np.ndarray:
        if bad & {int(image[0, 0, 0]) for image in images}:
            raise RuntimeError("cannot")
        return first_pixels(images)

    answers = ask(StageName.EMBED, engines(embed), asked(10))
    for i, answer in enumerate(answers):
        if i in bad:
            assert answer == Failure(StageName.EMBED, Reason.ENGINE_ERROR, "RuntimeError: cannot")
        else:
            assert not isinstance(answer, Failure)
            assert answer[0] == i


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_fail_their_image_only(value: float) -> None:
    def embed(images: Sequence[np.ndarray]) -> np.ndarray:
        vectors = first_pixels(images)
        vectors[vectors[:, 0] == 2, 1] = value
        return vectors

    answers = ask(StageName.EMBED, engines(embed), asked(4))
    assert [isinstance(answer, Failure) for answer in answers] == [False, False, True, False]
    assert answers[2].reason is Reason.NAN_OUTPUT


@pytest.mark.parametrize("error", [OutOfMemoryError("16 MiB"), MemoryError()])
def test_running_out_of_memory_has_its_own_reason(error: Exception) -> None:
    def embed(_images: Sequence[np.ndarray]) -> np.ndarray:
        raise error

    (answer,) = ask(StageName.EMBED, engines(embed), asked(1))
    assert answer.reason is Reason.ENGINE_OUT_OF_MEMORY


def test_an_engine_may_name_the_reason_itself() -> None:
    def embed(_images: Sequence[np.ndarray]) -> np.ndarray:
        raise ImageRejectedError(Reason.NAN_OUTPUT, "logits are NaN")

    answers = ask(StageName.EMBED, engines(embed), asked(2))
    assert answers == [Failure(StageName.EMBED, Reason.NAN_OUTPUT, "logits are NaN")] * 2


def test_a_person_who_stops_the_run_is_obeyed() -> None:
    def embed(_images: Sequence[np.ndarray]) -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(StageName.EMBED, engines(embed), asked(2))


def region(predicted_iou: float = 0.9) -> Region:
    bitmap = np.zeros((8, 8), bool)
    bitmap[2:5, 3:6] = True
    return Region(rle.encode(bitmap), Box(3, 2, 3, 3), 9, predicted_iou, 0.9, Point(4, 3))


def span(score: float, x: float = 1.0) -> TextSpan:
    return TextSpan((Point(x, 1), Point(5, 1), Point(5, 3), Point(1, 3)), "a", score)


@pytest.mark.parametrize(
    ("stage", "method", "answer"),
    [
        (StageName.SEGMENT, ("segmenter", "segment"), (region(float("nan")),)),
        (StageName.READ, ("reader", "read"), (span(float("nan")),)),
        (StageName.READ, ("reader", "read"), (span(0.5, float("inf")),)),
    ],
)
def test_nan_is_found_in_regions_and_texts(
    stage: StageName, method: tuple[str, str], answer: tuple[Any, ...]
) -> None:
    fake = engine(*method, lambda images: [answer for _ in images])
    (failure,) = ask(stage, fake, asked(1))
    assert failure.reason is Reason.NAN_OUTPUT


def test_an_engine_that_answers_too_few_fails_the_images() -> None:
    fake = engine("segmenter", "segment", lambda images: [])
    answers = ask(StageName.SEGMENT, fake, asked(2))
    assert [answer.detail for answer in answers] == ["EngineError: 0 answers for 1 images"] * 2


def test_region_vectors_are_split_into_cropped_and_masked() -> None:
    image = asked(1)[0]
    with_regions = Asked(image.key, image.name, image.pixels, (region(), region()))
    (answer,) = ask(StageName.EMBED_REGIONS, engines(first_pixels), [with_regions])
    assert isinstance(answer, RegionVectors)
    assert answer.cropped.shape == answer.masked.shape == (2, 2)
    assert answer.cropped[0, 0] == 0  # the image is black,
    assert answer.masked[0, 0] == 122  # and its corner lies outside the mask: grey


def test_no_regions_ask_no_model() -> None:
    (answer,) = ask(StageName.EMBED_REGIONS, engines(None), asked(1))
    assert isinstance(answer, RegionVectors)
    assert answer.cropped.shape == (0, 0)
