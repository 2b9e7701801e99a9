"""Copies from a CUDA device that do not stop it; on other devices there is nothing to wait for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch  # noqa: TID253
from numpy.typing import NDArray
from torch import Tensor  # noqa: TID253


class Download:
    """Tensors on their way to the host, through pinned memory and a stream of their own.

    Args:
        tensors: All on one device. What is computed on them until now is waited for there.
        stream: The stream for copies, on CUDA; None elsewhere.
    """

    def __init__(self, tensors: Sequence[Tensor], stream: torch.cuda.Stream | None) -> None:
        self._arrived: torch.cuda.Event | None = None
        if stream is None:
            self._here = [tensor.cpu() for tensor in tensors]
            return
        stream.wait_stream(torch.cuda.current_stream(stream.device))
        with torch.cuda.stream(stream):
            self._here = [_begin(tensor, stream) for tensor in tensors]
            self._arrived = stream.record_event()

    def wait(self) -> list[NDArray[Any]]:
        """Give the arrays, once they are complete."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return [tensor.numpy() for tensor in self._here]


def copy_stream(device: torch.device) -> torch.cuda.Stream | None:
    """Make a stream for copies, on CUDA."""
    return torch.cuda.Stream(device) if device.type == "cuda" else None


def _begin(tensor: Tensor, stream: torch.cuda.Stream) -> Tensor:
    here = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    here.copy_(tensor, non_blocking=True)
    tensor.record_stream(stream)  # its memory is in use until the copy has ended
    return here
