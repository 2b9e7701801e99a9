"""Threads that compute side by side, each with one of torch's.

Torch spreads a product over its threads and waits for the slowest of them: products that last
microseconds wait longer than they compute, on a busy machine above all. Prompts (and heads) know
nothing of each other; given to a thread each, they wait only once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from threading import Barrier
from typing import Final, TypeVar

import torch  # noqa: TID253

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

MOST: Final = 64
"""Threads at most: each holds a batch of prompts, some 50 MB with the published sizes."""


class Workers:
    """As many threads as torch may use where it is called from; with one, that thread itself.

    Used by one thread at a time. Answers do not depend on how many threads there are.

    Args:
        most: Upper limit on the threads.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most, self._count = most, 1
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[ItemT], ResultT], items: Iterable[ItemT]) -> list[ResultT]:
        """Do the work for all items; answers in their order.

        After an error nothing more is begun, and what runs is waited for: the caller may want to
        try again with the memory that it held.
        """
        pool = self._started(min(torch.get_num_threads(), self._most))
        if pool is None:
            return [work(item) for item in items]
        futures = [pool.submit(_without_gradients, work, item) for item in items]
        wait(futures, return_when=FIRST_EXCEPTION)
        failed = next((f for f in futures if f.done() and f.exception()), None)
        if failed is not None:
            _end(futures)
            failed.result()
        return [future.result() for future in futures]

    def apart(self, work: Callable[[ItemT], ResultT], item: ItemT) -> ResultT:
        """Do work of small products, which are done before a second thread has begun."""
        return self.map(work, [item])[0]

    def _started(self, count: int) -> ThreadPoolExecutor | None:
        if count == 1:
            return None  # also inside of a worker, whose only thread is its own
        if self._pool is None or self._count != count:
            self._pool, self._count = _pool(count), count
        return self._pool


def _pool(count: int) -> ThreadPoolExecutor:
    pool, begun = ThreadPoolExecutor(count, "segment"), Barrier(count + 1)
    before = torch.get_num_threads()

    def begin() -> None:
        """Set torch to one thread in a thread of the pool, and wait for the others."""
        torch.get_num_threads()  # or the first product would overwrite what is set here
        torch.set_num_threads(1)  # for this thread, but also for those that begin later
        begun.wait()

    for _ in range(count):
        pool.submit(begin)
    begun.wait()
    torch.set_num_threads(before)
    return pool


def _without_gradients(work: Callable[[ItemT], ResultT], item: ItemT) -> ResultT:
    with torch.inference_mode():  # holds for a thread
        return work(item)


def _end(futures: list[Future[ResultT]]) -> None:
    for future in futures:
        future.cancel()
    wait(futures)
