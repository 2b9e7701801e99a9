"""A second thread for stages that share no engine with the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class Lane:
    """Does one piece of work after the other, beside the thread that hands them over.

    Leaving the context waits for the piece at work; those not begun are dropped if there was an
    error.
    """

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(1, name)
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._stopped.set()
        self._threads.shutdown(cancel_futures=error is not None)

    @property
    def stopped(self) -> bool:
        """Whether the other thread has given up: work in pieces ends at the next one."""
        return self._stopped.is_set()

    def submit(self, work: Callable[[], None]) -> Future[None]:
        """Hand work over; what it raises comes out of the future."""
        return self._threads.submit(work)
