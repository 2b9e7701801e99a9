"""Which device and precision a model runs with. Imports torch only where a GPU can be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from pipeline.errors import EngineError

if TYPE_CHECKING:
    import torch

Device: TypeAlias = Literal["cpu", "cuda", "mps"]
Precision: TypeAlias = Literal["fp32", "bf16"]

_GPU_NODES: Final = ("nvidia[0-9]*", "nvidiactl", "dxg", "kfd")
"""Device files of NVIDIA, of WSL and of AMD; a container without them has no GPU."""


def pick_device(wanted: Literal["auto", "cpu", "cuda", "mps"], *, mps: bool = True) -> Device:
    """Choose the device: ``auto`` takes cuda, else mps, else cpu.

    Args:
        wanted: As in the run file.
        mps: Whether ``auto`` may choose mps; some models need float64, which it lacks.

    Raises:
        EngineError: The device asked for by name is not there.
    """
    match wanted:
        case "cpu":
            return "cpu"
        case "auto":
            if gpu_can_be_here() and _has_cuda():
                return "cuda"
            return "mps" if mps and sys.platform == "darwin" and _has_mps() else "cpu"
        case "cuda" | "mps":
            if not (_has_cuda() if wanted == "cuda" else _has_mps()):
                raise EngineError(
                    f"the run file asks for `device: {wanted}`, but torch finds no {wanted} device "
                    "on this machine; use `device: auto`, or install a torch build for it"
                )
            return wanted


def pick_precision(wanted: Literal["auto", "fp32", "bf16"], device: Device) -> Precision:
    """Choose the precision: ``auto`` is bf16 on a cuda device that has it, fp32 elsewhere."""
    if wanted != "auto":
        return wanted
    return "bf16" if device == "cuda" and _cuda_has_bf16() else "fp32"


def gpu_can_be_here() -> bool:
    """Say, without importing torch, whether asking it about GPUs is worth the seconds."""
    if not sys.platform.startswith("linux"):
        return True
    devices = Path("/dev")
    return any(next(devices.glob(pattern), None) is not None for pattern in _GPU_NODES)


def free_memory(device: Device) -> None:
    """Give memory that torch keeps for later back to the device."""
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()


def autocast(device: Device, precision: Precision) -> torch.autocast:
    """Run what is inside in ``precision``; in fp32 this changes nothing."""
    import torch

    return torch.autocast(device, dtype=torch.bfloat16, enabled=precision == "bf16")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()


def _cuda_has_bf16() -> bool:
    import torch

    # Emulated bf16 is slower than fp32: only what the chip has counts.
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
