"""Candidates of crops: encoded together, their prompts decoded in shared batches, measured.

On a CPU batches go to ``Workers``, a thread each. On CUDA they follow each other: while the device
computes a batch, the host takes in the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import torch  # noqa: TID253
from numpy.typing import NDArray
from segment_anything.utils.transforms import ResizeLongestSide  # noqa: TID253
from torch import Tensor  # noqa: TID253

from pipeline.config import SegmentAnythingConfig
from pipeline.engines.fast_sam.candidates import Box, Candidates, joined
from pipeline.engines.fast_sam.decoder import ImageSide, PromptDecoder, Prompted
from pipeline.engines.fast_sam.encoder import ImageEncoder
from pipeline.engines.fast_sam.interpolation import DeviceScan, Interpolator, Measures
from pipeline.engines.fast_sam.transfers import Download, copy_stream
from pipeline.engines.fast_sam.workers import Workers
from pipeline.errors import ImageRejectedError
from pipeline.reasons import Reason

_SMALL_FRAME: Final = 256
"""Side in pixels up to which a model's products are too small for more than one core."""

Batch: TypeAlias = Sequence[tuple[int, slice]]
"""Prompts that are decoded together: neighbours in a list of searches, with some of their points
each."""


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """A crop of an image to find masks in.

    Attributes:
        box: Where it lies in the image.
        pixels: Scaled to the model's frame, RGB uint8, (h, w, 3).
        points: Prompts, x and y in the crop, (P, 2) float64.
        interpolator: From the model's masks to the crop.
    """

    box: Box
    pixels: NDArray[np.uint8]
    points: NDArray[np.float64]
    interpolator: Interpolator


@dataclass(frozen=True, slots=True, eq=False)
class _Encoded:
    searches: Sequence[Search]
    shared: ImageSide


class Finder:
    """Encoder, decoder, thresholds.

    Args:
        encoder: Encodes crops.
        decoder: Decodes prompts.
        settings: Thresholds on the predicted IoU and on stability.
        device: Of the model.
        workers: Share the prompts on a CPU.
        scan: Measures masks on the device; without it the host does.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        decoder: PromptDecoder,
        settings: SegmentAnythingConfig,
        device: torch.device,
        workers: Workers,
        scan: DeviceScan | None = None,
    ) -> None:
        self._encoder, self._decoder, self._workers = encoder, decoder, workers
        self._floor = settings.pred_iou_thresh
        self._steady = settings.stability_score_thresh
        self._device, self._scan, self._copies = device, scan, copy_stream(device)
        self._small = encoder.side <= _SMALL_FRAME and device.type == "cpu"
        self._place = ResizeLongestSide(encoder.side).apply_coords

    def find(self, searches: Sequence[Search], at_once: int) -> list[Candidates]:
        """Find what passes the thresholds.

        Args:
            searches: Crops that are encoded together.
            at_once: Most prompts decoded together.

        Returns:
            Per crop, in the order of its prompts.

        Raises:
            ImageRejectedError: The model answered with NaN for one of them.
        """
        pixels = [search.pixels for search in searches]
        encode = self._workers.apart if self._small else _call
        group = _Encoded(searches, encode(self._share, pixels))
        batches = batched([len(search.points) for search in searches], at_once)
        if self._device.type == "cpu":
            asked = self._workers.map(lambda batch: self._in_turn(group, [batch]), batches)
            found = [part for parts in asked for part in parts]
        else:
            found = self._in_turn(group, batches)
        return [joined([part for n, part in found if n == i]) for i in range(len(searches))]

    def _share(self, pixels: Sequence[NDArray[np.uint8]]) -> ImageSide:
        return self._decoder.share(self._encoder.encode(pixels))

    def _in_turn(self, group: _Encoded, batches: Sequence[Batch]) -> list[tuple[int, Candidates]]:
        """Decode and measure batches; gives candidates with the number of their search."""
        found: list[tuple[int, Candidates]] = []
        before: tuple[Batch, Download] | None = None
        for batch in batches:
            prompted = self._attended(group, batch)
            if before:
                found += self._measured(group, *before)
            before = batch, self._drawn(group, batch, prompted)
        return found + self._measured(group, *before) if before else found

    def _attended(self, group: _Encoded, batch: Batch) -> Prompted:
        asked = [(group.searches[number], points) for number, points in batch]
        placed = [self._place(s.points[points], s.interpolator.size) for s, points in asked]
        side = group.shared.asked(batch[0][0], [len(points) for points in placed])
        return self._decoder.attend(
            side, torch.as_tensor(np.concatenate(placed), device=self._device)
        )

    def _drawn(self, group: _Encoded, batch: Batch, prompted: Prompted) -> Download:
        """Draw what passes the gate: logits, scores, rows of prompts, and figures if made there.

        Raises:
            ImageRejectedError: The model answered with NaN.
        """
        scores = self._decoder.scores(prompted)
        if not bool(torch.isfinite(scores).all()):
            raise ImageRejectedError(Reason.NAN_OUTPUT, "the model's predicted IoU is NaN")
        kept = (
            scores > self._floor if self._floor > 0 else torch.ones_like(scores, dtype=torch.bool)
        )
        drawn = [self._decoder.logits(prompted, kept), scores[kept], kept.nonzero()[:, 0]]
        if self._scan is not None:
            counts = [int(part.sum()) for part in kept.split(_sizes(batch))]
            scans = [partial(self._scan, group.searches[n].interpolator) for n, _ in batch]
            parts = zip(scans, drawn[0].split(counts), strict=True)
            drawn.append(torch.cat([scan(logits) for scan, logits in parts]))
            drawn = self._only_steady(drawn)
        return Download(drawn, self._copies)

    def _only_steady(self, drawn: list[Tensor]) -> list[Tensor]:
        counts = drawn[-1][:, :2].float()
        steady = counts[:, 0] / counts[:, 1] >= self._steady
        return [values[steady] for values in drawn] if self._steady > 0 else drawn

    def _measured(
        self, group: _Encoded, batch: Batch, drawn: Download
    ) -> list[tuple[int, Candidates]]:
        logits, scores, rows, *figures = drawn.wait()
        found, begin = [], 0
        for (number, points), size in zip(batch, _sizes(batch), strict=True):
            search = group.searches[number]
            mine = slice(*np.searchsorted(rows, [begin, begin + size]))
            measures = (
                Measures.of(figures[0][mine])
                if figures
                else search.interpolator.measure(logits[mine])
            )
            asked = search.points[points][rows[mine] - begin]
            candidates = Candidates(
                logits[mine], scores[mine], measures.stability, measures.boxes, asked
            )
            if self._steady > 0:
                candidates = candidates.only(measures.stability >= self._steady)
            found.append((number, candidates))
            begin += size
        return found


def batched(counts: Sequence[int], at_once: int) -> list[Batch]:
    """Share the prompts of neighbouring searches out to batches, in their order.

    Args:
        counts: Prompts per search.
        at_once: Most prompts in a batch.
    """
    batches: list[list[tuple[int, slice]]] = []
    room = 0
    for number, count in enumerate(counts):
        start = 0
        while start < count:
            if not room:
                batches.append([])
                room = at_once
            end = min(count, start + room)
            batches[-1].append((number, slice(start, end)))
            room -= end - start
            start = end
    return list(batches)


def _sizes(batch: Batch) -> list[int]:
    return [points.stop - points.start for _, points in batch]


def _call(work: Any, item: Any) -> Any:  # noqa: ANN401
    return work(item)
