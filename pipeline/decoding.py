"""Decoding in processes that can be killed, because a decoder of hostile bytes can do anything.

Each worker is a process of its own, started from this file's package and not from the caller's
``__main__``. It has a memory limit and the parent holds a time limit; whatever happens in it, the
parent gets an image or a reason. A worker that dies is replaced.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from pipeline import decode_worker
from pipeline.config import InputConfig
from pipeline.errors import AutolabelError, ImageRejectedError
from pipeline.pixels import Decoded
from pipeline.reasons import Reason
from pipeline.records import ImageInfo, SourceFile

_WORKER_MODULE: Final = decode_worker.__name__
_START_SECONDS: Final = 120.0
"""For a worker to import what it needs; generous, as a busy machine takes many times longer."""
_KILL_SECONDS: Final = 5.0
"""For a killed process to go; one that hangs in the kernel (a dead network share) is left there."""
_TRIED_AGAIN: Final = frozenset({Reason.DECODER_CRASHED, Reason.DECODE_OUT_OF_MEMORY})
"""Tried once more on a fresh worker: the cause may be what was decoded before."""

Outcome = Decoded | ImageRejectedError


class DecoderPool:
    """Worker processes that turn source files into pixels.

    A context manager; leaving it ends all workers. Should this process be killed, they end on
    their own. May be used from several threads.

    Args:
        roots: The image folders, in the order that ``SourceFile.root`` counts.
        settings: Limits, treatments and the number of workers.
    """

    def __init__(self, roots: Sequence[Path], settings: InputConfig) -> None:
        self._settings = settings
        self._hello: dict[str, Any] = {
            "roots": [os.path.realpath(root) for root in roots],
            "settings": settings.model_dump(mode="json"),
        }
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(settings.decode_workers):
            self._slots.put(None)  # a worker still to be started
        self._alive: set[_Worker] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._threads = ThreadPoolExecutor(settings.decode_workers, "autolabel-decode")

    def __enter__(self) -> Self:
        """Start all workers; they come up while the caller does something else."""
        try:
            workers = [self._slots.get() for _ in range(self._settings.decode_workers)]
            for worker in workers:
                self._slots.put(worker or self._start())
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all workers; decodes in progress on other threads end with ``RuntimeError``."""
        with self._lock:
            self._closed = True
            workers = list(self._alive)
        for worker in workers:
            self._bury(worker)
        self._threads.shutdown(cancel_futures=True)

    def decode(self, source: SourceFile) -> Decoded:
        """Decode one file; waits for a free worker.

        Raises:
            ImageRejectedError: It cannot be used.
            AutolabelError: No worker can be started.
            RuntimeError: The pool is closed.
        """
        try:
            return self._attempt(source)
        except ImageRejectedError as error:
            if error.reason not in _TRIED_AGAIN:
                raise
        return self._attempt(source, fresh=True)

    def _attempt(self, source: SourceFile, *, fresh: bool = False) -> Decoded:
        self._check_open()
        worker = self._slots.get()
        try:
            if worker is not None and fresh:
                self._bury(worker)
                worker = None
            worker = worker or self._start()
            return worker.decode(source)
        finally:
            if worker is not None and not worker.idle:
                self._bury(worker)
                worker = None
            self._slots.put(worker)

    def stream(self, sources: Iterable[SourceFile]) -> Iterator[tuple[SourceFile, Outcome]]:
        """Decode many files ahead of the consumer, in their order.

        ``sources`` is consumed lazily, at most two files per worker ahead.

        Yields:
            Each source with its image, or with the error that says why there is none.
        """
        supply = iter(sources)
        ahead = 2 * self._settings.decode_workers
        pending: deque[tuple[SourceFile, Future[Outcome]]] = deque()
        try:
            while True:
                for source in islice(supply, ahead - len(pending)):
                    pending.append((source, self._threads.submit(self._outcome, source)))
                if not pending:
                    return
                source, future = pending.popleft()
                yield source, future.result()
        finally:
            for _, future in pending:
                future.cancel()

    def _outcome(self, source: SourceFile) -> Outcome:
        try:
            return self.decode(source)
        except ImageRejectedError as error:
            return error

    def _check_open(self) -> None:
        """Refuse work after the end.

        Raises:
            RuntimeError: The pool is closed.
        """
        if self._closed:
            raise RuntimeError("the decoder pool is closed")

    def _start(self) -> _Worker:
        with self._lock:
            self._check_open()
            worker = _Worker(self._hello, self._settings)
            self._alive.add(worker)
            return worker

    def _bury(self, worker: _Worker) -> None:
        worker.end()
        with self._lock:
            self._alive.discard(worker)


class _Worker:
    """One process; used by one thread at a time.

    Attributes:
        idle: Whether it waits for a request. One that does not, once a decode has ended in
            whatever way, is dead, hangs, has an answer under way or its memory in pieces.
    """

    def __init__(self, hello: dict[str, Any], settings: InputConfig) -> None:
        self.idle = True
        self._settings = settings
        self._ready = False
        self._channel, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = _spawn(theirs)
            except AutolabelError:
                self._channel.close()
                raise
        with contextlib.suppress(OSError):  # it is gone already; the first decode will say why
            decode_worker.send(self._channel, hello)

    def decode(self, source: SourceFile) -> Decoded:
        """Ask for one file.

        Raises:
            ImageRejectedError: It cannot be used, or the worker did not survive it.
            AutolabelError: The worker never came up.
        """
        self.idle = False
        if not self._ready:
            self._await_ready()
        limit = self._settings.decode_seconds
        try:
            _set_timeout(self._channel, limit)
            decode_worker.send(self._channel, asdict(source))
            answer = self._received(decode_worker.receive(self._channel))
        except BlockingIOError as error:
            raise ImageRejectedError(
                Reason.DECODE_TIMEOUT, f"not decoded in {limit:g} s; input.decode_seconds"
            ) from error
        except (EOFError, OSError, ValueError, LookupError, TypeError) as error:
            raise ImageRejectedError(
                Reason.DECODER_CRASHED, f"the decoder process {self._death()}"
            ) from error
        if isinstance(answer, Decoded):
            self.idle = True
            return answer
        self.idle = answer.reason not in _TRIED_AGAIN
        raise answer

    def end(self) -> None:
        """Kill the process and forget it; harmless when repeated."""
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)
        self._close_stderr()
        self._channel.close()

    def _received(self, message: dict[str, Any]) -> Outcome:
        if "reason" in message:
            return ImageRejectedError(Reason(message["reason"]), message["detail"])
        fields = message["info"]
        info = ImageInfo(**{**fields, "notes": tuple(fields["notes"])})
        if not 0 < info.width * info.height <= self._settings.max_pixels:
            raise ValueError(f"an image of {info.width} x {info.height} pixels")
        pixels = np.empty((info.height, info.width, 3), np.uint8)
        decode_worker.receive_into(self._channel, memoryview(pixels.data))
        return Decoded(info, pixels)

    def _await_ready(self) -> None:
        """Wait until the worker has imported what it needs.

        Raises:
            AutolabelError: It has not.
        """
        _set_timeout(self._channel, _START_SECONDS)
        try:
            self._ready = "ready" in decode_worker.receive(self._channel)
        except (EOFError, OSError, ValueError) as error:
            self._process.kill()
            _, said = self._process.communicate()
            raise AutolabelError(
                f"A decoder process did not come up: it {self._death()}. Its last words: "
                f"{said.decode(errors='replace').strip()[-800:] or '(none)'}. "
                f"Try `{sys.executable} -m {_WORKER_MODULE}` by hand."
            ) from error
        self._close_stderr()

    def _close_stderr(self) -> None:
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _death(self) -> str:
        try:
            code = self._process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:
            return "gave an answer that makes no sense"
        if code >= 0:
            return f"ended with exit code {code}"
        return f"was ended by {signal.Signals(-code).name}"


def _spawn(stdin: socket.socket) -> subprocess.Popen[bytes]:
    """Start a worker.

    Raises:
        AutolabelError: The system does not let it.
    """
    try:
        return subprocess.Popen(  # noqa: S603  nothing in it comes from outside
            [sys.executable, "-P", "-m", _WORKER_MODULE],
            stdin=stdin.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_environment(),
            process_group=0,  # Ctrl-C is for the parent, which then ends its workers
        )
    except OSError as error:
        raise AutolabelError(
            f"A decoder process cannot be started with {sys.executable!r}: {error.strerror}. "
            "Check the limits on processes and open files (ulimit -u, ulimit -n)."
        ) from error


def _environment() -> dict[str, str]:
    """Let the worker import what this process imports, and keep it to one thread."""
    here = str(Path(__file__).resolve().parents[1])
    paths = dict.fromkeys([here, *(path for path in sys.path if path)])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _set_timeout(channel: socket.socket, seconds: float) -> None:
    """Bound each wait in the kernel; Python's own time limit would poll and copy in small parts."""
    microseconds = max(1, int(seconds * 1e6))  # 0 would mean no limit
    limit = struct.pack("ll", *divmod(microseconds, 1_000_000))
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
