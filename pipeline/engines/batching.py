"""Chunks that shrink when the device's memory is too small for them. Knows no library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from pipeline.errors import OutOfMemoryError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

_SIGNS: Final = (
    "out of memory",  # CUDA, MPS, HIP: torch.OutOfMemoryError and plain RuntimeError
    "can't allocate memory",  # torch's CPU allocator
    "not enough memory",  # the same on Windows
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
    "failed to allocate memory",  # onnxruntime
)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that there was too little memory, whoever raised it."""
    if isinstance(error, MemoryError | OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


def shrinking(
    size: int, attempt: Callable[[int], ResultT], free: Callable[[], object] = lambda: None
) -> tuple[ResultT, int]:
    """Try with ``size``, then half of it, and so on, for as long as memory is what is missing.

    Args:
        size: First size, at least 1.
        attempt: Does the work with the given size.
        free: Called before another try, to give cached memory back.

    Returns:
        What ``attempt`` returned, and the size that it worked with.

    Raises:
        OutOfMemoryError: Even size 1 did not fit.
    """
    while True:
        try:
            return attempt(size), size
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if size <= 1:
                raise OutOfMemoryError(
                    f"not even one fits into memory ({error}); use a smaller model or image, "
                    "or `device: cpu`"
                ) from error
        # Outside the handler: inside it the traceback would still hold the attempt's tensors.
        free()
        size //= 2


def run_in_chunks(
    items: Sequence[ItemT],
    size: int,
    forward: Callable[[Sequence[ItemT], int], Sequence[ResultT]],
    free: Callable[[], object] = lambda: None,
) -> tuple[list[ResultT], int]:
    """Answer for all items in their order, in chunks of ``size``, smaller ones if memory is short.

    What was answered before memory ran out is kept.

    Args:
        items: What to answer for.
        size: Chunk size to begin with, at least 1.
        forward: Answers for a chunk; its second argument is the present size, for those that pad
            a short chunk to it.
        free: Called before another try, to give cached memory back.

    Returns:
        The answers, and the size at the end: begin with that one the next time.

    Raises:
        OutOfMemoryError: A single item does not fit.
    """
    answers: list[ResultT] = []
    while len(answers) < len(items):
        start = len(answers)

        def attempt(n: int, start: int = start) -> Sequence[ResultT]:
            """Ask about n items from the start of this chunk."""
            return forward(items[start : start + n], n)

        chunk, size = shrinking(size, attempt, free)
        answers.extend(chunk)
    return answers, size
