"""A process that decodes: asked over a socket, killed by its parent when it takes too long.

Started by ``pipeline.decoding`` as ``python -P -m pipeline.decode_worker`` with a socket as
standard input. A message is 4 bytes of length, that much JSON, and for a decoded image its pixels.
JSON, not pickle: what comes back from a process that parses hostile bytes is not to be executed.
Settings come as plain values that the parent has checked; pydantic would double the start-up time.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import socket
import struct
from dataclasses import asdict
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, cast

from pipeline.errors import ImageRejectedError
from pipeline.pixels import Decoded, decode
from pipeline.reasons import Reason
from pipeline.roots import open_below, rejection_of, with_retries

if TYPE_CHECKING:
    from pipeline.config import InputConfig

_LENGTH: Final = struct.Struct("<I")
_GRACE_SECONDS: Final = 5.0
"""Beyond the limit that the parent holds; only a worker without a parent lives to see it."""


def send(channel: socket.socket, message: dict[str, Any], pixels: memoryview | None = None) -> None:
    """Send a message.

    Raises:
        OSError: The other side is gone.
    """
    body = json.dumps(message).encode()
    channel.sendall(_LENGTH.pack(len(body)) + body)
    if pixels is not None:
        channel.sendall(pixels)


def receive(channel: socket.socket) -> dict[str, Any]:
    """Receive a message without its pixels.

    Raises:
        EOFError: The other side is gone.
        OSError: The same, or a time limit on the socket has passed.
        TypeError: It is not a message.
        ValueError: The same.
    """
    head = bytearray(_LENGTH.size)
    receive_into(channel, memoryview(head))
    body = bytearray(_LENGTH.unpack(head)[0])
    receive_into(channel, memoryview(body))
    message = json.loads(body)
    if not isinstance(message, dict):
        raise TypeError(f"expected a JSON object, got {type(message).__name__}")
    return message


def receive_into(channel: socket.socket, buffer: memoryview) -> None:
    """Fill a buffer; one system call, so that the GIL is asked for once.

    Raises:
        EOFError: The other side is gone.
        OSError: The same, or a time limit on the socket has passed.
    """
    view = buffer.cast("B")
    while view:
        n = channel.recv_into(view, len(view), socket.MSG_WAITALL)
        if not n:
            raise EOFError("the other side has closed the socket")
        view = view[n:]


def main() -> None:
    """Answer requests until the parent closes the socket or is gone."""
    channel = socket.socket(fileno=0)
    try:
        hello = receive(channel)
        settings = cast("InputConfig", SimpleNamespace(**hello["settings"]))
        _limit(settings)
        send(channel, {"ready": os.getpid()})
        _be_quiet()
        while True:
            _answer(channel, [os.fsencode(root) for root in hello["roots"]], settings)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _limit(settings: InputConfig) -> None:
    """Bound memory, core dumps and files; where a system has no such limit, do without."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    limits = {
        resource.RLIMIT_AS: settings.decode_memory_mb * 2**20,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
    }
    for kind, wanted in limits.items():
        try:
            _, hard = resource.getrlimit(kind)
            allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (allowed, allowed))
        except (OSError, ValueError):
            continue


def _be_quiet() -> None:
    """From here on, codecs that write to standard error write to nothing."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)


def _answer(channel: socket.socket, roots: list[bytes], settings: InputConfig) -> None:
    request = receive(channel)
    # The kernel ends this process even if it hangs in a codec and nobody is left to kill it.
    signal.setitimer(signal.ITIMER_REAL, settings.decode_seconds + _GRACE_SECONDS)
    try:
        decoded = _decode(roots[request["root"]], request, settings)
    except ImageRejectedError as error:
        send(channel, {"reason": error.reason.value, "detail": error.detail})
    except MemoryError:
        detail = f"no room for {request['n_bytes']} bytes of file; raise input.decode_memory_mb"
        send(channel, {"reason": Reason.DECODE_OUT_OF_MEMORY.value, "detail": detail})
    except Exception as error:  # noqa: BLE001  a fault of ours: better told than guessed
        send(channel, {"reason": Reason.DECODER_CRASHED.value, "detail": repr(error)})
    else:
        send(channel, {"info": asdict(decoded.info)}, decoded.pixels.data)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _decode(root: bytes, request: dict[str, Any], settings: InputConfig) -> Decoded:
    path, n_bytes = request["path"], request["n_bytes"]
    try:
        data = with_retries(lambda: _read(root, path.encode(), n_bytes, settings.follow_links))
    except OSError as error:
        raise rejection_of(error) from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != request["digest"]:
        raise ImageRejectedError(
            Reason.CHANGED_DURING_RUN,
            f"sha256 was {request['digest'][:16]} when found, is {digest[:16]} now; run again",
        )
    return decode(data, name=path, settings=settings)


def _read(root: bytes, path: bytes, n_bytes: int, follow_links: bool) -> bytes:
    """Read the file once; one byte more than it had is enough to see that it has grown."""
    with open(open_below(root, path, follow_links=follow_links), "rb") as file:  # noqa: PTH123  fd
        return file.read(n_bytes + 1)


if __name__ == "__main__":
    main()
