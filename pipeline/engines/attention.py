"""Looking into the attention of vision transformers, whichever code they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253
from torch.nn import functional  # noqa: TID253

from pipeline.errors import EngineError


@contextmanager
def attention_maps() -> Iterator[list[Tensor]]:
    """Keep the attention maps of every attention that is computed meanwhile.

    Fused attention never forms its map, so it is computed step by step here, to the same result
    within rounding. All attention of torch, open_clip and timm looks this one function up when
    it is called, so it is exchanged for the time being: no other thread may run a model. torch's
    function modes would not do: they are off inside ``nn.MultiheadAttention``.

    Yields:
        A list that grows: (B, heads, queries, keys) each, in the order of the forward pass.
    """
    maps: list[Tensor] = []
    fused, fast = functional.scaled_dot_product_attention, torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # it would pass this function by
    functional.scaled_dot_product_attention = partial(_attend, maps)
    try:
        yield maps
    finally:
        functional.scaled_dot_product_attention = fused
        torch.backends.mha.set_fastpath_enabled(fast)


def _attend(
    maps: list[Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    *_: object,  # dropout and causality: neither is in an image tower that only looks
    scale: float | None = None,
    **__: object,
) -> Tensor:
    logits = query @ key.transpose(-2, -1) * (scale or query.shape[-1] ** -0.5)
    if attn_mask is not None:
        logits = logits + attn_mask
    attention = logits.softmax(-1)
    if torch.is_grad_enabled() and not attention.requires_grad:
        attention.requires_grad_()
    maps.append(attention)
    return attention @ value


@dataclass(frozen=True, slots=True)
class Tower:
    """What of a vision transformer has to be known to follow relevance through it.

    Attributes:
        blocks: Its blocks, in order.
        grid: Rows and columns of patches.
        prefix: Tokens before the patches: class tokens, registers.
        reads: ``first`` token, ``mean`` over the patches, or ``pool``: attention of its own.
        pooled_query: With ``pool``: the query whose answer is the image vector.
        dense: Final tokens (N, D) → vectors in the space of texts, each token as if it were all
            that there is.
    """

    blocks: Any
    grid: tuple[int, int]
    prefix: int
    reads: str
    dense: Callable[[Tensor], Tensor]
    pooled_query: int = 0

    def __post_init__(self) -> None:
        if self.reads not in {"first", "mean", "pool"}:
            raise EngineError(f"an image tower that reads its tokens by {self.reads!r}")


def patch_vectors(model: Any, tower: Tower, pixels: Tensor) -> Tensor:  # noqa: ANN401  untyped
    """Say what each patch's last token says by itself.

    Args:
        model: The open_clip model that the tower belongs to.
        tower: Its image tower.
        pixels: (B, 3, H, W), as the model sees them.

    Returns:
        (B, patches, D) fp32, unit length, in the space of texts.

    Source: dense features of Zhou et al. 2022 (MaskCLIP), with the whole last block.
    """
    kept: list[Tensor] = []
    hook = tower.blocks[-1].register_forward_hook(lambda _m, _i, out: kept.append(out))
    try:
        model.encode_image(pixels)
    finally:
        hook.remove()
    vectors = [tower.dense(tokens[tower.prefix :]) for tokens in kept[0]]
    return functional.normalize(torch.stack(vectors).float(), dim=-1)


def tower_of(visual: Any, name: str) -> Tower:  # noqa: ANN401  open_clip is untyped
    """Describe a model's image tower.

    Args:
        visual: The ``visual`` of an open_clip model.
        name: Of the model, for the message.

    Raises:
        EngineError: It is not a vision transformer, or one that is read in an unknown way.
    """
    if hasattr(visual, "transformer") and hasattr(visual, "grid_size"):
        tower = _own(visual)
    elif hasattr(getattr(visual, "trunk", None), "blocks"):
        tower = _timm(visual)
    else:
        tower = None
    if tower is None:
        inner = getattr(visual, "trunk", visual)
        raise EngineError(
            f"{name}: its image tower is a {type(inner).__name__}, which has no attention between "
            "patches that relevance could be followed through. Expected a vision transformer "
            "(ViT); `--method occlusion` explains any model, at the price of hundreds of passes"
        )
    return tower


def _own(visual: Any) -> Tower | None:  # noqa: ANN401
    reads: str | None = {"tok": "first", "avg": "mean"}.get(visual.pool_type)
    if visual.attn_pool is not None:
        reads = "pool" if visual.attn_pool_contrastive is None and reads == "first" else None

    def dense(tokens: Tensor) -> Tensor:
        """Read (N, C) patch tokens as the tower reads its pooled one; gives (N, D)."""
        # Twice the same token: the first, the mean of all but the first, or what attention makes
        # of both: however the tower reads its tokens, it reads this one.
        pooled, _ = visual._pool(tokens[:, None].expand(-1, 2, -1))  # noqa: SLF001
        vectors: Tensor = pooled if visual.proj is None else pooled @ visual.proj
        return vectors

    if reads is None:
        return None
    return Tower(visual.transformer.resblocks, visual.grid_size, 1, reads, dense)


def _timm(visual: Any) -> Tower | None:  # noqa: ANN401
    trunk = visual.trunk
    reads = {"token": "first", "avg": "mean", "map": "pool"}.get(getattr(trunk, "global_pool", ""))
    grid = getattr(getattr(trunk, "patch_embed", None), "grid_size", None)
    prefix = getattr(trunk, "num_prefix_tokens", None)
    if reads is None or grid is None or prefix is None:
        return None

    def dense(tokens: Tensor) -> Tensor:
        """Read (N, C) patch tokens as if each were what the head pools; gives (N, D)."""
        copies = tokens[:, None].expand(-1, prefix + 1, -1)
        vectors: Tensor = visual.head(trunk.forward_head(trunk.norm(copies)))
        return vectors

    return Tower(trunk.blocks, (int(grid[0]), int(grid[1])), int(prefix), reads, dense)
