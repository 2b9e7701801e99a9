"""Libraries are silenced; the process is as it was before."""

from __future__ import annotations

import logging
import threading
import warnings

import pytest

from pipeline.engines.quiet import quiet


def test_warnings_are_ignored_inside_only() -> None:
    with quiet():
        warnings.warn("noise", UserWarning, stacklevel=1)
    with pytest.raises(UserWarning, match="signal"):
        warnings.warn("signal", UserWarning, stacklevel=1)


def test_handlers_a_library_adds_are_taken_away_and_others_stay() -> None:
    root, own, added = logging.getLogger(), logging.NullHandler(), logging.NullHandler()
    root.addHandler(own)
    try:
        before = list(root.handlers)
        with quiet():
            root.addHandler(added)
        assert root.handlers == before
    finally:
        root.removeHandler(own)


def test_an_error_leaves_nothing_behind() -> None:
    before = warnings.filters[:]
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert warnings.filters == before


def test_two_threads_that_overlap_leave_nothing_behind() -> None:
    before = warnings.filters[:]
    inside, leave = threading.Event(), threading.Event()

    def second() -> None:
        with quiet():
            inside.set()
            leave.wait(10)
            warnings.warn("still inside", UserWarning, stacklevel=1)

    thread = threading.Thread(target=second)
    with quiet():
        thread.start()
        assert inside.wait(10)
    leave.set()
    thread.join()
    assert warnings.filters == before
