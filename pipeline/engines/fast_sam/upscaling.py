"""From image tokens to mask logits: up-convolutions as matrix products, for masks that are kept."""

from __future__ import annotations

from typing import Any, Final

import torch  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional  # noqa: TID253

from pipeline.engines.fast_sam.products import linear

_TOKENS_AT_ONCE: Final = {"cpu": 1024}
"""Image tokens worked on together, of one prompt after another: on a CPU what its cache holds."""


class Upscaling:
    """A decoder's ``output_upscaling`` and the product with the mask's weights that follows it.

    A transposed convolution whose stride is its kernel gives every token a square of its own:
    (2, 2, channels) values that depend on this token only.

    Args:
        layers: Convolution, norm, GELU, convolution, GELU.
        grid: Rows and columns of image tokens.
        dtype: Of image tokens.
    """

    def __init__(self, layers: Any, grid: tuple[int, int], dtype: torch.dtype) -> None:  # noqa: ANN401
        first, norm, _, second, _ = layers
        self._first = _as_product(first, dtype)
        self._second = _as_product(second, dtype)
        self._norm = norm.weight.to(dtype), norm.bias.to(dtype), norm.eps
        self._grid = grid

    def draw(self, images: Tensor, weights: Tensor, kept: Tensor) -> Tensor:
        """Draw masks.

        Args:
            images: Image tokens, (n, N, C).
            weights: Of the masks over the channels, (n, masks, c).
            kept: Which masks, (n, masks) bool.

        Returns:
            (kept, 4 h, 4 w) fp32 logits.
        """
        at_once = _TOKENS_AT_ONCE.get(images.device.type, images.shape[1])
        if len(images) == 1:
            weights = weights[:, kept[0]]
        parts = [self._squares(part, weights) for part in images.split(at_once, 1)]
        masks = _arranged(torch.cat(parts, 2).float(), self._grid)
        return masks.flatten(0, 1) if len(images) == 1 else masks[kept]

    def _squares(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """Logits of each token's 4 x 4 pixels, (n, masks, tokens x 16)."""
        x = linear(tokens, *self._first).unflatten(-1, (4, -1))
        weight, bias, eps = self._norm
        x = functional.gelu(functional.layer_norm(x, weight.shape, weight, bias, eps))
        x = functional.gelu(linear(x, *self._second)).view(len(tokens), -1, weights.shape[-1])
        return torch.cat([linear(w, y)[None] for w, y in zip(weights, x, strict=True)])


def _as_product(convolution: nn.ConvTranspose2d, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weights (2 x 2 x out, in) and bias of a transposed convolution with kernel = stride = 2."""
    assert convolution.bias is not None
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
    return weight.to(dtype).contiguous(), convolution.bias.repeat(4).to(dtype)


def _arranged(squares: Tensor, grid: tuple[int, int]) -> Tensor:
    """Put squares in squares, (n, masks, h w 2 2 2 2), in rows: (n, masks, 4 h, 4 w)."""
    n, masks, _ = squares.shape
    nested = squares.view(n, masks, *grid, 2, 2, 2, 2)
    rows = nested.permute(0, 1, 2, 4, 6, 3, 5, 7)
    return rows.reshape(n, masks, 4 * grid[0], 4 * grid[1])
