"""What a person sees while a run is working: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_SECONDS: Final = 10.0
"""Without a terminal, a line this often: enough to see life, few enough for a log."""

out: Final = Console(highlight=False, soft_wrap=True)
err: Final = Console(stderr=True, highlight=False, soft_wrap=True)


class Reporter(Protocol):
    """A listener that is shown somewhere for as long as its context lasts."""

    def __enter__(self) -> Self:
        """Start showing."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop showing."""

    def phase(self, title: str, total: int | None) -> None:
        """A new piece of work begins."""

    def advance(self, n: int) -> None:
        """So many more items are done."""


class Bars:
    """One progress bar per phase, on stderr."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=err,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._finish()
        self._progress.stop()

    def phase(self, title: str, total: int | None) -> None:
        """Finish the bar of the last phase and begin another."""
        self._finish()
        self._task = self._progress.add_task(title, total=total)

    def advance(self, n: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.advance(self._task, n)

    def _finish(self) -> None:
        # A scan learns its total by ending; its bar would stay open otherwise.
        if self._task is not None:
            done = self._progress.tasks[-1].completed
            self._progress.update(self._task, total=done, completed=done)


class Lines:
    """A line when a phase begins, every few seconds, and when it ends; for logs."""

    def __init__(self) -> None:
        self._title = ""
        self._total: int | None = None
        self._done = 0
        self._last = 0.0
        self._printed = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def phase(self, title: str, total: int | None) -> None:
        """End the last phase with its count and begin another."""
        self._end()
        self._title, self._total, self._done = title, total, 0
        self._last = time.monotonic()

    def advance(self, n: int) -> None:
        """Count, and say so once in a while."""
        self._done += n
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            self._print()

    def _end(self) -> None:
        if self._title:
            self._print()
        self._title = ""

    def _print(self) -> None:
        total = "" if self._total is None else f"/{self._total}"
        line = f"{self._title}: {self._done}{total}"
        if line != self._printed:
            err.print(line, markup=False)
        self._printed = line


def reporter() -> Reporter:
    """Give what suits where stderr goes."""
    return Bars() if sys.stderr.isatty() else Lines()
