"""Architectures of the tiny models in ``data/models/tiny``: toys trained on synthetic scenes.

Only the sizes are ours: the mask model is built from Segment Anything's own classes, and the text
detector answers in the form EasyOCR expects of CRAFT.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch  # noqa: TID253
from segment_anything.modeling import (  # noqa: TID253
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)
from torch import Tensor, nn  # noqa: TID253
from torch.nn import functional  # noqa: TID253

if TYPE_CHECKING:
    from collections.abc import Mapping

_MASK_CHANNELS = 8


def _encoder(config: Mapping[str, Any]) -> nn.Module:
    encoder: nn.Module = ImageEncoderViT(
        depth=config["depth"],
        embed_dim=config["width"],
        img_size=config["image_size"],
        mlp_ratio=4,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        num_heads=config["heads"],
        patch_size=config["patch_size"],
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=list(config["global_attention"]),
        window_size=config["window"],
        out_chans=config["prompt_width"],
    )
    return encoder


def _prompter(config: Mapping[str, Any]) -> nn.Module:
    side = config["image_size"]
    grid = side // config["patch_size"]
    prompter: nn.Module = PromptEncoder(
        embed_dim=config["prompt_width"],
        image_embedding_size=(grid, grid),
        input_image_size=(side, side),
        mask_in_chans=_MASK_CHANNELS,
    )
    return prompter


def _decoder(config: Mapping[str, Any]) -> nn.Module:
    width = config["prompt_width"]
    decoder: nn.Module = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(
            depth=2,
            embedding_dim=width,
            mlp_dim=config["decoder_mlp"],
            num_heads=config["decoder_heads"],
        ),
        transformer_dim=width,
        iou_head_depth=3,
        iou_head_hidden_dim=config["iou_hidden"],
    )
    return decoder


def build_tiny_sam(config: Mapping[str, Any]) -> Sam:
    """Build an untrained Segment Anything model of the given sizes.

    Args:
        config: The ``model`` part of ``sam_config.json``: image_size, patch_size, width, depth,
            heads, window, global_attention, prompt_width, decoder_mlp, decoder_heads, iou_hidden,
            pixel_mean and pixel_std (RGB, 0..255).

    Returns:
        The model on the CPU in fp32, with random weights. It takes RGB in 0..255 through
        ``SamPredictor`` and ``SamAutomaticMaskGenerator`` like the published ones.

    Raises:
        KeyError: A size is missing from ``config``.

    Source: facebookresearch/segment-anything, ``build_sam.py``.
    """
    return Sam(
        _encoder(config),
        _prompter(config),
        _decoder(config),
        pixel_mean=list(config["pixel_mean"]),
        pixel_std=list(config["pixel_std"]),
    )


def _unit(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _down(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(_unit(inputs, outputs, 2), _unit(outputs, outputs, 1))


def _joined(coarse: Tensor, fine: Tensor) -> Tensor:
    grown = functional.interpolate(coarse, size=fine.shape[2:], mode="nearest")
    return torch.cat([grown, fine], 1)


class TinyCraft(nn.Module):
    """A small U-shaped text detector with the call contract of ``easyocr.craft.CRAFT``.

    It finds whole words, so its second channel, CRAFT's link between characters, stays near zero.

    Args:
        width: Channels of the finest level.

    Source: clovaai/CRAFT-pytorch as bundled in EasyOCR 1.7.2, ``craft.py``.
    """

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.down2 = _down(3, width)
        self.down4 = _down(width, 2 * width)
        self.down8 = _down(2 * width, 4 * width)
        self.down16 = _down(4 * width, 6 * width)
        self.up8 = _unit(10 * width, 4 * width, 1)
        self.up4 = _unit(6 * width, 2 * width, 1)
        self.up2 = _unit(3 * width, width, 1)
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Score every second pixel.

        Args:
            images: float (B, 3, H, W), RGB, normalised with ImageNet's mean and deviation.

        Returns:
            Scores (B, ceil(H/2), ceil(W/2), 2) for word core and link, and the features below
            them (B, width, ceil(H/2), ceil(W/2)). Scores are 0..1, or logits while training.
        """
        fine = self.down2(images)
        mid = self.down4(fine)
        coarse = self.down8(mid)
        coarse = self.up8(_joined(self.down16(coarse), coarse))
        features = self.up2(_joined(self.up4(_joined(coarse, mid)), fine))
        logits = self.head(features).permute(0, 2, 3, 1)
        return (logits if self.training else logits.sigmoid()), features
