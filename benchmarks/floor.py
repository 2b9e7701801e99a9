"""The least time a machine could need: operations of a graph at the machine's measured peak.

Operations are those of the library's own graph. Ours leaves some of them out, so it can come
close to the floor, or below it, without having reached the peak.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import torch  # noqa: TID253
from torch.nn import functional  # noqa: TID253
from torch.utils.flop_counter import FlopCounterMode  # noqa: TID253

from pipeline.engines.fast_sam.products import linear

_ROWS, _INNER, _COLUMNS, _REPEATS = 2048, 1024, 4096, 3
PROMPTS: Final = 64


def counted(work: Callable[[], object]) -> float:
    """Count the floating-point operations of a call."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def peak(dtype: torch.dtype) -> float:
    """Measure operations per second of a large product with the present number of threads."""
    x, weight = torch.randn(_ROWS, _INNER).to(dtype), torch.randn(_COLUMNS, _INNER).to(dtype)
    # In fp32 torch may have two ways, and the floor is that of the faster one.
    ways = (functional.linear, linear) if dtype is torch.float32 else (functional.linear,)
    seconds = []
    for way in ways * _REPEATS:
        start = time.perf_counter()
        way(x, weight)
        seconds.append(time.perf_counter() - start)
    return 2.0 * _ROWS * _INNER * _COLUMNS / min(seconds)


def sam_operations(architecture: str, prompts: int) -> float:
    """Count what Segment Anything does for one image; nothing is computed.

    Args:
        architecture: ``vit_b``, ``vit_l`` or ``vit_h``.
        prompts: Point prompts decoded.
    """
    from segment_anything import sam_model_registry

    with torch.device("meta"):
        model = sam_model_registry[architecture]().eval()
        grid = model.prompt_encoder.image_embedding_size
        width = model.prompt_encoder.embed_dim
        side = model.image_encoder.img_size
        image, features = torch.empty(1, 3, side, side), torch.empty(1, width, *grid)
        tokens, dense = torch.empty(PROMPTS, 2, width), torch.empty(PROMPTS, width, *grid)
    decoder = model.mask_decoder
    decoding = counted(lambda: decoder(features, features, tokens, dense, multimask_output=True))
    return counted(lambda: model.image_encoder(image)) + decoding * prompts / PROMPTS
