"""Chunks shrink when memory is short, and nothing else changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engines.batching import is_out_of_memory, run_in_chunks, shrinking
from pipeline.errors import OutOfMemoryError


class Device:
    """Squares numbers, at most ``room`` at a time; padding counts."""

    def __init__(self, room: int, error: type[BaseException] = RuntimeError) -> None:
        self.room, self.error = room, error
        self.answered: list[int] = []
        self.freed = 0

    def forward(self, items: Sequence[int], size: int) -> list[int]:
        if size > self.room:
            raise self.error("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.answered.extend(items)
        return [item * item for item in items]

    def free(self) -> None:
        self.freed += 1


@given(n=st.integers(0, 60), size=st.integers(1, 40), room=st.integers(1, 50))
@settings(deadline=None, derandomize=True, max_examples=150)
def test_answers_do_not_depend_on_memory(n: int, size: int, room: int) -> None:
    device, items = Device(room), list(range(n))
    answers, used = run_in_chunks(items, size, device.forward, device.free)
    assert answers == [item * item for item in items]
    assert device.answered == items, "answered twice, or not at all"
    assert used <= max(room, size) if n == 0 else used <= room
    assert (device.freed > 0) == (n > 0 and size > room)


def test_the_size_that_works_is_the_first_half_that_fits() -> None:
    device = Device(room=5)
    assert run_in_chunks(range(20), 16, device.forward, device.free)[1] == 4
    assert device.freed == 2


def test_one_that_does_not_fit_is_an_error() -> None:
    with pytest.raises(OutOfMemoryError, match=r"not even one .* Tried to allocate 2.00 GiB"):
        run_in_chunks([1, 2], 8, Device(room=0).forward)


def test_other_errors_pass_through_at_once() -> None:
    device = Device(room=0, error=ValueError)
    with pytest.raises(ValueError, match="out of memory"):
        run_in_chunks([1, 2], 8, device.forward, device.free)
    assert device.freed == 0


def test_shrinking_says_what_worked() -> None:
    assert shrinking(8, lambda n: Device(3).forward([n], n)) == ([4], 2)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("no room"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
    ],
)
def test_memory_errors_are_recognised(error: BaseException) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), KeyError("out of memory")])
def test_other_errors_are_not(error: BaseException) -> None:
    assert not is_out_of_memory(error)
