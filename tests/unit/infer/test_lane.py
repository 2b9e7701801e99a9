"""Text is read beside the other stages, and stops with them."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from functools import partial

import pytest

from pipeline.infer.lane import Lane


def test_what_was_given_is_done_in_order_beside_the_caller() -> None:
    seen: list[tuple[int, bool]] = []
    caller = threading.current_thread()

    def note(number: int) -> None:
        seen.append((number, threading.current_thread() is caller))

    with Lane("beside") as lane:
        for number in range(3):
            lane.submit(partial(note, number))
    assert seen == [(0, False), (1, False), (2, False)]


def test_an_error_ends_it_after_the_piece_it_is_at() -> None:
    begun, go_on = threading.Event(), threading.Event()
    pieces: list[int] = []

    def work(lane: Lane) -> None:
        while not lane.stopping and len(pieces) < 1000:
            pieces.append(len(pieces))
            begun.set()
            go_on.wait(10)

    def interrupted() -> None:
        with Lane("beside") as lane:
            lane.submit(partial(work, lane))
            behind.append(lane.submit(lambda: None))
            begun.wait(10)
            threading.Timer(0.2, go_on.set).start()
            raise KeyboardInterrupt

    behind: list[Future[None]] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert pieces == [0]
    assert behind[0].cancelled()
