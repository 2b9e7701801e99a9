"""Automatic masks in the order of the library: crops, prompts, filters, NMS, small regions.

Same settings, same filters in the same order as ``SamAutomaticMaskGenerator``, but boxes come
before pixels: run lengths are made once, for masks that survived everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch  # noqa: TID253
from numpy.typing import NDArray
from segment_anything.utils.amg import (  # noqa: TID253
    build_all_layer_point_grids,
    generate_crop_boxes,
)
from segment_anything.utils.transforms import ResizeLongestSide  # noqa: TID253

from pipeline.config import SegmentAnythingConfig
from pipeline.engines.fast_sam.candidates import (
    Box,
    Candidates,
    Crop,
    FoundMask,
    best_boxes,
    near_edges,
    outer_box,
    without_small_regions,
)
from pipeline.engines.fast_sam.decoder import PromptDecoder
from pipeline.engines.fast_sam.encoder import ImageEncoder
from pipeline.engines.fast_sam.finder import Finder, Search
from pipeline.engines.fast_sam.interpolation import Frame, Interpolator
from pipeline.engines.fast_sam.on_device import scan_for
from pipeline.engines.fast_sam.workers import MOST, Workers
from pipeline.records import RgbImage

_IMAGES_ON_GPU: Final = 4
"""Crops encoded and decoded together on CUDA, chosen without a measurement."""

_PROMPTS_ON_CPU: Final = 64
_TOKEN_BYTES_ON_CPU: Final = 2**24
"""Most image tokens of a batch, of which every thread has one: 4 prompts of the published sizes."""


class MaskGenerator:
    """A Segment Anything model that finds everything in images.

    Args:
        model: A ``segment_anything.modeling.Sam`` on its device, in fp32; it is taken over.
        settings: Those of ``SamAutomaticMaskGenerator``.
        dtype: Of the image encoder and of image tokens.
        decoder: Another one than the model's, for measurements.
        workers: Threads that share the work on a CPU. A ``decoder`` of one's own is asked by one
            thread unless they are given.

    Attributes:
        images_at_once: Images, or crops of one, that are encoded and decoded together.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401  untyped
        settings: SegmentAnythingConfig,
        dtype: torch.dtype,
        decoder: PromptDecoder | None = None,
        workers: Workers | None = None,
    ) -> None:
        self._settings = settings
        self._levels = float(model.mask_threshold), settings.stability_score_offset
        self._on_cpu = model.device.type == "cpu"
        self.images_at_once = 1 if self._on_cpu else _IMAGES_ON_GPU
        self._workers = workers or Workers(1 if decoder else MOST)
        self._decoder = decoder or PromptDecoder(model, dtype)
        encoder = ImageEncoder(model, dtype, self._workers)
        self._resize = ResizeLongestSide(encoder.side)
        self._finder = Finder(
            encoder, self._decoder, settings, model.device, self._workers, scan_for(model.device)
        )
        self._grids = build_all_layer_point_grids(
            settings.points_per_side,
            settings.crop_n_layers,
            settings.crop_n_points_downscale_factor,
        )

    def batch_for(self, _image: RgbImage, wanted: int) -> int:
        """Say how many prompts at once fit into memory: no mask is held at the image's size."""
        if not self._on_cpu:
            return wanted
        # A core is busy with one prompt at a time; more of them only wait in memory.
        fits = _TOKEN_BYTES_ON_CPU // self._decoder.token_bytes
        return min(wanted, _PROMPTS_ON_CPU, max(1, fits))

    def generate(self, image: RgbImage, points_per_batch: int) -> list[FoundMask]:
        """Find masks in one image, as ``generate_all`` does."""
        return self.generate_all([image], points_per_batch)[0]

    def generate_all(
        self, images: Sequence[RgbImage], points_per_batch: int
    ) -> list[list[FoundMask]]:
        """Find masks of each image, in the order of the library.

        Args:
            images: RGB uint8, (H, W, 3) each, of any sizes.
            points_per_batch: Most prompts decoded at once, per image that shares the batch.

        Raises:
            ImageRejectedError: The model answered with NaN for one of them.
        """
        wanted = [(number, *crop) for number, one in enumerate(images) for crop in self._cut(one)]
        crops: list[list[Crop]] = [[] for _ in images]
        for start in range(0, len(wanted), self.images_at_once):
            group = wanted[start : start + self.images_at_once]
            searches = [self._search(images[number], box, grid) for number, box, grid in group]
            found = self._finder.find(searches, points_per_batch * len(group))
            for (number, _, _), search, masks in zip(group, searches, found, strict=True):
                crops[number].append(self._best(search, masks, images[number]))
        return [self._drawn(image, own) for image, own in zip(images, crops, strict=True)]

    def _cut(self, image: RgbImage) -> list[tuple[Box, NDArray[np.float64]]]:
        """Cut an image into crops, each with its grid of prompts in 0..1."""
        boxes, layers = generate_crop_boxes(
            image.shape[:2], self._settings.crop_n_layers, self._settings.crop_overlap_ratio
        )
        return [(tuple(box), self._grids[n]) for box, n in zip(boxes, layers, strict=True)]

    def _search(self, image: RgbImage, box: Box, grid: NDArray[np.float64]) -> Search:
        left, top, right, bottom = box
        pixels = self._resize.apply_image(image[top:bottom, left:right])
        size = bottom - top, right - left
        frame = Frame(self._resize.target_length, pixels.shape[:2], size)
        interpolator = Interpolator(frame, self._decoder.side, *self._levels)
        return Search(box, pixels, grid * np.array([[size[1], size[0]]]), interpolator)

    def _best(self, search: Search, found: Candidates, image: RgbImage) -> Crop:
        """Drop what a crop cuts off, and duplicates in it."""
        found = found.only(~near_edges(found.boxes, search.box, image.shape))
        kept = best_boxes(found.boxes, found.scores, self._settings.box_nms_thresh)
        return Crop(search.box, search.interpolator, found.only(kept))

    def _drawn(self, image: RgbImage, crops: list[Crop]) -> list[FoundMask]:
        """Draw what is left of an image's crops."""
        size = image.shape[0], image.shape[1]
        found = [mask for crop in self._without_duplicates(crops) for mask in crop.masks(size)]
        least = self._settings.min_mask_region_area
        return self._cleaned(found, least) if least else found

    def _without_duplicates(self, crops: list[Crop]) -> list[Crop]:
        """Drop masks whose box another crop has too; smaller crops are preferred."""
        if len(crops) == 1:
            return crops
        boxes = np.concatenate([crop.boxes for crop in crops])
        owner = np.repeat(np.arange(len(crops)), [len(crop.found.scores) for crop in crops])
        scores = np.array([1 / crop.area for crop in crops], np.float32)[owner]
        kept = best_boxes(boxes, scores, self._settings.crop_nms_thresh)
        starts = np.searchsorted(owner, np.arange(len(crops)))
        out = []
        for number, crop in enumerate(crops):
            mine = kept[owner[kept] == number] - starts[number]
            out.append(Crop(crop.box, crop.interpolator, crop.found.only(mine)))
        return out

    def _cleaned(self, found: list[FoundMask], least: int) -> list[FoundMask]:
        """Remove small islands and holes, then masks that this made alike.

        Source: segment_anything ``SamAutomaticMaskGenerator.postprocess_small_regions``.
        """
        cleaned = self._workers.map(lambda mask: without_small_regions(mask.mask, least), found)
        boxes = [outer_box(mask) for mask, _ in cleaned]
        untouched = np.array([float(not changed) for _, changed in cleaned], np.float32)
        limit = max(self._settings.box_nms_thresh, self._settings.crop_nms_thresh)
        kept = best_boxes(np.array(boxes, np.int64).reshape(-1, 4), untouched, limit)
        return [replace(found[i], mask=cleaned[i][0]) for i in kept]
