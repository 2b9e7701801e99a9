"""``python -m flows.prefect_server ...``: the command ``prefect ...``, collecting garbage aside.

Prefect keeps its tables in SQLite and uses each connection from a thread of its own. When Python
collects a forgotten cursor in the thread of the event loop, SQLite makes that thread wait for the
cursor's connection; if this one waits for the write lock, whose owner waits for the event loop,
nothing happens until SQLite gives up after 60 seconds: no page, no API, no progress of any run.
(Seen with Prefect 3.8.8, Python 3.11, several clients that write.) In a thread that does nothing
else, the wait harms nobody: the interpreter lock is free while it lasts.
"""

from __future__ import annotations

import gc
import itertools
import runpy
import threading
import time
from typing import Final

_SECONDS: Final = 0.5
_OLDER: Final = ((240, 2), (20, 1))
"""One collection in so many goes up to this generation; the others stay with the youngest."""


def collect_aside() -> None:
    """From now on, collect garbage in a thread of its own only."""
    gc.disable()
    threading.Thread(target=_collect, name="garbage", daemon=True).start()


def _collect() -> None:
    for n in itertools.count(1):
        time.sleep(_SECONDS)
        gc.collect(next((generation for nth, generation in _OLDER if n % nth == 0), 0))


if __name__ == "__main__":
    collect_aside()
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
