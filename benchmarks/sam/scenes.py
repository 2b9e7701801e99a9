"""Scenes with known mask logits, so that random weights give realistic numbers of masks.

The decoder really runs, but its answers are replaced by those of a scene: the signed distance to
the nearest edge of polygons that contain the prompt, smallest first, with smooth noise on it. The
same prompt always gets the same answer, and the time that making it takes is not counted.
"""

from __future__ import annotations

from functools import cached_property

import cv2  # noqa: TID253
import numpy as np
import torch  # noqa: TID253
from numpy.typing import NDArray

from pipeline.records import RgbImage

MODEL_SIDE, SIDE, NOISES = 1024, 256, 16


class Scene:
    """Polygons of three sizes on a noisy image.

    Args:
        seed: Of everything.
        size: Rows and columns of the image.
        shapes: Number of polygons.
    """

    def __init__(self, seed: int, size: tuple[int, int], shapes: int = 110) -> None:
        self.size = size
        self._random = np.random.default_rng(seed)
        big, middling = shapes // 8, shapes // 3
        radii = [(140, 320)] * big + [(50, 140)] * middling
        radii += [(15, 50)] * (shapes - big - middling)
        self._polygons = [self._polygon(*bounds) for bounds in radii]
        self._quality = self._random.beta(6, 1.2, shapes)
        self._steepness = self._random.uniform(1.2, 6, shapes)

    @cached_property
    def image(self) -> RgbImage:
        """The polygons in flat colours under noise."""
        pixels = np.full((*self.size, 3), 120, np.uint8)
        for polygon in self._polygons:
            colour = self._random.integers(0, 255, 3).tolist()
            cv2.fillPoly(pixels, [polygon.astype(np.int32)], colour, lineType=cv2.LINE_AA)
        noise = self._random.normal(0, 12, pixels.shape)
        return np.clip(pixels + noise, 0, 255).astype(np.uint8)

    def answers(self, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], torch.Tensor]:
        """Say which three polygons prompts stand for, and with which predicted IoU.

        Args:
            points: (B, 2), x and y in the model's frame.

        Returns:
            (B, 3) indices, -1 for none, and (B, 3) float32.
        """
        # Other libraries place the same prompt a rounding error away.
        each = [self._answer(x, y) for x, y in points.round(2)]
        scores = torch.tensor([scores for _, scores in each], dtype=torch.float32)
        return np.array([shapes for shapes, _ in each]), scores

    def logits(
        self, points: NDArray[np.float64], shapes: NDArray[np.int64], kept: NDArray[np.bool_]
    ) -> torch.Tensor:
        """Give the logits of those masks (B, 3) that are kept, (kept, 256, 256)."""
        out = torch.empty(int(kept.sum()), SIDE, SIDE)
        placed = points.round(2)
        for mask, (prompt, which) in zip(out, np.argwhere(kept), strict=True):
            x, y = placed[prompt]
            noise = self._noises[int(x * 31 + y * 17) % NOISES]
            shape = shapes[prompt, which]
            if shape >= 0:
                distance = self._distances[shape] * float(self._steepness[shape])
                mask[:] = distance.clamp(-18, 18) + 0.4 * noise
            else:
                mask[:] = 8 - 0.7 * self._away(x / 4, y / 4) + 2.5 * noise
        return out

    def all_logits(self, points: NDArray[np.float64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the logits of all three masks of prompts (B, 2), (B, 3, 256, 256), and scores."""
        shapes, scores = self.answers(points)
        logits = self.logits(points, shapes, np.ones(shapes.shape, np.bool_))
        return logits.view(*shapes.shape, *logits.shape[1:]), scores

    def _answer(self, x: float, y: float) -> tuple[list[int], list[float]]:
        at = min(int(x / 4), SIDE - 1), min(int(y / 4), SIDE - 1)
        around = np.flatnonzero(self._distances[:, at[1], at[0]].numpy() > 0)
        shapes = sorted(around.tolist(), key=lambda shape: int(self._areas[shape]))[:3]
        shapes += [-1] * (3 - len(shapes))
        random = np.random.default_rng(int(x * 7919 + y * 104729))
        sure = [0.72 + 0.3 * self._quality[shape] if shape >= 0 else 0.6 for shape in shapes]
        return shapes, [float(s + random.normal(0, 0.02)) for s in sure]

    def _polygon(self, least: float, most: float) -> NDArray[np.float64]:
        height, width = self.size
        centre = self._random.uniform(0, (width, height))
        corners = self._random.integers(5, 14)
        angles = np.sort(self._random.uniform(0, 2 * np.pi, corners))
        radii = self._random.uniform(least, most) * self._random.uniform(0.55, 1, corners)
        return centre + np.stack([radii * np.cos(angles), radii * np.sin(angles)], 1)

    @cached_property
    def _distances(self) -> torch.Tensor:
        scale = MODEL_SIDE / max(self.size) / 4
        height, width = (int(n * scale) for n in self.size)
        out = []
        for polygon in self._polygons:
            mask = np.zeros((SIDE, SIDE), np.uint8)
            cv2.fillPoly(mask, [(polygon * scale).astype(np.int32)], 1)
            mask[height:], mask[:, width:] = 0, 0
            inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
            out.append(inside - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5))
        return torch.tensor(np.stack(out))

    @cached_property
    def _areas(self) -> NDArray[np.int64]:
        areas: NDArray[np.int64] = (self._distances > 0).sum((1, 2)).numpy()
        return areas

    @cached_property
    def _noises(self) -> torch.Tensor:
        coarse = self._random.normal(0, 1, (NOISES, 12, 12)).astype(np.float32)
        fine = [cv2.resize(n, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for n in coarse]
        return torch.tensor(np.stack(fine))

    @staticmethod
    def _away(x: float, y: float) -> torch.Tensor:
        rows = torch.arange(SIDE, dtype=torch.float32)
        return torch.hypot(rows[None] - x, rows[:, None] - y)
