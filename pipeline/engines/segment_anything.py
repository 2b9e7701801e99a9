"""Class-less masks of everything in an image: Segment Anything, by its own generator or by ours."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch  # noqa: TID253
from segment_anything import SamAutomaticMaskGenerator, sam_model_registry  # noqa: TID253
from torch import Tensor  # noqa: TID253

from pipeline import rle
from pipeline.config import SegmentAnythingConfig
from pipeline.engines.base import EngineInfo
from pipeline.engines.batching import shrinking
from pipeline.engines.checkpoints import fill, load_state
from pipeline.engines.devices import Device, Precision, autocast, free_memory
from pipeline.engines.fast_sam import FoundMask, MaskGenerator
from pipeline.engines.fast_sam.products import cpu_has_bf16
from pipeline.engines.quiet import quiet
from pipeline.engines.tiny import build_tiny_sam
from pipeline.errors import ImageRejectedError, WeightsError
from pipeline.reasons import Reason
from pipeline.records import Point, Region, RgbImage
from pipeline.weights import ModelFiles

_log = logging.getLogger(__name__)

TINY_CONFIG: Final = "sam_config.json"

_ARCHITECTURES: Final = ("vit_b", "vit_l", "vit_h")

_LOGIT_BYTES: Final = 2**30
"""Bytes of full-size mask logits at a time. The package scales the masks of all prompts of a batch
to the image's size: 64 prompts would take 1.6 GB at 1080p and 61 GB at 80 megapixels."""

_BYTES_PER_PROMPT_AND_PIXEL: Final = 3 * 4
"""Three masks per prompt, fp32."""


class Generator(Protocol):
    """Finds everything in images."""

    images_at_once: int

    def generate_all(
        self, images: Sequence[RgbImage], points_per_batch: int
    ) -> list[list[FoundMask]]:
        """Find masks of each image, decoding so many prompts at once."""

    def batch_for(self, image: RgbImage, wanted: int) -> int:
        """Say how many prompts at once fit into memory, from the image's size alone."""


class SamSegmenter:
    """A Segment Anything model and the one mask generator that is kept for it.

    Scores are clipped to 0..1: the model's estimate of an IoU can come out slightly above 1.

    Args:
        files: The checked folder: a ``.pth`` with vit_b, vit_l or vit_h in its name, or
            ``sam_config.json`` and safetensors.
        config: Settings of the mask generator.
        device: Where the model lives.
        precision: fp32 for ``mode: exact``, bf16 for ``fast``. In ``stock`` bf16 is for the image
            encoder; masks are decoded in fp32.

    Raises:
        WeightsError: The files are no Segment Anything model.
    """

    def __init__(
        self, files: ModelFiles, config: SegmentAnythingConfig, device: Device, precision: Precision
    ) -> None:
        self.info = EngineInfo("segment_anything", files.name, files.digest, device, precision)
        self._points_per_batch = config.points_per_batch
        self._device = device
        model = _load(files).to(device).eval()
        self._generator = _generator(model, config, device, precision)

    @property
    def images_at_once(self) -> int:
        """Images that ``segment`` works on together, and is best asked for: 1 on a CPU, 4 on CUDA.

        It shrinks when the device's memory turns out too small for so many.
        """
        return self._generator.images_at_once

    def segment(self, images: Sequence[RgbImage]) -> list[tuple[Region, ...]]:
        """Find regions; per image best predicted IoU first, none of them empty.

        Args:
            images: Any number.

        Raises:
            ImageRejectedError: The model answered with NaN for one of them.
            OutOfMemoryError: Not even one prompt at a time fits.
        """
        answers: list[tuple[Region, ...]] = []
        while len(answers) < len(images):
            size = min(self.images_at_once, len(images) - len(answers))
            found, used = shrinking(size, partial(self._found, images[len(answers) :]), self._free)
            if used < size:
                self._generator.images_at_once = used
            answers += map(_regions, found)
        return answers

    def _found(self, images: Sequence[RgbImage], first: int) -> list[list[FoundMask]]:
        """Find masks; of several images only if they fit with all the prompts that are wanted."""
        images = images[:first]
        size = min(self._generator.batch_for(image, self._points_per_batch) for image in images)
        if len(images) > 1:
            return self._generate(images, size)
        found, used = shrinking(size, partial(self._generate, images), self._make_room)
        if used < size:
            self._points_per_batch = used
        return found

    def _free(self) -> None:
        free_memory(self._device)

    def _make_room(self) -> None:
        # A single image has crops, of which as many are encoded together.
        self._generator.images_at_once = max(1, self._generator.images_at_once // 2)
        self._free()

    def _generate(self, images: Sequence[RgbImage], points_per_batch: int) -> list[list[FoundMask]]:
        with torch.inference_mode(), quiet():
            return self._generator.generate_all(images, points_per_batch)


class StockGenerator:
    """The library's own mask generator: slow, and what all else is measured against.

    Args:
        model: A ``segment_anything.modeling.Sam`` on its device.
        settings: Those of ``SamAutomaticMaskGenerator``.
    """

    images_at_once = 1

    def __init__(self, model: Any, settings: SegmentAnythingConfig) -> None:  # noqa: ANN401
        own = settings.model_dump(exclude={"engine", "model", "mode"})
        self.library = SamAutomaticMaskGenerator(model, **own, output_mode="uncompressed_rle")
        _watch_for_nan(self.library)
        self._masks_of_crops: list[int] = []
        _count_masks(self.library, self._masks_of_crops)

    def batch_for(self, image: RgbImage, wanted: int) -> int:
        """Say how many prompts at once fit into memory."""
        # From the image's size alone, so that an image's answer never depends on another's.
        fits = _LOGIT_BYTES // (_BYTES_PER_PROMPT_AND_PIXEL * image.shape[0] * image.shape[1])
        return max(1, min(wanted, int(fits)))

    def generate_all(
        self, images: Sequence[RgbImage], points_per_batch: int
    ) -> list[list[FoundMask]]:
        """Find masks of each image, one after the other."""
        return [self.generate(image, points_per_batch) for image in images]

    def generate(self, image: RgbImage, points_per_batch: int) -> list[FoundMask]:
        """Find masks, decoding so many prompts at once.

        Raises:
            ImageRejectedError: The model answered with NaN.
            IndexError: The library's own, as it came.
        """
        self.library.points_per_batch = points_per_batch
        self._masks_of_crops.clear()
        try:
            records = self.library.generate(image)
        except IndexError:
            # The library compares crops without looking whether any of them has a mask.
            if any(self._masks_of_crops):
                raise
            records = []
        return [_found(record) for record in records]


def _generator(
    model: Any,  # noqa: ANN401  the package is untyped
    config: SegmentAnythingConfig,
    device: Device,
    precision: Precision,
) -> Generator:
    if config.mode == "stock":
        _encode_in(model, device, precision)
        return StockGenerator(model, config)
    if precision == "fp32":
        return MaskGenerator(model, config, torch.float32)
    if device == "cpu" and not cpu_has_bf16():
        _log.warning(
            "stages.segment.mode: fast computes in bf16, which this processor does not have: "
            "`mode: exact` is faster here, and gives the library's masks"
        )
    return MaskGenerator(model, config, torch.bfloat16)


def _found(record: dict[str, Any]) -> FoundMask:
    runs, (point,) = record["segmentation"], record["point_coords"]
    height, width = runs["size"]
    mask = rle.from_uncompressed(height, width, runs["counts"])
    x, y = map(float, point)
    return FoundMask(mask, record["predicted_iou"], record["stability_score"], (x, y))


def _regions(found: list[FoundMask]) -> tuple[Region, ...]:
    regions = [region for region in map(_region, found) if region is not None]
    return tuple(sorted(regions, key=_best_first))


def _best_first(region: Region) -> tuple[float, float, float, float, str]:
    point = region.point
    return -region.predicted_iou, -region.stability, point.y, point.x, region.mask.counts


def _region(found: FoundMask) -> Region | None:
    box = rle.tight_box(found.mask)
    if box is None:
        return None
    iou, stability = np.clip([found.predicted_iou, found.stability], 0.0, 1.0)
    area = rle.area(found.mask)
    return Region(found.mask, box, area, float(iou), float(stability), Point(*found.point))


def _load(files: ModelFiles) -> Any:  # noqa: ANN401  the package is untyped
    paths = [file.path for file in files.files]
    checkpoints = [path for path in paths if path.suffix in {".safetensors", ".pth", ".pt"}]
    if len(checkpoints) != 1:
        raise WeightsError(
            f"{files.folder}: expected one checkpoint (.pth or .safetensors), "
            f"found {[path.name for path in checkpoints]}"
        )
    model = _architecture(files, checkpoints[0])
    fill(model, load_state(checkpoints[0]), checkpoints[0])
    return model


def _architecture(files: ModelFiles, checkpoint: Path) -> Any:  # noqa: ANN401  untyped
    own = files.folder / TINY_CONFIG
    if own.is_file():
        return build_tiny_sam(json.loads(own.read_text(encoding="utf-8"))["model"])
    named = [name for name in _ARCHITECTURES if name in checkpoint.name]
    if len(named) != 1:
        raise WeightsError(
            f"{checkpoint}: which architecture? Put one of {', '.join(_ARCHITECTURES)} into the "
            f"file's name, or {TINY_CONFIG} beside it"
        )
    return sam_model_registry[named[0]](checkpoint=None)


def _encode_in(model: Any, device: Device, precision: Precision) -> None:  # noqa: ANN401  untyped
    """Run the image encoder, most of the work, in ``precision``; what follows it needs fp32."""
    if precision == "fp32":
        return
    forward = model.image_encoder.forward

    def encode(image: Tensor) -> Tensor:
        """Encode in that precision; features come out as float32."""
        with autocast(device, precision):
            features: Tensor = forward(image)
        return features.float()

    model.image_encoder.forward = encode


def _watch_for_nan(generator: Any) -> None:  # noqa: ANN401  untyped
    """Raise when the model answers with NaN, which the generator would drop without a word."""
    predict = generator.predictor.predict_torch

    def checked(*args: Any, **options: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ANN401
        """Predict; refuse the image when a predicted IoU is not finite.

        Raises:
            ImageRejectedError: The model answered with NaN.
        """
        masks, scores, logits = predict(*args, **options)
        if not bool(torch.isfinite(scores).all()):
            raise ImageRejectedError(Reason.NAN_OUTPUT, "the model's predicted IoU is NaN")
        return masks, scores, logits

    generator.predictor.predict_torch = checked


def _count_masks(generator: Any, counts: list[int]) -> None:  # noqa: ANN401  untyped
    """Write down how many masks each crop has."""
    process = generator._process_crop  # noqa: SLF001  the library's own step

    def counted(*args: Any) -> Any:  # noqa: ANN401
        """Process a crop and note how many masks it gave."""
        found = process(*args)
        counts.append(len(found["rles"]))
        return found

    generator._process_crop = counted  # noqa: SLF001
