"""Put a stage's question to its engine, and turn whatever happens into an answer per image."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pipeline.errors import EngineError, ImageRejectedError, OutOfMemoryError
from pipeline.infer.crops import region_crops
from pipeline.infer.engines import Engines
from pipeline.infer.pooling import cut, pool, squares
from pipeline.reasons import Reason
from pipeline.records import (
    Failure,
    PooledVectors,
    Region,
    RegionVectors,
    RgbImage,
    StageName,
    TextSpan,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """An image a stage is asked about.

    Attributes:
        key: sha256 of the file's bytes.
        name: Path, for messages.
        regions: Its regions, where the stage needs them.
    """

    key: str
    name: str
    pixels: RgbImage
    regions: tuple[Region, ...] = ()


Question: TypeAlias = Callable[[Engines, Sequence[Asked]], list[Any]]


def ask(stage: StageName, engines: Engines, asked: Sequence[Asked]) -> list[Any | Failure]:
    """Answer for every image: a finding, or the Failure of that image alone.

    A batch that raises is asked again one by one; numbers that are not finite are a failure.
    """
    try:
        answers = _answers(stage, engines, asked)
    except Exception as error:  # noqa: BLE001  whatever a model raises ends one image, not the run
        if len(asked) == 1:
            return [_failure(stage, asked[0], error)]
        return [answer for image in asked for answer in ask(stage, engines, [image])]
    return [
        answer if _is_finite(answer) else _not_a_number(stage, image)
        for image, answer in zip(asked, answers, strict=True)
    ]


def _answers(stage: StageName, engines: Engines, asked: Sequence[Asked]) -> list[Any]:
    answers = QUESTIONS[stage](engines, asked)
    if len(answers) != len(asked):
        raise EngineError(f"{len(answers)} answers for {len(asked)} images")
    return answers


def _failure(stage: StageName, image: Asked, error: Exception) -> Failure:
    _log.debug("%s: %s failed", image.name, stage.value, exc_info=error)
    if isinstance(error, ImageRejectedError):
        return Failure(stage, error.reason, error.detail)
    memory = isinstance(error, OutOfMemoryError | MemoryError)
    reason = Reason.ENGINE_OUT_OF_MEMORY if memory else Reason.ENGINE_ERROR
    return Failure(stage, reason, f"{type(error).__name__}: {error}"[:500])


def _not_a_number(stage: StageName, image: Asked) -> Failure:
    height, width = image.pixels.shape[:2]
    detail = f"the model answered with NaN or infinity for this {width}x{height} image"
    return Failure(stage, Reason.NAN_OUTPUT, detail)


def _is_finite(answer: object) -> bool:
    match answer:
        case np.ndarray():
            return bool(np.isfinite(answer).all())
        case RegionVectors():
            return _is_finite(answer.cropped) and _is_finite(answer.masked)
        case PooledVectors():
            return _is_finite(answer.inside) and _is_finite(answer.outside)
        case tuple():
            return all(_is_finite(item) for item in answer)
        case Region():
            return bool(np.isfinite([answer.predicted_iou, answer.stability]).all())
        case TextSpan():
            corners = [value for point in answer.quad for value in (point.x, point.y)]
            return bool(np.isfinite([answer.score, *corners]).all())
        case _:
            raise TypeError(f"an engine answered with {type(answer).__name__}")


def _embed(engines: Engines, asked: Sequence[Asked]) -> list[Any]:
    return list(engines.embedder.embed_images([image.pixels for image in asked]))


def _segment(engines: Engines, asked: Sequence[Asked]) -> list[Any]:
    return list(engines.segmenter.segment([image.pixels for image in asked]))


def _embed_regions(engines: Engines, asked: Sequence[Asked]) -> list[Any]:
    return [_embed_one_images_regions(engines, image) for image in asked]


def _embed_one_images_regions(engines: Engines, image: Asked) -> RegionVectors:
    n = len(image.regions)
    if n == 0:
        nothing = np.zeros((0, 0), np.float32)
        return RegionVectors(nothing, nothing)
    # One image's crops at a time: the batches an answer comes from depend on that image alone.
    vectors = engines.embedder.embed_images(region_crops(image.pixels, image.regions))
    return RegionVectors(cropped=vectors[:n], masked=vectors[n:])


def _pool_regions(engines: Engines, asked: Sequence[Asked]) -> list[Any]:
    return [_pool_one_images_regions(engines, image) for image in asked]


def _pool_one_images_regions(engines: Engines, image: Asked) -> PooledVectors:
    if not image.regions:
        nothing = np.zeros((0, 0), np.float32)
        return PooledVectors(nothing, nothing)
    height, width = image.pixels.shape[:2]
    places = squares(height, width, engines.tiles)
    patches = engines.patch_embedder.embed_patches([cut(image.pixels, place) for place in places])
    return pool(image.regions, patches, places)


def _read(engines: Engines, asked: Sequence[Asked]) -> list[Any]:
    return list(engines.reader.read([image.pixels for image in asked]))


QUESTIONS: dict[StageName, Question] = {
    StageName.EMBED: _embed,
    StageName.SEGMENT: _segment,
    StageName.EMBED_REGIONS: _embed_regions,
    StageName.POOL_REGIONS: _pool_regions,
    StageName.READ: _read,
}
