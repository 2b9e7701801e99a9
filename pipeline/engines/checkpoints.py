"""Weight files to tensors, without ever running code from a file."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch  # noqa: TID253
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn  # noqa: TID253

from pipeline.engines.quiet import quiet
from pipeline.errors import WeightsError

StateDict: TypeAlias = dict[str, Tensor]

_PARALLEL_PREFIX = "module."


def load_state(path: Path) -> StateDict:
    """Read a checkpoint's tensors to the CPU.

    ``.safetensors`` hold nothing but tensors. Pickles (``.pth``, ``.pt``, ``.bin``) are read by
    torch's restricted unpickler, which refuses anything that could run code.

    Args:
        path: The file; names of tensors lose the ``module.`` of a parallel training.

    Raises:
        WeightsError: The file is no such checkpoint, or carries code.
    """
    try:
        with quiet():
            state = (
                load_file(path)
                if path.suffix == ".safetensors"
                else torch.load(path, map_location="cpu", weights_only=True)
            )
    except (OSError, RuntimeError, EOFError, SafetensorError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"{path} was not loaded: {reason_of(error)}\n"
            "  expected: a checkpoint that holds tensors only; files that hold code are refused"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"{path}: expected named tensors, found {type(state).__name__}")
    return {str(name).removeprefix(_PARALLEL_PREFIX): value for name, value in state.items()}


def reason_of(error: Exception) -> str:
    """Say in one line why a checkpoint was not loaded.

    torch's own first line advises to load the file without restriction; it is left out.
    """
    lines = [line.strip() for line in str(error).splitlines() if "weights_only" not in line]
    said = [line for line in lines if "nsupported " in line] or [line for line in lines if line]
    return f"{type(error).__name__}: {' '.join(said[:2])[:300] or 'the file ends too early'}"


def fill(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Put tensors into a model, every one of them, or say what does not fit.

    Args:
        model: The architecture; keeps its own precision.
        state: What ``load_state`` read.
        path: For the message.

    Raises:
        WeightsError: Names or shapes differ from the model's.
    """
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise WeightsError(
            f"{path} does not fit {type(model).__name__}: {' '.join(lines[1:4])[:300]}\n"
            "  expected: weights of exactly this architecture"
        ) from error
