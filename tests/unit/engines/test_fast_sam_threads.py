"""Threads, batches and copies of the fast path: how work is shared out must not show in answers."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.models


@pytest.fixture
def threads() -> Any:
    """Set torch's threads, and put them back.

    Yields:
        ``torch.set_num_threads``.
    """
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 3])
def test_work_is_answered_in_order_with_one_torch_thread_each(threads: Any, count: int) -> None:
    import torch

    from pipeline.engines.fast_sam.workers import Workers

    threads(count)

    def work(item: int) -> tuple[int, int, bool]:
        return item, torch.get_num_threads(), torch.is_inference_mode_enabled()

    workers = Workers()
    with torch.inference_mode():
        assert workers.map(work, range(20)) == [(n, 1, True) for n in range(20)]
        assert workers.apart(work, 7) == (7, 1, True)
    assert torch.get_num_threads() == count
    with_a_thread_of_its_own: list[int] = []
    later = threading.Thread(
        target=lambda: with_a_thread_of_its_own.append(torch.get_num_threads())
    )
    later.start()
    later.join()
    assert with_a_thread_of_its_own == [count], "threads that begin later have what the caller has"


def test_workers_are_bounded_and_follow_torchs_setting(threads: Any) -> None:
    from pipeline.engines.fast_sam.workers import Workers

    def who(_item: int) -> str:
        return threading.current_thread().name

    workers = Workers(most=2)
    threads(4)
    assert len(set(workers.map(who, range(50)))) <= 2
    threads(1)
    assert set(workers.map(who, range(5))) == {threading.current_thread().name}


def test_a_worker_may_share_out_work_itself(threads: Any) -> None:
    from pipeline.engines.fast_sam.workers import Workers

    threads(2)
    workers = Workers()
    sums = workers.map(lambda n: sum(workers.map(lambda m: n * m, range(4))), range(6))
    assert sums == [6 * n for n in range(6)]


def test_after_an_error_nothing_runs_on(threads: Any) -> None:
    from pipeline.engines.fast_sam.workers import Workers

    threads(2)
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 0:
            raise ValueError("no memory")
        time.sleep(0.01)  # all of them together take seconds, in which the error must be noticed

    with pytest.raises(ValueError, match="no memory"):
        Workers().map(work, range(1000))
    count = len(begun)
    assert count < 1000
    assert Workers().map(lambda n: n, [1]) == [1]
    assert len(begun) == count


@given(st.lists(st.integers(1, 40), max_size=6), st.integers(1, 50))
def test_batches_hold_every_prompt_once_and_in_order(counts: list[int], at_once: int) -> None:
    from pipeline.engines.fast_sam.finder import batched

    batches = batched(counts, at_once)
    asked = [
        (number, point)
        for batch in batches
        for number, points in batch
        for point in range(points.start, points.stop)
    ]
    assert asked == [(number, n) for number, count in enumerate(counts) for n in range(count)]
    sizes = [sum(points.stop - points.start for _, points in batch) for batch in batches]
    assert all(size == at_once for size in sizes[:-1])
    assert all(0 < size <= at_once for size in sizes)
    for batch in batches:
        assert [number for number, _ in batch] == list(range(batch[0][0], batch[-1][0] + 1))


def test_downloads_wait_for_nothing_on_a_cpu() -> None:
    import torch

    from pipeline.engines.fast_sam.transfers import Download, copy_stream

    assert copy_stream(torch.device("cpu")) is None
    (values,) = Download([torch.arange(3)], None).wait()
    np.testing.assert_array_equal(values, [0, 1, 2])


def test_a_copy_begins_after_the_computation_and_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No GPU is needed to see the order of calls; that CUDA keeps to it, this cannot show."""
    import torch

    from pipeline.engines.fast_sam import transfers

    calls: list[str] = []
    stream: Any = SimpleNamespace(
        device="cuda:0",
        wait_stream=lambda other: calls.append(f"wait for {other}"),
        record_event=lambda: SimpleNamespace(synchronize=lambda: calls.append("synchronize")),
    )
    empty = torch.empty
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"{device}'s own")
    monkeypatch.setattr(torch.cuda, "stream", lambda _stream: nullcontext())

    def pinned(*size: Any, pin_memory: bool, **kind: Any) -> Any:
        assert pin_memory
        return empty(*size, **kind)

    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda *_: calls.append("keep"), raising=False
    )
    download = transfers.Download([torch.arange(4), torch.ones(2, 2)], stream)
    assert calls == ["wait for cuda:0's own", "keep", "keep"]
    first, second = download.wait()
    assert calls[-1] == "synchronize"
    np.testing.assert_array_equal(first, np.arange(4))
    np.testing.assert_array_equal(second, np.ones((2, 2)))
