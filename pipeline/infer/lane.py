"""A thread beside the model's thread, for an engine of another library.

Text is read by onnxruntime or EasyOCR while torch segments and embeds: both leave Python alone
while they compute, and neither keeps all cores busy with small images. The first chunk is read
while the other libraries are still being imported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

ResultT = TypeVar("ResultT")


class Lane:
    """One thread that does what it is given, in order; leaving the context stops it soon."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After an error, or on Ctrl-C, what it works on is finished, and no more is begun.
        if error is not None:
            self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=error is not None)

    @property
    def stopping(self) -> bool:
        """Whether work that comes in pieces should end after the present one."""
        return self._stop.is_set()

    def submit(self, work: Callable[[], ResultT]) -> Future[ResultT]:
        """Have something done behind all that was given before."""
        return self._pool.submit(work)
