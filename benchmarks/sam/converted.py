"""A ``segment_anything`` model as the one of transformers, with the same weights.

Source of the names: transformers, ``convert_sam_to_hf.py``. The sizes are read off the model, so
that the tiny one can be converted too.
"""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253
from transformers import SamConfig, SamImageProcessor, SamModel  # noqa: TID253

from pipeline.records import RgbImage

_NAMES: Final = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"patch_embed\.proj\.", "patch_embed.projection."),
    (r"\.blocks\.", ".layers."),
    (r"\.norm(\d)\.", r".layer_norm\1."),
    (r"\.norm_final_attn\.", ".layer_norm_final_attn."),
    (r"neck\.0\.", "neck.conv1."),
    (r"neck\.1\.", "neck.layer_norm1."),
    (r"neck\.2\.", "neck.conv2."),
    (r"neck\.3\.", "neck.layer_norm2."),
    (r"point_embeddings\.", "point_embed."),
    (r"mask_downscaling\.0\.", "mask_embed.conv1."),
    (r"mask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"mask_downscaling\.3\.", "mask_embed.conv2."),
    (r"mask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"mask_downscaling\.6\.", "mask_embed.conv3."),
    (r"output_upscaling\.0\.", "upscale_conv1."),
    (r"output_upscaling\.1\.", "upscale_layer_norm."),
    (r"output_upscaling\.3\.", "upscale_conv2."),
    (r"^(.*(?:_mlps\.\d|_head))\.layers\.0\.", r"\1.proj_in."),
    (r"^(.*(?:_mlps\.\d|_head))\.layers\.2\.", r"\1.proj_out."),
    (r"^(.*(?:_mlps\.\d|_head))\.layers\.1\.", r"\1.layers.0."),
)
_GAUSSIAN: Final = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_DECODER_EPSILON: Final = 1e-5
"""What ``segment_anything`` has there; transformers' default is 1e-6."""


def converted(model: Any) -> SamModel:  # noqa: ANN401  the library is untyped
    """Convert a model; heads of three layers, as all published sizes have."""
    state = dict(model.state_dict())
    gaussian = state.pop(_GAUSSIAN)
    renamed = {_renamed(name): value for name, value in state.items()}
    renamed["shared_image_embedding.positional_embedding"] = gaussian
    renamed["prompt_encoder.shared_embedding.positional_embedding"] = gaussian
    theirs = SamModel(_config(model))
    theirs.load_state_dict(renamed, strict=True)
    theirs.train(mode=False)
    return theirs


def processor_of(model: Any) -> SamImageProcessor:  # noqa: ANN401
    """Make the image processor that belongs to a model."""
    side = int(model.image_encoder.img_size)
    return SamImageProcessor(
        size={"longest_edge": side},
        pad_size={"height": side, "width": side},
        image_mean=(model.pixel_mean.flatten() / 255).tolist(),
        image_std=(model.pixel_std.flatten() / 255).tolist(),
    )


def largest_difference(model: Any, theirs: SamModel, image: RgbImage) -> float:  # noqa: ANN401
    """Compare mask logits of one prompt in the middle of a square image of the model's size.

    Returns:
        The largest absolute difference over the largest absolute logit.
    """
    side = int(model.image_encoder.img_size)
    square = np.ascontiguousarray(np.resize(image, (side, side, 3)))
    pixels = torch.as_tensor(square).permute(2, 0, 1)[None].float()
    point = torch.tensor([[[side / 2, side / 3]]])
    with torch.inference_mode():
        ready = model.preprocess(pixels)
        given = model.image_encoder(ready)
        mine = _library_logits(model, given, point)
        answer = theirs(
            pixel_values=ready, input_points=point[None], input_labels=torch.ones(1, 1, 1)
        )
    return float((answer.pred_masks[0] - mine).abs().max() / mine.abs().max())


def _library_logits(model: Any, features: Tensor, point: Tensor) -> Tensor:  # noqa: ANN401
    sparse, dense = model.prompt_encoder(
        points=(point, torch.ones(1, 1, dtype=torch.int)), boxes=None, masks=None
    )
    logits: Tensor = model.mask_decoder(
        image_embeddings=features,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )[0]
    return logits


def _renamed(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _config(model: Any) -> SamConfig:  # noqa: ANN401
    encoder, prompts, decoder = model.image_encoder, model.prompt_encoder, model.mask_decoder
    side, patch = int(encoder.img_size), int(encoder.patch_embed.proj.kernel_size[0])
    width = int(prompts.embed_dim)
    block, layer = encoder.blocks[0], decoder.transformer.layers[0]
    windows = [int(block.window_size) for block in encoder.blocks]
    return SamConfig(
        vision_config={
            "hidden_size": block.attn.qkv.in_features,
            "output_channels": width,
            "num_hidden_layers": len(windows),
            "num_attention_heads": block.attn.num_heads,
            "image_size": side,
            "patch_size": patch,
            "window_size": max(windows),
            "global_attn_indexes": [n for n, window in enumerate(windows) if not window],
            "num_pos_feats": width // 2,
            "mlp_dim": block.mlp.lin1.out_features,
        },
        prompt_encoder_config={
            "hidden_size": width,
            "image_size": side,
            "patch_size": patch,
            "mask_input_channels": prompts.mask_downscaling[3].out_channels,
        },
        mask_decoder_config={
            "hidden_size": width,
            "mlp_dim": layer.mlp.lin1.out_features,
            "num_attention_heads": layer.self_attn.num_heads,
            "iou_head_depth": len(decoder.iou_prediction_head.layers),
            "iou_head_hidden_dim": decoder.iou_prediction_head.layers[0].out_features,
            "layer_norm_eps": _DECODER_EPSILON,
        },
    )
