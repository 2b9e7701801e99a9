"""Chooses where masks are measured: on a CUDA device with Triton, otherwise on the host."""

from __future__ import annotations

import logging
from functools import cache

import numpy as np
import torch  # noqa: TID253

from pipeline.engines.fast_sam.interpolation import DeviceScan, Frame, Interpolator

_log = logging.getLogger(__name__)


@cache
def scan_for(device: torch.device) -> DeviceScan | None:
    """Give the device's own kernel, if it has one that agrees with the host's.

    Not every torch for CUDA brings Triton, and not every device runs what it compiles: the host
    can always measure.
    """
    if device.type != "cuda":
        return None
    try:
        from pipeline.engines.fast_sam.triton_kernel import scan  # noqa: PLC0415  needs Triton

        if agrees(scan, device):
            return scan
        reason = "it counts other pixels than the host"
    except Exception as error:  # noqa: BLE001  compilers raise whatever they like
        reason = f"{type(error).__name__}: {error}"
    _log.warning("Masks are measured on the host, as the Triton kernel cannot be used: %s", reason)
    return None


def agrees(scan: DeviceScan, device: torch.device) -> bool:
    """Hold a kernel against the host's, on noise, a ramp, a full and an empty mask."""
    random = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(16.0), np.arange(16.0)) - 12
    flat = np.stack([np.full((16, 16), -9.0), np.full((16, 16), 9.0)])
    logits = np.concatenate([random.normal(-1, 3, (3, 16, 16)), ramp[None], flat])
    logits = logits.astype(np.float32)
    for frame in (Frame(64, (64, 48), (90, 67)), Frame(64, (64, 64), (64, 64))):
        interpolator = Interpolator(frame, 16, 0.0, 1.0)
        there = scan(interpolator, torch.from_numpy(logits).to(device)).cpu().numpy()
        if not np.array_equal(there, interpolator.figures(logits)):
            return False
    return True
