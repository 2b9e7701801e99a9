"""Which parts of an image speak for a text: relevance maps for models of open_clip.

A text is any direction in the space of vectors: a class, a prompt, or the difference of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch  # noqa: TID253
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253
from torch.nn import functional  # noqa: TID253

from pipeline.engines.attention import Tower, attention_maps, patch_vectors, tower_of
from pipeline.engines.openclip import OpenClipEmbedder
from pipeline.errors import EngineError
from pipeline.records import RgbImage, Vectors
from pipeline.relevance import Fading, Field, Method, RelevanceMap

_WINDOW: Final = 2
"""Side of what occlusion covers, in cells: one cell alone leaves an object recognisable."""

_BLIND_GRID: Final = 14
"""Cells per side where a model has no grid of its own."""

_STEPS: Final = 16
_LEAST_GAIN: Final = 0.02
"""Cosine by which the image must fit a text better than an empty one: less is rounding."""

_BATCH: Final = 32


class ClipRelevance:
    """Explains what a loaded embedder sees. In fp32, whatever precision it embeds with.

    Args:
        embedder: The engine of ``stages.embed``; is left as it is.
    """

    def __init__(self, embedder: OpenClipEmbedder) -> None:
        self._embedder = embedder
        self._visual: Any = embedder.model.visual
        self._size = embedder.input_size

    def maps(
        self, image: RgbImage, texts: Vectors, method: Method = Method.CHEFER
    ) -> list[RelevanceMap]:
        """Make one map per text.

        Args:
            image: Upright RGB of any size.
            texts: (N, D), directions in the space of the model's vectors.
            method: How.

        Returns:
            N maps in the frame of the image.

        Raises:
            EngineError: The method needs a vision transformer, and the model is none.
        """
        pixels = self._embedder.pixels([image])
        directions = torch.from_numpy(np.ascontiguousarray(texts)).to(pixels)
        make: dict[Method, Callable[[Tensor, Tensor], Tensor]] = {
            Method.CHEFER: self._chefer,
            Method.DENSE: self._dense,
            Method.OCCLUSION: self._occlusion,
            Method.ROLLOUT: self._rollout,
        }
        frame = self._embedder.frame(image)
        cells = make[method](pixels, directions).detach().cpu().numpy()
        return [RelevanceMap(one, frame) for one in cells]

    def fade(self, image: RgbImage, text: NDArray[np.float32], cells: Field) -> Fading | None:
        """Take the image away and bring it back, the most relevant cells first.

        Args:
            image: Upright RGB of any size.
            text: (D,), a direction in the space of the model's vectors.
            cells: (rows, columns), the order: highest first.

        Returns:
            None where the text fits the image no better than an empty one: then there is
            nothing to lose.
        """
        pixels = self._embedder.pixels([image])
        direction = torch.from_numpy(np.ascontiguousarray(text[None])).to(pixels)
        rank = np.empty(cells.size, np.int64)
        rank[np.argsort(-cells.ravel(), kind="stable")] = np.arange(cells.size)
        edges = np.linspace(0, cells.size, _STEPS + 1)
        gone = torch.from_numpy(rank.reshape(cells.shape)[None] < edges[:, None, None])
        cover = functional.interpolate(gone[:, None].to(pixels), self._size, mode="nearest")
        left = self._scores(pixels * (1 - cover), direction)[:, 0]
        blurred = _blurred(pixels)
        back = self._scores(blurred + cover * (pixels - blurred), direction)[:, 0]
        return _fading(left, back)

    def _tower(self) -> Tower:
        return tower_of(self._visual, self._embedder.info.model)

    def _scores(self, pixels: Tensor, directions: Tensor) -> Tensor:
        """(B, N) cosines."""
        with torch.no_grad():
            rows = [self._cosines(part, directions) for part in torch.split(pixels, _BATCH)]
        return torch.cat(rows)

    def _cosines(self, pixels: Tensor, directions: Tensor) -> Tensor:
        vectors = functional.normalize(self._embedder.model.encode_image(pixels), dim=-1)
        return vectors @ directions.T

    def _attended(self, pixels: Tensor, directions: Tensor, tower: Tower) -> tuple[Tensor, Any]:
        """Give cosines (1, N), and the attention maps that led to them.

        Raises:
            EngineError: Not all attention was seen.
        """
        with attention_maps() as maps:
            cosines = self._cosines(pixels, directions)
        expected = len(tower.blocks) + (tower.reads == "pool")
        if len(maps) != expected:
            raise EngineError(
                f"{self._embedder.info.model}: {len(maps)} attention maps came out of "
                f"{expected} attentions; its attention is computed in an unknown way. "
                "`--method occlusion` explains any model"
            )
        return cosines, maps

    def _chefer(self, pixels: Tensor, directions: Tensor) -> Tensor:
        """Gradient x attention through all layers.

        Source: Chefer et al. 2021, "Generic Attention-model Explainability", equations 5-6.
        """
        tower = self._tower()
        with torch.enable_grad():
            cosines, maps = self._attended(pixels, directions, tower)
            out = []
            for cosine in cosines[0]:
                gradients = torch.autograd.grad(cosine, maps, retain_graph=True)
                weighted = [
                    (a * g)[0].clamp(min=0).mean(0) for a, g in zip(maps, gradients, strict=True)
                ]
                out.append(_followed(weighted, tower, _added))
        return torch.stack(out).detach()

    def _rollout(self, pixels: Tensor, directions: Tensor) -> Tensor:
        """Attention through all layers; the same for every text.

        Source: Abnar & Zuidema 2020, "Quantifying Attention Flow in Transformers".
        """
        tower = self._tower()
        with torch.no_grad():
            _, maps = self._attended(pixels, directions, tower)
            cells = _followed([one[0].mean(0) for one in maps], tower, _averaged)
        return cells.expand(len(directions), -1, -1)

    def _dense(self, pixels: Tensor, directions: Tensor) -> Tensor:
        """How well each patch's final token fits the text by itself.

        Source: dense features of Zhou et al. 2022 (MaskCLIP), with the whole last block.
        """
        tower = self._tower()
        with torch.no_grad():
            vectors = patch_vectors(self._embedder.model, tower, pixels)[0]
        return (directions @ vectors.T).reshape(-1, *tower.grid)

    def _occlusion(self, pixels: Tensor, directions: Tensor) -> Tensor:
        """How much the score falls when a window around a cell is grey.

        Source: Zeiler & Fergus 2014, "Visualizing and Understanding Convolutional Networks".
        """
        rows, columns = self._grid()
        cells = torch.eye(rows * columns).reshape(-1, 1, rows, columns).to(pixels)
        side = tuple(length // n for length, n in zip(self._size, (rows, columns), strict=True))
        cover = functional.interpolate(cells, self._size, mode="nearest")
        reach = tuple((_WINDOW - 1) * length // 2 for length in side)
        kernel = tuple(2 * r + 1 for r in reach)
        whole = self._scores(pixels, directions)
        falls = [
            whole - self._scores(pixels * (1 - _widened(part, kernel, reach)), directions)
            for part in torch.split(cover, _BATCH)
        ]
        return torch.cat(falls).T.reshape(-1, rows, columns)

    def _grid(self) -> tuple[int, int]:
        try:
            return self._tower().grid
        except EngineError:
            return _BLIND_GRID, _BLIND_GRID


def _widened(cover: Tensor, kernel: tuple[int, ...], reach: tuple[int, ...]) -> Tensor:
    return functional.max_pool2d(cover, kernel, stride=1, padding=reach)


def _followed(
    layers: Sequence[Tensor], tower: Tower, step: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Follow relevance from the image vector down to the patches, (rows, columns)."""
    through = layers[: len(tower.blocks)]
    total = torch.eye(through[0].shape[-1]).to(through[0])
    for layer in through:
        total = step(layer, total)
    match tower.reads:
        case "pool":
            read = layers[-1][tower.pooled_query]
        case "mean":
            read = torch.ones(len(total)).to(total)
            read[: tower.prefix] = 0
        case _:
            read = torch.zeros(len(total)).to(total)
            read[0] = 1
    return (read @ total)[tower.prefix :].reshape(tower.grid)


def _added(layer: Tensor, total: Tensor) -> Tensor:
    return total + layer @ total


def _averaged(layer: Tensor, total: Tensor) -> Tensor:
    return (layer @ total + total) / 2


def _blurred(pixels: Tensor) -> Tensor:
    """So far out of focus that no object is left, yet without edges that look like one."""
    reach = max(1, min(pixels.shape[-2:]) // 6)
    for _ in range(2):
        pixels = functional.avg_pool2d(pixels, 2 * reach + 1, 1, reach, count_include_pad=False)
    return pixels


def _fading(left: Tensor, back: Tensor) -> Fading | None:
    deletion, insertion = _scaled(left.flip(0)), _scaled(back)
    if deletion is None or insertion is None:
        return None
    return Fading(deletion[::-1], insertion)


def _scaled(scores: Tensor) -> tuple[float, ...] | None:
    """Bring scores to 0 at their beginning and 1 at their end."""
    start, end = float(scores[0]), float(scores[-1])
    if end - start < _LEAST_GAIN:
        return None
    shares = (scores - start).div(end - start).clamp(0, 1)
    return tuple(float(share) for share in shares)
