"""The kernel for CUDA against its twin for the host, in Triton's interpreter: no GPU is needed.

The interpreter must be chosen before Triton is imported, so it runs in a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.models

pytest.importorskip("triton", reason="this torch brings no Triton")

_CHECKS = """
import numpy as np, torch
from pipeline.engines.fast_sam import triton_kernel
from pipeline.engines.fast_sam.interpolation import Frame, Interpolator
from pipeline.engines.fast_sam.on_device import agrees
from test_fast_sam_triton import shapes, whole_masks

torch.set_num_threads(1)  # the interpreter serves one thread at a time
scan, cpu = triton_kernel.scan, torch.device("cpu")
assert agrees(scan, cpu)

cases = [
    (8, 4, Frame(16, (16, 9), (5, 3))),
    (8, 4, Frame(16, (1, 16), (1, 20))),
    (8, 8, Frame(16, (16, 16), (16, 16))),
    (16, 8, Frame(32, (20, 32), (20, 32))),
    (32, 8, Frame(32, (32, 17), (70, 37))),
    (32, 16, Frame(40, (40, 40), (19, 19))),
]
for seed, (tile, side, frame) in enumerate(cases):
    triton_kernel._BAND = triton_kernel._WIDE = tile
    masks = shapes(seed, side)
    interpolator = Interpolator(frame, side, -0.5 if seed % 2 else 0.0, 0.7)
    expected = interpolator.figures(masks)
    figures = scan(interpolator, torch.from_numpy(masks))
    assert expected[:, 0].any() and not expected[:, 0].all()
    np.testing.assert_array_equal(figures.numpy(), expected, str((side, frame)))
assert scan(interpolator, torch.zeros(0, side, side)).shape == (0, 6)
print("same figures")

ours, expected = whole_masks(scan), whole_masks(None)
assert ours == expected and all(len(masks) > 1 for masks in ours), (ours, expected)
print("same masks")
"""


_SIZES: dict[str, Any] = {
    "image_size": 80,
    "patch_size": 16,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "window": 3,
    "global_attention": [0],
    "prompt_width": 16,
    "decoder_mlp": 16,
    "decoder_heads": 2,
    "iou_hidden": 16,
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}


def shapes(seed: int, side: int) -> Any:
    """Masks of all kinds: noise, a smooth one, an empty and a full one, one that is no number."""
    random = np.random.default_rng(seed)
    noise = random.normal(-1, 3, (2, side, side))
    ramp = np.add.outer(np.arange(side), np.arange(side)) - random.uniform(0, 2 * side)
    flat = [np.full((side, side), value) for value in (-9.0, 9.0, np.nan)]
    return np.stack([*noise, ramp, *flat]).astype(np.float32)


def whole_masks(scan: Any, offset: float = 0.005) -> list[list[tuple[str, float, float]]]:
    """Masks of two images that share their batches, measured by ``scan``, or else by the host."""
    import torch

    from pipeline.config import SegmentAnythingConfig
    from pipeline.engines.fast_sam import MaskGenerator
    from pipeline.engines.tiny import build_tiny_sam

    torch.manual_seed(1)
    model = build_tiny_sam(_SIZES).eval()
    config = SegmentAnythingConfig(
        engine="segment_anything",
        model="./.",
        points_per_side=2,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.3,
        stability_score_offset=offset,
        box_nms_thresh=1.0,
    )
    generator = MaskGenerator(model, config, torch.float32)
    generator.images_at_once = 2
    generator._finder._scan = scan
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, size, np.uint8) for size in ((30, 44, 3), (52, 17, 3))]
    with torch.inference_mode():
        found = generator.generate_all(images, 3)
    return [
        [(mask.mask.counts, mask.stability, mask.predicted_iou) for mask in one] for one in found
    ]


def test_the_device_measures_what_the_host_does() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CHECKS],
        cwd=Path(__file__).parent,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["same figures", "same masks"], done.stderr


def test_a_kernel_that_counts_other_pixels_is_found_out() -> None:
    import torch

    from pipeline.engines.fast_sam.on_device import agrees

    def scan(interpolator: Any, logits: Any, more: int) -> Any:
        return torch.from_numpy(interpolator.figures(logits.numpy())) + more

    assert agrees(partial(scan, more=0), torch.device("cpu"))
    assert not agrees(partial(scan, more=1), torch.device("cpu"))


def test_without_a_gpu_the_host_measures() -> None:
    import torch

    from pipeline.engines.fast_sam.on_device import scan_for

    assert scan_for(torch.device("cpu")) is None


def test_a_kernel_that_cannot_be_used_is_said_and_replaced(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from pipeline.engines.fast_sam.on_device import scan_for

    scan_for.cache_clear()
    monkeypatch.setitem(sys.modules, "pipeline.engines.fast_sam.triton_kernel", None)
    assert scan_for(torch.device("cuda")) is None
    assert "measured on the host" in caplog.text
    scan_for.cache_clear()
