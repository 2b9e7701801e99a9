"""Silence around calls into libraries that warn, or set up logging for the whole process."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_inside: list[object] = []
_restore = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings inside, and take away log handlers that a library put on the root logger.

    ``logging.info``, called as a module function by open_clip, adds one. Warning filters belong to
    the whole process: the first of several threads to come in changes them, the last to leave
    puts them back.

    Yields:
        Nothing.
    """
    before = list(logging.getLogger().handlers)
    token = object()
    with _lock:
        if not _inside:
            _restore.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _inside.append(token)
    try:
        yield
    finally:
        with _lock:
            _inside.remove(token)
            if not _inside:
                _restore.close()
        _keep_handlers(before)


def _keep_handlers(wanted: list[logging.Handler]) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if handler not in wanted:
            root.removeHandler(handler)
