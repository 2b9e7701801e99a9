"""The App's server, in this process: it starts at once, and ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from pipeline.errors import AutolabelError
from pipeline.review.guard import LOOPBACK, Asgi, Guard, folders_of

_GRACE_SECONDS: Final = 1.0  # open pages hold their event stream for ever; no use in waiting
_POLL_SECONDS: Final = 0.05


class AppError(AutolabelError):
    """The App cannot be opened."""


def serve(
    address: str,
    port: int,
    folders: tuple[Path, ...],
    ready: Callable[[], None],
) -> None:
    """Serve the App until Ctrl-C or SIGTERM.

    The database's address and the folder of plugins must be set before fiftyone is imported.

    Args:
        address: Address to listen on.
        port: Port to listen on.
        folders: Only files below these are shown.
        ready: Called once the server answers.

    Raises:
        AppError: The port is taken, or the address is not one of this machine.
    """
    os.environ["FIFTYONE_SERVER"] = "1"
    import fiftyone as fo

    fo.config.singleton_cache = False  # as FiftyOne's own server does: pages ask in many threads
    from fiftyone.server.app import app
    from fiftyone.server.events import set_port

    set_port(port)
    hosts = LOOPBACK if address in LOOPBACK else frozenset[str]()
    guard = Guard(cast("Asgi", app), hosts, folders_of(folders))
    try:
        asyncio.run(_serve(guard, address, port, ready))
    except OSError as error:
        raise AppError(
            f"cannot listen on {address} port {port}: {error.strerror or error}; "
            "name another with --port"
        ) from None


async def _serve(guard: Guard, address: str, port: int, ready: Callable[[], None]) -> None:
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415

    config = Config()
    config.bind = [f"[{address}]:{port}" if ":" in address else f"{address}:{port}"]
    config.graceful_timeout = _GRACE_SECONDS
    config.loglevel = "ERROR"
    stop = asyncio.Event()
    _on_signals(stop.set)
    serving = asyncio.ensure_future(
        hypercorn_serve(cast("Any", guard), config, shutdown_trigger=stop.wait)
    )
    if await _answers(serving, address, port):
        ready()
    await serving


def _on_signals(act: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, act)


async def _answers(serving: asyncio.Future[None], address: str, port: int) -> bool:
    """Wait until a request gets an answer; False if the server ended instead."""
    while not serving.done():
        try:
            reader, writer = await asyncio.open_connection(_reachable(address), port)
            writer.write(b"GET /fiftyone HTTP/1.0\r\nHost: localhost\r\n\r\n")
            line = await reader.readline()
            writer.close()
        except OSError:
            line = b""
        if b" 200 " in line:
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False


def _reachable(address: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104
