"""Garbage of one thread must not stop the others: it did, for a minute at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import gc, sqlite3, sys, threading, time
from flows.prefect_server import collect_aside

path, aside = sys.argv[1:]
owner, waiter = (
    sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    for _ in range(2)
)
gc.collect()
gc.disable()
ring = [waiter.execute("select 1 union all select 2")]
ring[0].fetchone()
ring.append(ring)
del ring  # a forgotten cursor that only the collector finds

owner.execute("begin immediate")

def wait():
    try:
        waiter.execute("begin immediate")
        print("served")
    except sqlite3.OperationalError as error:
        print(error)

waiting = threading.Thread(target=wait)
waiting.start()
time.sleep(0.5)
gc.enable()
if aside == "aside":
    collect_aside()
many = [[] for _ in range(100_000)]  # what makes Python collect
time.sleep(1.5)
owner.execute("commit")
waiting.join()
"""


@pytest.mark.parametrize(("how", "said"), [("aside", "served"), ("here", "database is locked")])
def test_a_thread_that_waits_for_a_lock_does_not_stop_its_owner(
    tmp_path: Path, how: str, said: str
) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "db"), how]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == said, done.stderr
