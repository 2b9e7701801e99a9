"""Models to measure with: published sizes with random weights, and the trained tiny one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import torch  # noqa: TID253
from segment_anything import sam_model_registry  # noqa: TID253
from segment_anything.build_sam import _build_sam  # noqa: TID253

from pipeline.config import ModelsConfig
from pipeline.engines.checkpoints import fill, load_state
from pipeline.engines.tiny import build_tiny_sam
from pipeline.weights import ModelFiles, locate

TINY: Final = "tiny-synthetic-sam"
HOLLOW: Final = "hollow"
"""Frame, prompts and decoder of the published sizes behind an encoder of one block."""

SEED: Final = 7


def tiny_files() -> ModelFiles:
    """Locate the trained tiny model."""
    return locate(TINY, ModelsConfig(), Path())


def model_of(architecture: str) -> Any:  # noqa: ANN401  the library is untyped
    """Build a model, the same every time.

    Args:
        architecture: ``vit_b``, ``vit_l``, ``vit_h``, ``HOLLOW`` or ``TINY``.
    """
    if architecture == TINY:
        return _tiny()
    torch.manual_seed(SEED)
    if architecture == HOLLOW:
        return _build_sam(32, 1, 1, [0]).eval()
    return _with_positions(sam_model_registry[architecture]().eval())


def _with_positions(model: Any) -> Any:  # noqa: ANN401
    """Fill what begins as zeros: they would hide errors in the use of positions."""
    with torch.no_grad():
        model.image_encoder.pos_embed.normal_(0, 0.02)
        for block in model.image_encoder.blocks:
            block.attn.rel_pos_h.normal_(0, 0.05)
            block.attn.rel_pos_w.normal_(0, 0.05)
    return model


def _tiny() -> Any:  # noqa: ANN401
    files = {file.path.suffix: file.path for file in tiny_files().files}
    sizes = json.loads(files[".json"].read_text(encoding="utf-8"))["model"]
    model = build_tiny_sam(sizes)
    fill(model, load_state(files[".safetensors"]), files[".safetensors"])
    return model.eval()
