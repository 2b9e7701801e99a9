"""The mask decoder for many point prompts, on one image or on several.

Exact algebra, nothing is approximated; only the order of additions differs from the library's
(1e-6 in the logits):

* All prompts see the same image until the first layer has written to it: its keys, values and
  queries are projected once, not once per prompt.
* After that no image is projected at all: projections move to the tokens (``attention``).
* The predicted IoU needs the tokens only: masks are drawn for prompts that pass the gate.
* The up-convolutions have stride = kernel, so they are matrix products (``upscaling``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253

from pipeline.engines.fast_sam.attention import Writing, along, read, read_shared, split
from pipeline.engines.fast_sam.upscaling import Upscaling


@dataclass(frozen=True, slots=True, eq=False)
class ImageSide:
    """What all prompts on an image share; i is the image.

    Attributes:
        keys: Image tokens, (n, N, C).
        positions: Their positional encoding, (1, N, C).
        token_keys, token_values: Projections of the first token-to-image attention,
            (n, heads, N, d).
        queries: Projection of the first image-to-token attention, (n, heads, N, d).
        counts: How many of a batch's prompts, one behind the other, each image has; with none
            all of them belong to the only image.
    """

    keys: Tensor
    positions: Tensor
    token_keys: Tensor
    token_values: Tensor
    queries: Tensor
    counts: tuple[int, ...] = ()

    def asked(self, first: int, counts: Sequence[int]) -> ImageSide:
        """Take the images from ``first`` on, each with so many prompts."""
        images = slice(first, first + len(counts))
        return ImageSide(
            self.keys[images],
            self.positions,
            self.token_keys[images],
            self.token_values[images],
            self.queries[images],
            tuple(counts),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Prompted:
    """Some prompts after the transformer.

    Attributes:
        tokens: (B, T, C), fp32: the IoU token, the mask tokens, the prompt's.
        images: Image tokens of all prompts, in chunks (n, N, C).
    """

    tokens: Tensor
    images: list[Tensor]


class PromptDecoder:
    """Segment Anything's prompt encoder, transformer and heads.

    Tokens are always worked on in fp32, of which there are few; image tokens in ``dtype``.

    Args:
        model: A ``segment_anything.modeling.Sam``.
        dtype: Of everything that has the image's size.
    """

    def __init__(self, model: Any, dtype: torch.dtype) -> None:  # noqa: ANN401  untyped
        self._prompts = model.prompt_encoder
        self._heads = model.mask_decoder
        self._transformer = model.mask_decoder.transformer
        self._dtype = dtype
        self._grid = tuple(model.prompt_encoder.image_embedding_size)
        self._upscaling = Upscaling(model.mask_decoder.output_upscaling, self._grid, dtype)
        self._outputs = torch.cat([self._heads.iou_token.weight, self._heads.mask_tokens.weight])

    @property
    def side(self) -> int:
        """Rows and columns of the logits."""
        return 4 * int(self._grid[0])

    @property
    def token_bytes(self) -> int:
        """Bytes of the image tokens that a prompt has to itself, in fp32."""
        return int(self._grid[0] * self._grid[1] * self._prompts.embed_dim * 4)

    def share(self, features: Tensor) -> ImageSide:
        """Compute what all prompts on an image share.

        Args:
            features: The image encoder's answers, (n, C, h, w), fp32.
        """
        dense = self._prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        keys = _as_tokens(features + dense)
        positions = _as_tokens(self._prompts.get_dense_pe())
        placed = keys + positions
        first = self._transformer.layers[0]
        reading, writing = first.cross_attn_token_to_image, first.cross_attn_image_to_token
        return ImageSide(
            keys.to(self._dtype),
            positions.to(self._dtype),
            split(reading, reading.k_proj(placed)).to(self._dtype),
            split(reading, reading.v_proj(keys)).to(self._dtype),
            split(writing, writing.q_proj(placed)).to(self._dtype),
        )

    def attend(self, image: ImageSide, points: Tensor) -> Prompted:
        """Run the transformer.

        Args:
            image: From ``share``.
            points: One foreground point per prompt, (B, 2), x and y in the model's frame.
        """
        counts = image.counts or (len(points),)
        start = self._embed(points)
        tokens, images = start, list[Tensor]()
        for number, layer in enumerate(self._transformer.layers):
            tokens = _among_tokens(layer, tokens, start)
            reading = layer.cross_attn_token_to_image
            if number == 0:
                seen = read_shared(
                    reading, tokens + start, image.token_keys, image.token_values, counts
                )
            else:
                seen = read(reading, tokens + start, images, image.positions)
            tokens = layer.norm2(tokens + seen)
            tokens = layer.norm3(tokens + layer.mlp(tokens))
            writing = Writing(layer, tokens, tokens + start, self._dtype)
            if number == 0:
                images = writing.to_shared(image.keys, image.queries, counts)
            else:
                images = writing.to_own(images, image.positions)
        last = self._transformer.final_attn_token_to_image
        seen = read(last, tokens + start, images, image.positions)
        return Prompted(self._transformer.norm_final_attn(tokens + seen), images)

    def scores(self, prompted: Prompted) -> Tensor:
        """Predict the IoU of each prompt's three masks, (B, 3)."""
        scores: Tensor = self._heads.iou_prediction_head(prompted.tokens[:, 0])
        return scores[:, 1:]

    def logits(self, prompted: Prompted, kept: Tensor) -> Tensor:
        """Draw the masks that are kept.

        Args:
            kept: Which of the masks, (B, 3) bool.

        Returns:
            (kept, 4 h, 4 w) fp32 logits, in the order of the prompts.
        """
        weights = self._mask_weights(prompted.tokens)
        drawn = [
            self._upscaling.draw(image[rows], weight[rows], wanted[rows])
            for image, weight, wanted in along(prompted.images, weights, kept)
            if len(rows := wanted.any(1).nonzero()[:, 0])
        ]
        if drawn:
            return torch.cat(drawn)
        return kept.new_zeros((0, *(4 * n for n in self._grid)), dtype=torch.float32)

    def _embed(self, points: Tensor) -> Tensor:
        labels = torch.ones((len(points), 1), dtype=torch.int, device=points.device)
        prompts, _ = self._prompts(points=(points[:, None], labels), boxes=None, masks=None)
        outputs = self._outputs[None].expand(len(points), -1, -1)
        return torch.cat([outputs, prompts], 1)

    def _mask_weights(self, tokens: Tensor) -> Tensor:
        networks = self._heads.output_hypernetworks_mlps
        each = [networks[i](tokens[:, 1 + i]) for i in range(1, len(networks))]
        return torch.stack(each, 1).to(self._dtype)


def _as_tokens(features: Tensor) -> Tensor:
    return features.flatten(2).transpose(1, 2).contiguous()


def _among_tokens(layer: Any, tokens: Tensor, start: Tensor) -> Tensor:  # noqa: ANN401  untyped
    if layer.skip_first_layer_pe:
        attended = layer.self_attn(tokens, tokens, tokens)
    else:
        placed = tokens + start
        attended = tokens + layer.self_attn(placed, placed, tokens)
    out: Tensor = layer.norm1(attended)
    return out
