"""Training of the tiny Segment Anything model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from data.train_tiny import sam_eval
from data.train_tiny.runs import Recipe, write_json, write_weights
from data.train_tiny.sam_data import PIXEL_MEAN, PIXEL_STD, Kind, make_batch
from pipeline.engines.tiny import build_tiny_sam

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from data.train_tiny.cache import Sample, SceneCache
    from data.train_tiny.sam_data import Batch

CONFIG: dict[str, Any] = {
    "image_size": 128,
    "patch_size": 8,
    "width": 128,
    "depth": 4,
    "heads": 4,
    "window": 8,
    "global_attention": [1, 3],
    "prompt_width": 64,
    "decoder_mlp": 128,
    "decoder_heads": 4,
    "iou_hidden": 128,
    "pixel_mean": list(PIXEL_MEAN),
    "pixel_std": list(PIXEL_STD),
}
AUTOMATIC: dict[str, Any] = {
    "points_per_side": 16,
    "pred_iou_thresh": 0.6,
    "stability_score_thresh": 0.8,
    "stability_score_offset": 1.0,
    "box_nms_thresh": 0.6,
    "min_mask_region_area": 30,
}
IMAGES = 4
IOU_WEIGHT = 4.0


def _embed_prompts(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - Sam is untyped
    ones = torch.ones(len(batch.points), 1)
    points, _ = model.prompt_encoder(points=(batch.points[:, None], ones), boxes=None, masks=None)
    boxes, dense = model.prompt_encoder(points=None, boxes=batch.boxes, masks=None)
    return torch.where((batch.kinds == Kind.BOX)[:, None, None], boxes, points), dense


def decode(model: Any, features: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - Sam is untyped
    """Decode prompts of several images at once, which the package's own decoder cannot.

    Args:
        model: A ``Sam``.
        features: Image features (B, C, h, w).
        sparse: Prompt tokens (B*K, T, C), image by image.
        dense: Dense prompt embeddings (B*K, C, h, w).

    Returns:
        Mask logits (B*K, 4, 4h, 4w), the single-mask output first, and predicted IoU (B*K, 4).

    Source: facebookresearch/segment-anything, ``MaskDecoder.predict_masks``.
    """
    decoder, count = model.mask_decoder, sparse.shape[0]
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])[None]
    tokens = torch.cat([own.expand(count, -1, -1), sparse], 1)
    source = features.repeat_interleave(count // features.shape[0], 0) + dense
    place = model.prompt_encoder.get_dense_pe().expand(count, -1, -1, -1)
    out, seen = decoder.transformer(source, place, tokens)
    grown = decoder.output_upscaling(seen.transpose(1, 2).reshape(source.shape))
    heads = [mlp(out[:, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)]
    masks = (torch.stack(heads, 1) @ grown.flatten(2)).unflatten(2, grown.shape[2:])
    return masks, decoder.iou_prediction_head(out[:, 0])


def _mask_losses(logits: Tensor, wanted: Tensor) -> Tensor:
    cross = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    right = torch.exp(-cross.detach())
    focal = (cross * (1 - 0.75 * right)).mean((2, 3))
    share = logits.sigmoid()
    overlap = 2 * (share * wanted).sum((2, 3)) + 1
    dice = 1 - overlap / (share.sum((2, 3)) + wanted.sum((2, 3)) + 1)
    return 5 * focal + dice


def _true_iou(logits: Tensor, wanted: Tensor) -> Tensor:
    found, real = logits.detach() > 0, wanted > 0.5  # noqa: PLR2004 - half covered
    return (found & real).sum((2, 3)) / ((found | real).sum((2, 3)) + 1e-6)


class SamTrainee:
    """The tiny mask model with its scenes.

    Args:
        train: Scenes to fit.
        dev: Scenes to score during training.
    """

    recipe = Recipe(peak=1e-3, warmup=50, decay=0.02)

    def __init__(self, train: SceneCache, dev: Sequence[Sample]) -> None:
        self.model = build_tiny_sam(CONFIG)
        self._train, self._dev = train, dev

    def losses(self, rng: np.random.Generator, progress: float) -> Mapping[str, Tensor]:
        """Draw a batch and return the mask loss and the quality loss.

        Background points have no mask to learn, only the quality 0, so that the automatic mask
        generator drops them.

        Args:
            rng: Only source of randomness of the step.
            progress: Unused.

        Returns:
            The loss terms, already weighted.
        """
        del progress
        side = CONFIG["image_size"]
        chosen = [self._train[i] for i in rng.integers(0, len(self._train), IMAGES)]
        batch = make_batch(chosen, rng, side, 4 * side // CONFIG["patch_size"])
        features = self.model.image_encoder(batch.images)
        logits, quality = decode(self.model, features, *_embed_prompts(self.model, batch))
        wanted = batch.masks[:, None].expand_as(logits)
        real = (batch.kinds != Kind.BACKGROUND).float()
        per_mask = _mask_losses(logits, wanted)
        best = 0.8 * per_mask[:, 1:].amin(1) + 0.2 * per_mask[:, 1:].mean(1)
        masks = ((per_mask[:, 0] + best) * real).sum() / real.sum().clamp(min=1)
        target = _true_iou(logits, wanted) * real[:, None]
        return {"mask": masks, "iou": IOU_WEIGHT * functional.mse_loss(quality, target)}

    def evaluate(self) -> dict[str, float]:
        """Score prompts on development scenes through ``SamPredictor``.

        Returns:
            Mean IoU of box and point prompts and the error of the predicted IoU.
        """
        return sam_eval.score_prompts(self.model, self._dev)

    def export(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``sam_config.json``.

        Args:
            folder: An existing folder.
        """
        write_weights(folder / "model.safetensors", self.model)
        write_json(folder / "sam_config.json", {"model": CONFIG, "automatic": AUTOMATIC})
