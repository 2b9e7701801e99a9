"""Automatic masks in the order of the library: crops, prompts, filters, NMS, small regions.

Same settings, same filters in the same order as ``SamAutomaticMaskGenerator``, but boxes come
before pixels: run lengths are made once, for masks that survived everything.
"""

from __future__ import annotations

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
    joined,
    near_edges,
    outer_box,
    without_small_regions,
)
from pipeline.engines.fast_sam.decoder import ImageSide, PromptDecoder
from pipeline.engines.fast_sam.encoder import ImageEncoder
from pipeline.engines.fast_sam.interpolation import Frame, Interpolator
from pipeline.engines.fast_sam.products import one_thread
from pipeline.errors import ImageRejectedError
from pipeline.records import Reason, RgbImage

_PROMPTS_ON_CPU: Final = 32

_SMALL_FRAME: Final = 256
"""Side in pixels up to which a model's products are too small for more than one core."""


class MaskGenerator:
    """A Segment Anything model that finds everything in an image.

    Args:
        model: A ``segment_anything.modeling.Sam`` on its device, in fp32; it is taken over.
        settings: Those of ``SamAutomaticMaskGenerator``.
        dtype: Of the image encoder and of image tokens.
        decoder: Another one than the model's, for measurements.
    """

    def __init__(
        self,
        model: Any,  # noqa: ANN401  untyped
        settings: SegmentAnythingConfig,
        dtype: torch.dtype,
        decoder: PromptDecoder | None = None,
    ) -> None:
        self._settings = settings
        self._levels = float(model.mask_threshold), settings.stability_score_offset
        self._frame = int(model.image_encoder.img_size)
        self._device = model.device
        self._small = self._frame <= _SMALL_FRAME and self._device.type == "cpu"
        self._resize = ResizeLongestSide(self._frame)
        self._decoder = decoder or PromptDecoder(model, dtype)
        self._encoder = ImageEncoder(model, dtype)
        self._grids = build_all_layer_point_grids(
            settings.points_per_side,
            settings.crop_n_layers,
            settings.crop_n_points_downscale_factor,
        )

    def batch_for(self, _image: RgbImage, wanted: int) -> int:
        """Say how many prompts at once fit into memory: no mask is held at the image's size."""
        # Cores are busy with one prompt at a time; more of them only wait in memory.
        return min(wanted, _PROMPTS_ON_CPU) if self._device.type == "cpu" else wanted

    def generate(self, image: RgbImage, points_per_batch: int) -> list[FoundMask]:
        """Find masks.

        Args:
            image: RGB uint8, (H, W, 3).
            points_per_batch: Most prompts decoded at once.

        Raises:
            ImageRejectedError: The model answered with NaN.
        """
        size = image.shape[0], image.shape[1]
        boxes, layers = generate_crop_boxes(
            size, self._settings.crop_n_layers, self._settings.crop_overlap_ratio
        )
        with one_thread(when=self._small):
            crops = [
                self._search(image, tuple(box), self._grids[layer], points_per_batch)
                for box, layer in zip(boxes, layers, strict=True)
            ]
        found = [mask for crop in self._without_duplicates(crops) for mask in crop.masks(size)]
        least = self._settings.min_mask_region_area
        return self._cleaned(found, least) if least else found

    def _search(
        self, image: RgbImage, box: Box, grid: NDArray[np.float64], points_per_batch: int
    ) -> Crop:
        """Find masks in a crop."""
        left, top, right, bottom = box
        pixels = self._resize.apply_image(image[top:bottom, left:right])
        side = self._decoder.side
        inside, size = pixels.shape[:2], (bottom - top, right - left)
        interpolator = Interpolator(Frame(self._frame, inside, size), side, *self._levels)
        shared = self._decoder.share(self._encoder.encode(pixels))
        points = grid * np.array([[size[1], size[0]]])
        batches = [
            self._measured(shared, points[start : start + points_per_batch], interpolator)
            for start in range(0, len(points), points_per_batch)
        ]
        found = joined(batches)
        found = found.only(~near_edges(found.boxes, box, image.shape))
        kept = best_boxes(found.boxes, found.scores, self._settings.box_nms_thresh)
        return Crop(box, interpolator, found.only(kept))

    def _measured(
        self, image: ImageSide, points: NDArray[np.float64], interpolator: Interpolator
    ) -> Candidates:
        """Decode a batch of prompts; give what passes the thresholds.

        Raises:
            ImageRejectedError: The model answered with NaN.
        """
        size = interpolator.size
        placed = torch.as_tensor(self._resize.apply_coords(points, size), device=self._device)
        prompted = self._decoder.attend(image, placed)
        scores = self._decoder.scores(prompted)
        if not bool(torch.isfinite(scores).all()):
            raise ImageRejectedError(Reason.NAN_OUTPUT, "the model's predicted IoU is NaN")
        floor, steady = self._settings.pred_iou_thresh, self._settings.stability_score_thresh
        kept = scores > floor if floor > 0 else torch.ones_like(scores, dtype=torch.bool)
        logits = self._decoder.logits(prompted, kept).cpu().numpy()
        measures = interpolator.measure(logits)
        found = Candidates(
            logits,
            scores[kept].cpu().numpy(),
            measures.stability,
            measures.boxes,
            points[kept.nonzero()[:, 0].cpu().numpy()],
        )
        return found.only(measures.stability >= steady) if steady > 0 else found

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
        cleaned = [without_small_regions(mask.mask, least) for mask in found]
        boxes = [outer_box(mask) for mask, _ in cleaned]
        untouched = np.array([float(not changed) for _, changed in cleaned], np.float32)
        limit = max(self._settings.box_nms_thresh, self._settings.crop_nms_thresh)
        kept = best_boxes(np.array(boxes, np.int64).reshape(-1, 4), untouched, limit)
        return [replace(found[i], mask=cleaned[i][0]) for i in kept]
