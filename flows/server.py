"""A Prefect server on this machine: loopback only, its own home, no telemetry."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pipeline.errors import AutolabelError

ADDRESS: Final = "127.0.0.1"
PORT: Final = 4200
_START_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 20.0


def api_url(port: int = PORT) -> str:
    """Address of the API: the one that the environment names, else ours."""
    return os.environ.get("PREFECT_API_URL") or f"http://{ADDRESS}:{port}/api"


def connect() -> str:
    """Make this process and its children use a server that is there; gives its address.

    Raises:
        AutolabelError: Nobody answers.
    """
    url = api_url()
    if not _healthy(url):
        raise AutolabelError(
            f"{url}: no Prefect server answers there. Start one with `autolabel server`, or name "
            "yours in PREFECT_API_URL."
        )
    os.environ["PREFECT_API_URL"] = url
    # A wrong address must be an error, not a private server that nobody sees.
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "false"
    return url


@contextmanager
def running_server(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, with its work pool and automation; stop it at the end.

    Yields:
        Its process, once it answers.

    Raises:
        AutolabelError: It does not come up.
    """
    url = f"http://{ADDRESS}:{port}/api"
    if _healthy(url):
        raise AutolabelError(f"{url}: a server is running there already. Use it, or --port.")
    os.environ["PREFECT_API_URL"] = url
    words = ("server", "start", "--host", ADDRESS, "--port", str(port))
    command = [sys.executable, "-m", "flows.prefect_server", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  nothing foreign
    try:
        with _on_one_core(process.pid):
            # What is needed then takes seconds to load: as long as the server does the same.
            from flows import automations, pool  # noqa: F401, PLC0415

            _await_health(url, process.poll)
        prepare()
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def prepare() -> None:
    """Give the current server what ours has: the work pool, and what ends stale runs."""
    from flows.automations import install, stale_runs  # noqa: PLC0415  loads prefect
    from flows.pool import make_pool  # noqa: PLC0415  loads prefect

    make_pool()
    install(stale_runs())


@contextmanager
def _on_one_core(pid: int) -> Iterator[None]:
    """Keep a process on one core for a while, where the system can do that.

    A new server builds its tables in a hundred migrations, and passes every statement of theirs
    to another thread and back: on two cores this takes nearly twice as long.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    with suppress(OSError):  # a sandbox may forbid it
        os.sched_setaffinity(pid, {max(cores)})
    try:
        yield
    finally:
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            with suppress(OSError):  # it has ended since
                os.sched_setaffinity(int(thread.name), cores)


def _await_health(url: str, ended: Callable[[], int | None]) -> None:
    """Wait until a server that was just started answers.

    Raises:
        AutolabelError: It ended, or took too long.
    """
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if (code := ended()) is not None:
            raise AutolabelError(
                f"The Prefect server ended with exit code {code}; its last words are above. Is "
                "the port taken? Try --port."
            )
        if _healthy(url):
            return
        time.sleep(0.5)
    raise AutolabelError(f"The Prefect server did not answer at {url} in {_START_SECONDS:.0f} s.")


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310  http
            return bool(answer.status == 200)  # noqa: PLR2004
    except (OSError, ValueError):
        return False
