"""Store findings from a thread of its own, so that no model waits for a disk."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

from pipeline.infer.stages import OpenStage
from pipeline.records import StageName

FLUSH_FINDINGS: Final = 64
"""Findings of a stage per part: a killed run loses at most this many, and `ls` stays short."""

FLUSH_SECONDS: Final = 10.0
"""Slow models get their findings stored at least this often."""

_Entry = tuple[StageName, str, Any]


class FindingWriter:
    """A bounded queue in front of the store; leaving the context stores all that was put."""

    def __init__(self, stages: Mapping[StageName, OpenStage]) -> None:
        self._stages = stages
        self._queue: queue.Queue[_Entry | None] = queue.Queue(maxsize=2 * FLUSH_FINDINGS)
        self._waiting: dict[StageName, list[tuple[str, Any]]] = {name: [] for name in stages}
        self._last_flush = time.monotonic()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="finding-writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Also on Ctrl-C and on errors: what has been computed is kept.
        self._queue.put(None)
        self._thread.join()
        if error is None:
            self._raise_if_failed()

    def put(self, stage: StageName, key: str, finding: object) -> None:
        """Hand a finding over; blocks while the disk is behind.

        Raises:
            StoreError: An earlier finding could not be stored.
        """
        self._raise_if_failed()
        self._queue.put((stage, key, finding))

    def _raise_if_failed(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (entry := self._queue.get()) is not None:
            self._guarded(self._take, entry)
        self._guarded(self._flush_all)

    def _guarded(self, step: Any, *args: object) -> None:  # noqa: ANN401
        # After a failure the queue is still drained, or the model thread would wait for ever.
        if self._error is None:
            try:
                step(*args)
            except BaseException as error:  # noqa: BLE001  raised again in the model's thread
                self._error = error

    def _take(self, entry: _Entry) -> None:
        stage, key, finding = entry
        self._waiting[stage].append((key, finding))
        if time.monotonic() - self._last_flush > FLUSH_SECONDS:
            self._flush_all()
        elif len(self._waiting[stage]) >= FLUSH_FINDINGS:
            self._flush(stage)

    def _flush_all(self) -> None:
        for stage in self._waiting:
            self._flush(stage)
        self._last_flush = time.monotonic()

    def _flush(self, stage: StageName) -> None:
        findings, self._waiting[stage] = self._waiting[stage], []
        self._stages[stage].store.append(findings)
