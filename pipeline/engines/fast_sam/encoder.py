"""The image encoder: the library's layers, with attention that never holds a bias matrix.

Stock attention writes heads x tokens x tokens scores, adds relative positions in two more tensors
of that size, and reads them again: 0.8 GB each for a global layer. Here queries come in bands of
rows, whose bias is made when it is needed and small enough for a cache.
"""

from __future__ import annotations

from types import MethodType
from typing import Any, Final

import numpy as np
import torch  # noqa: TID253
from numpy.typing import NDArray
from segment_anything.modeling.image_encoder import get_rel_pos  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional  # noqa: TID253

from pipeline.engines.fast_sam.products import linear

_BIAS_BYTES: Final = {"cpu": 2**24, "cuda": 2**28}
"""Bytes of attention bias at a time."""


class ImageEncoder:
    """A model's image encoder, taken over: its layers multiply and attend in our way.

    Args:
        model: A ``segment_anything.modeling.Sam`` on its device, in fp32.
        dtype: Of weights and of everything in between.
    """

    def __init__(self, model: Any, dtype: torch.dtype) -> None:  # noqa: ANN401  untyped
        self._model, self._dtype = model, dtype
        _speed_up(model.image_encoder.to(dtype))

    def encode(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Encode an image whose longer side is the model's.

        Args:
            pixels: RGB, (H, W, 3).

        Returns:
            (1, C, h, w) fp32.
        """
        image = torch.as_tensor(pixels, device=self._model.device).permute(2, 0, 1)
        ready = self._model.preprocess(image.contiguous()[None]).to(self._dtype)
        features: Tensor = self._model.image_encoder(ready)
        return features.float()


def _speed_up(encoder: nn.Module) -> None:
    """Replace how an ``ImageEncoderViT`` multiplies and attends; its weights stay as they are."""
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            _bind(module, _linear)
    for block in encoder.get_submodule("blocks").children():
        _bind(block.get_submodule("attn"), _attend)


def _bind(module: nn.Module, forward: Any) -> None:  # noqa: ANN401
    # Set through __dict__: mypy and torch both mind a method that is assigned to.
    module.__dict__["forward"] = MethodType(forward, module)


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return linear(x, layer.weight, layer.bias)


def _attend(layer: Any, x: Tensor) -> Tensor:  # noqa: ANN401  the library is untyped
    """Attend with decomposed relative positions.

    Args:
        x: (B, H, W, C), windows or whole images.

    Source: segment_anything ``image_encoder.Attention``; Li et al., MViTv2, 2022 (positions).
    """
    batch, height, width, _ = x.shape
    heads, tokens = layer.num_heads, height * width
    q, k, v = layer.qkv(x).view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
    if not layer.use_rel_pos:
        out = functional.scaled_dot_product_attention(q, k, v)
        return layer.proj(out.transpose(1, 2).reshape(batch, height, width, -1))
    down = get_rel_pos(height, height, layer.rel_pos_h).to(x.dtype)
    across = get_rel_pos(width, width, layer.rel_pos_w).to(x.dtype)
    grid = q.reshape(batch, heads, height, width, -1)
    bytes_per_row = batch * heads * width * tokens * x.element_size()
    rows = max(1, min(height, _BIAS_BYTES.get(x.device.type, 2**26) // bytes_per_row))
    out = torch.empty_like(q)
    for top in range(0, height, rows):
        band = grid[:, :, top : top + rows]
        bias = _bias(band, down[top : top + rows], across)
        here = slice(top * width, (top + band.shape[2]) * width)
        out[:, :, here] = functional.scaled_dot_product_attention(
            q[:, :, here], k, v, attn_mask=bias
        )
    return layer.proj(out.transpose(1, 2).reshape(batch, height, width, -1))


def _bias(band: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Relative positions of some rows of queries, (B, heads, queries, keys)."""
    batch, heads, rows, width, _ = band.shape
    vertical = torch.einsum("bnhwc,hkc->bnhwk", band, down)
    horizontal = torch.einsum("bnhwc,wkc->bnhwk", band, across)
    bias = vertical[..., :, None] + horizontal[..., None, :]
    return bias.reshape(batch, heads, rows * width, -1)
