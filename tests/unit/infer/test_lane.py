"""Text is read beside the other stages, and stops with them."""

from __future__ import annotations

import threading

import pytest

from pipeline.infer.lane import Lane


def test_what_was_given_is_done_in_order_beside_the_caller() -> None:
    seen: list[tuple[int, bool]] = []
    caller = threading.current_thread()
    with Lane("beside") as lane:
        for number in range(3):
            lane.submit(
                lambda n=number: seen.append((n, threading.current_thread() is caller))  # type: ignore[misc]
            )
    assert seen == [(0, False), (1, False), (2, False)]


def test_an_error_ends_it_after_the_piece_it_is_at() -> None:
    begun, go_on = threading.Event(), threading.Event()
    pieces: list[int] = []

    def work() -> None:
        for piece in range(1000):
            if lane.stopping:
                return
            pieces.append(piece)
            begun.set()
            go_on.wait(10)

    with pytest.raises(KeyboardInterrupt), Lane("beside") as lane:
        lane.submit(work)
        behind = lane.submit(lambda: pieces.append(-1))
        begun.wait(10)
        threading.Timer(0.2, go_on.set).start()
        raise KeyboardInterrupt
    assert pieces == [0]
    assert behind.cancelled()
