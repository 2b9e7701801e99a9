"""The process that holds a workspace's mongod for as long as anybody uses it.

``python -m pipeline.review.keeper USERS STATE LOG PORT MONGOD…`` starts mongod and waits for the
exclusive lock on the file USERS, which every user of the database holds shared. The kernel gives
it when the last user is gone, however that one ended, SIGKILL included; then mongod is asked to
stop. A mongod therefore never outlives its users, and never dies while one is left. Standard
library only, so that it is small and starts at once.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_STOP_SECONDS: Final = 20.0


def keep(users: Path, state: Path, log: Path, port: int, command: list[str]) -> int:
    """Run mongod until its last user is gone, or until it ends by itself.

    Returns:
        mongod's exit status.
    """
    with log.open("wb") as output:
        mongod = subprocess.Popen(  # noqa: S603  the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  one thread so far
        )
    _write(state, {"pid": mongod.pid, "keeper": os.getpid(), "port": port})
    handle = os.open(users, os.O_RDWR)
    threading.Thread(target=_stop_after_last, args=(handle, mongod), daemon=True).start()
    status = mongod.wait()
    state.unlink(missing_ok=True)
    return status


def _stop_after_last(handle: int, mongod: subprocess.Popen[bytes]) -> None:
    fcntl.flock(handle, fcntl.LOCK_EX)  # held until this process ends: newcomers wait for that
    mongod.terminate()
    try:
        mongod.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        mongod.kill()


def _die_with_parent() -> None:
    """Ask Linux to stop mongod should the keeper be killed; elsewhere the next start does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _write(state: Path, value: dict[str, int]) -> None:
    partial = state.with_suffix(".partial")
    partial.write_text(json.dumps(value), encoding="utf-8")
    partial.replace(state)


if __name__ == "__main__":
    _users, _state, _log, _port, *_command = sys.argv[1:]
    sys.exit(keep(Path(_users), Path(_state), Path(_log), int(_port), _command))
