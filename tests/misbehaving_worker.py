"""A decode worker that goes wrong in the way the file's name says; a module to be run."""

from __future__ import annotations

import ctypes
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import decode_worker
from pipeline.pixels import Decoded, decode

if TYPE_CHECKING:
    from pipeline.config import InputConfig


def babble() -> None:
    socket.socket(fileno=os.dup(0)).sendall(b"\7\0\0\0nonsens")
    time.sleep(600)


def lie() -> None:
    info = {"width": 1 << 20, "height": 1 << 20, "notes": []}
    decode_worker.send(socket.socket(fileno=os.dup(0)), {"info": info})
    time.sleep(600)


MISBEHAVIOUR: dict[str, Callable[[], Any]] = {
    "abort": os.abort,
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(0),
    "divide": lambda: 1 // 0,
    "hang": lambda: time.sleep(600),
    "eat": lambda: bytearray(1 << 40),
    "babble": babble,
    "lie": lie,
}


def misbehaving_decode(data: bytes, *, name: str, settings: InputConfig) -> Decoded:
    """Decode, but not before what the name asks for; ``NAME_once`` does it the first time only."""
    what = Path(name).stem
    once = what.endswith("_once")
    mark = Path(os.environ.get("MISBEHAVED", "/nowhere"))
    if not (once and mark.exists()):
        if once:
            mark.touch()
        MISBEHAVIOUR.get(what.removesuffix("_once"), lambda: None)()
    return decode(data, name=name, settings=settings)


if __name__ == "__main__":
    vars(decode_worker).update(decode=misbehaving_decode, _GRACE_SECONDS=0.5)
    decode_worker.main()
