"""Attention between a prompt's few tokens and its many image tokens, without projecting the image.

``q (W x) = (q W) x``: a prompt has T = 7 tokens in 8 heads, 56 rows, against 4096 image tokens, so
a projection is cheaper on the other side of the product. Biases of keys are the same for all image
tokens and cancel in a softmax over them; biases of values pass through a weighted mean unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253
from torch.nn import functional  # noqa: TID253

from pipeline.engines.fast_sam.products import batched

_CACHE_BYTES: Final = 2**20
"""Image tokens that a core's cache holds; one prompt of the published sizes has 4 MB of them."""


def prompts_at_once(image: Tensor) -> int:
    """Say how many prompts' copies of the image tokens (1, N, C) to work on together."""
    if image.device.type != "cpu":
        return 2**31  # as many as were asked for: the caller knows the device's memory
    return max(1, _CACHE_BYTES // (image.numel() * image.element_size()))


def along(images: list[Tensor], *values: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Walk over image tokens, and the rows of other tensors that belong to their prompts."""
    sizes = [len(image) for image in images]
    return zip(images, *(value.split(sizes) for value in values), strict=True)


def split(attention: Any, x: Tensor) -> Tensor:  # noqa: ANN401  the library is untyped
    """Cut vectors into those of the heads, (B, N, heads d) → (B, heads, N, d)."""
    return x.view(*x.shape[:2], attention.num_heads, -1).transpose(1, 2).contiguous()


def read_shared(
    attention: Any,  # noqa: ANN401
    tokens: Tensor,
    keys: Tensor,
    values: Tensor,
    counts: Sequence[int],
) -> Tensor:
    """Let the tokens of all prompts on an image look at it, as one long row of queries.

    Args:
        attention: ``segment_anything.modeling.transformer.Attention``.
        tokens: With their positions, (B, T, C).
        keys: Projected tokens of the images, (n, heads, N, d).
        values: The same.
        counts: Prompts per image.

    Returns:
        What is added to the tokens, (B, T, C).
    """
    queries = attention.q_proj(tokens).split(list(counts))
    seen = []
    for rows, k, v in zip(queries, keys.split(1), values.split(1), strict=True):
        q = split(attention, rows.flatten(0, 1)[None]).to(keys.dtype)
        one = functional.scaled_dot_product_attention(q, k, v)
        seen.append(one.transpose(1, 2).reshape(rows.shape))
    out: Tensor = attention.out_proj(torch.cat(seen).to(tokens.dtype))
    return out


def read(attention: Any, tokens: Tensor, images: list[Tensor], positions: Tensor) -> Tensor:  # noqa: ANN401
    """Let the tokens of each prompt look at its own image tokens.

    Args:
        attention: ``segment_anything.modeling.transformer.Attention``.
        tokens: With their positions, (B, T, C).
        images: Image tokens in chunks of prompts, (n, N, C).
        positions: Of image tokens, (1, N, C).

    Returns:
        What is added to the tokens, (B, T, C).
    """
    q = split(attention, attention.q_proj(tokens)) * _scale(attention)
    asked = torch.einsum(
        "bhtd,hdc->bhtc", q, _by_head(attention.num_heads, attention.k_proj.weight)
    )
    asked = asked.flatten(1, 2).to(positions.dtype)
    sums = [
        batched(batched(rows, image + positions).softmax(-1), image.transpose(1, 2))
        for image, rows in along(images, asked)
    ]
    seen = torch.cat(sums).to(tokens.dtype).unflatten(1, (attention.num_heads, -1))
    values = torch.einsum(
        "bhtc,hdc->bthd", seen, _by_head(attention.num_heads, attention.v_proj.weight)
    )
    out: Tensor = attention.out_proj(values.flatten(2) + attention.v_proj.bias)
    return out


class Writing:
    """The image tokens of each prompt look at its few tokens, and are changed by them.

    Args:
        layer: ``segment_anything.modeling.transformer.TwoWayAttentionBlock``.
        tokens: (B, T, C).
        placed: The same with their positions.
        dtype: Of image tokens.
    """

    def __init__(self, layer: Any, tokens: Tensor, placed: Tensor, dtype: torch.dtype) -> None:  # noqa: ANN401
        attention = layer.cross_attn_image_to_token
        self._heads, self._norm, self._dtype = attention.num_heads, layer.norm4, dtype
        self._query = attention.q_proj
        self._asked = split(attention, attention.k_proj(placed)) * _scale(attention)
        self._answers = _answers(attention, tokens).to(dtype)

    def to_shared(self, keys: Tensor, queries: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """Write to images that their prompts share.

        Args:
            keys: Image tokens, (n, N, C).
            queries: Their projections, (n, heads, N, d).
            counts: Prompts per image.

        Returns:
            Image tokens in chunks of prompts, (m, N, C).
        """
        size = prompts_at_once(keys[:1])
        prompts = self._asked.to(self._dtype).split(list(counts)), self._answers.split(list(counts))
        changed = [
            self._change(image, torch.matmul(asked, projected.transpose(2, 3)), answers)
            for image, projected, *own in zip(
                keys.split(1), queries.split(1), *prompts, strict=True
            )
            for asked, answers in zip(*(value.split(size) for value in own), strict=True)
        ]
        # Where a chunk may hold them all, what follows is one product for all images.
        return [torch.cat(changed)] if len(changed) > 1 and sum(counts) <= size else changed

    def to_own(self, images: list[Tensor], positions: Tensor) -> list[Tensor]:
        """Write to image tokens in chunks of prompts, (n, N, C); gives new ones."""
        weight = _by_head(self._heads, self._query.weight)
        folded = torch.einsum("bhtd,hdc->bhtc", self._asked, weight).flatten(1, 2).to(self._dtype)
        offset = torch.einsum("bhtd,hd->bht", self._asked, self._query.bias.view(self._heads, -1))
        changed = []
        for image, rows, shift, answers in along(
            images, folded, offset[..., None].to(self._dtype), self._answers
        ):
            scores = batched(rows, image + positions).unflatten(1, (self._heads, -1))
            changed.append(self._change(image, scores + shift, answers))
        return changed

    def _change(self, image: Tensor, scores: Tensor, answers: Tensor) -> Tensor:
        shares = scores.softmax(2).flatten(1, 2).transpose(1, 2)
        image = torch.baddbmm(image.expand(len(shares), -1, -1), shares, answers)
        weight, bias = self._norm.weight.to(self._dtype), self._norm.bias.to(self._dtype)
        return functional.layer_norm(image, weight.shape, weight, bias, self._norm.eps)


def _answers(attention: Any, tokens: Tensor) -> Tensor:  # noqa: ANN401
    """What a prompt's tokens say to an image token that looks at them alone, (B, heads T, C)."""
    values = split(attention, attention.v_proj(tokens))
    outward = attention.out_proj.weight.unflatten(1, (attention.num_heads, -1))
    answers = torch.einsum("bhtd,chd->bhtc", values, outward)
    # The shares of a head add up to 1: the bias may go with all the tokens of any one head.
    answers[:, 0] += attention.out_proj.bias
    return answers.flatten(1, 2)


def _scale(attention: Any) -> float:  # noqa: ANN401
    return float((attention.internal_dim // attention.num_heads) ** -0.5)


def _by_head(heads: int, weight: Tensor) -> Tensor:
    """Rows of a projection by head, (heads, d, C)."""
    split_rows: Tensor = weight.unflatten(0, (heads, -1))
    return split_rows
