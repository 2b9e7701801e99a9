"""The least time a machine could need: operations of the library's graph at its measured peak."""

from __future__ import annotations

import time

import torch  # noqa: TID253
from segment_anything import sam_model_registry  # noqa: TID253
from torch.utils.flop_counter import FlopCounterMode  # noqa: TID253

from pipeline.engines.fast_sam.products import linear

PROMPTS = 64
ROWS, INNER, COLUMNS, REPEATS = 4096, 768, 3072, 5


def operations(architecture: str, prompts: int) -> float:
    """Count floating-point operations of the library's graph for one image.

    Args:
        architecture: ``vit_b``, ``vit_l`` or ``vit_h``.
        prompts: Point prompts decoded.
    """
    with torch.device("meta"):
        model = sam_model_registry[architecture]().eval()
        grid = model.prompt_encoder.image_embedding_size
        width = model.prompt_encoder.embed_dim
        side = model.image_encoder.img_size
        image, features = torch.empty(1, 3, side, side), torch.empty(1, width, *grid)
        tokens, dense = torch.empty(PROMPTS, 2, width), torch.empty(PROMPTS, width, *grid)
    with FlopCounterMode(display=False) as encoding:
        model.image_encoder(image)
    with FlopCounterMode(display=False) as decoding:
        model.mask_decoder(features, features, tokens, dense, multimask_output=True)
    return float(encoding.get_total_flops() + decoding.get_total_flops() * prompts / PROMPTS)


def peak(dtype: torch.dtype) -> float:
    """Measure operations per second of a large product with the present number of threads."""
    x, weight = torch.randn(ROWS, INNER).to(dtype), torch.randn(COLUMNS, INNER).to(dtype)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        linear(x, weight)
        seconds.append(time.perf_counter() - start)
    return 2.0 * ROWS * INNER * COLUMNS / min(seconds)
