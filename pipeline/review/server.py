"""The App's server, in this process: it starts at once, and ends when it is told to."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

from pipeline.errors import ReviewError
from pipeline.review.guard import LOOPBACK, Asgi, Guard, folders_of

_GRACE_SECONDS: Final = 1.0  # open pages hold their event stream for ever; no use in waiting
_POLL_SECONDS: Final = 0.05
_SERVER_SETTINGS: Final = {
    "FIFTYONE_SERVER": "1",
    # Watches a store of FiftyOne's that nothing here uses, and takes seconds to stop.
    "FIFTYONE_EXECUTION_STORE_NOTIFICATION_SERVICE_DISABLED": "true",
}


class AppError(ReviewError):
    """The App cannot be opened."""


def listen(address: str, port: int) -> socket.socket:
    """Take a port, before anything that lasts is begun.

    Args:
        address: Name or number of an address of this machine.
        port: The port; 0 for a free one.

    Raises:
        AppError: The port is taken, or the address is not one of this machine.
    """
    try:
        found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        family, place = found[0][0], found[0][4]
        return socket.create_server((place[0], port), family=family)
    except OSError as error:
        raise AppError(
            f"cannot listen on {address} port {port}: {error.strerror or error}; "
            "name another with --port, or 0 for any that is free"
        ) from None


def serve(
    listener: socket.socket,
    address: str,
    folders: Sequence[Path],
    ready: Callable[[], None],
) -> None:
    """Serve the App until Ctrl-C or SIGTERM.

    The database's address and the folder of plugins must be set before.

    Args:
        listener: What to accept connections from.
        address: What it is bound to.
        folders: Only files below these are shown.
        ready: Called once the server answers.
    """
    os.environ |= _SERVER_SETTINGS
    import fiftyone as fo

    logging.getLogger("fiftyone").setLevel(logging.WARNING)
    fo.config.singleton_cache = False  # as FiftyOne's own server does: pages ask in many threads
    from fiftyone.server.app import app
    from fiftyone.server.events import set_port

    set_port(listener.getsockname()[1])
    hosts = LOOPBACK if address in LOOPBACK else frozenset[str]()
    guard = Guard(cast("Asgi", app), hosts, folders_of(folders))
    asyncio.run(_serve(guard, listener, ready))


async def _serve(guard: Guard, listener: socket.socket, ready: Callable[[], None]) -> None:
    from hypercorn.asyncio import serve as hypercorn_serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415

    config = Config()
    config.bind = [f"fd://{os.dup(listener.fileno())}"]
    config.graceful_timeout = _GRACE_SECONDS
    config.loglevel = "ERROR"
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.ensure_future(
        hypercorn_serve(cast("Any", guard), config, shutdown_trigger=stop.wait)
    )
    if await _answers(serving, listener.getsockname()):
        ready()
    await serving


async def _answers(serving: asyncio.Future[None], place: tuple[Any, ...]) -> bool:
    """Wait until a request gets an answer; False if the server ended instead."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(place[0], place[0])  # noqa: S104
    while not serving.done():
        try:
            reader, writer = await asyncio.open_connection(host, place[1])
            writer.write(b"GET /fiftyone HTTP/1.0\r\nHost: localhost\r\n\r\n")
            line = await reader.readline()
            writer.close()
        except OSError:
            line = b""
        if b" 200 " in line:
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False
