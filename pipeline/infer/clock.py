"""What a run's wall time went to, when several things happen at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Counts wall time in which an engine is at work, and in which one is only being loaded.

    Used from any thread. Seconds in which two engines work count once.

    Args:
        now: Seconds that never go backwards.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now, self._lock = now, threading.Lock()
        self._asking = self._loading = 0
        self._since = 0.0
        self._busy = self._load = 0.0

    @property
    def busy_seconds(self) -> float:
        """Seconds in which at least one engine was asked something."""
        return self._busy

    @property
    def load_seconds(self) -> float:
        """Seconds in which engines were loaded and none was at work."""
        return self._load

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Count what is inside as work of an engine.

        Yields:
            Nothing.
        """
        self._step(asking=1)
        try:
            yield
        finally:
            self._step(asking=-1)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Count what is inside as loading.

        Yields:
            Nothing.
        """
        self._step(loading=1)
        try:
            yield
        finally:
            self._step(loading=-1)

    def _step(self, asking: int = 0, loading: int = 0) -> None:
        with self._lock:
            now = self._now()
            if self._asking:
                self._busy += now - self._since
            elif self._loading:
                self._load += now - self._since
            self._since = now
            self._asking += asking
            self._loading += loading
