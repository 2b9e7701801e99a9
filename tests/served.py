"""A Prefect server as a person starts it, and what tests ask of it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

HEARTBEAT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
N_IMAGES = 180
"""Enough for a run that lasts until it is disturbed."""


def wait_for(what: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Give the first truthy answer, and fail without one."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if answer := what():
            return answer
        time.sleep(0.2)
    pytest.fail(f"not within {seconds} s")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def stop(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:  # a Prefect worker whose server was killed may hang
        process.kill()
        process.wait()


class Server:
    """``autolabel server`` and its API.

    Args:
        home: Of the server. One that runs there already, by another process, is used.

    Attributes:
        process: The command, where this object has started it; below it is Prefect's server.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process: subprocess.Popen[bytes] | None = None
        known = home / "port"
        self.port = int(known.read_text()) if known.exists() else free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # One for all questions: a client takes as long to make as ten of them to answer.
        self.client = httpx.Client(base_url=f"{self.url}/api", timeout=60)
        self.env = {**os.environ, **HEARTBEAT, "PREFECT_HOME": str(home)}
        self.env |= {"PREFECT_API_URL": f"{self.url}/api"}
        self.env |= {"PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false"}
        # Faster than a person needs it, so that tests wait less.
        self.env |= {"PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2"}
        self.env |= {"PREFECT_RUNNER_POLL_FREQUENCY": "1", "PREFECT_WORKER_QUERY_SECONDS": "1"}
        if not known.exists():
            self.start()
            known.write_text(str(self.port))

    def start(self) -> None:
        said = self.home / "server.log"
        command = [sys.executable, "-m", "pipeline.cli", "server", "--port", str(self.port)]
        with said.open("wb") as log:
            self.process = started = subprocess.Popen(
                command, env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        wait_for(lambda: b"Ctrl-C stops it" in said.read_bytes() or started.poll(), 120)
        assert started.poll() is None, said.read_text()

    def kill(self) -> None:
        """SIGKILL to the command and to the server below it."""
        assert self.process, "another process has started it"
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask(self, path: str, **body: Any) -> httpx.Response:
        """Post to the API, again while it is busy (503), as clients of Prefect do."""
        for _ in range(5):
            answer = self.client.post(path, json=body)
            if answer.status_code != 503:
                break
            time.sleep(1)
        return answer

    def post(self, path: str, **body: Any) -> Any:
        answer = self.ask(path, **body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def runs(self) -> list[dict[str, Any]]:
        """All flow runs, the newest first."""
        runs: list[dict[str, Any]] = self.post("flow_runs/filter", sort="START_TIME_DESC")
        return runs

    def runs_of(self, project: Path) -> list[dict[str, Any]]:
        """Flow runs of a run file, the newest first."""
        return [run for run in self.runs() if run["parameters"].get("config") == str(project)]

    def states(self, project: Path) -> list[str]:
        return [run["state_name"] for run in self.runs_of(project)]

    def state(self, run: str) -> str:
        answer = self.client.get(f"flow_runs/{run}").json()
        return str(answer["state"]["name"])

    def set_state(self, run: str, kind: str) -> None:
        self.post(f"flow_runs/{run}/set_state", state={"type": kind}, force=True)

    def artifacts(self, run: str) -> dict[str | None, Any]:
        found = self.post("artifacts/filter", artifacts={"flow_run_id": {"any_": [run]}})
        return {artifact["key"]: artifact for artifact in found}

    def as_ours(self) -> AbstractContextManager[Any]:
        """Make it the server of this process for a while."""
        from prefect.settings import PREFECT_API_URL, temporary_settings

        return temporary_settings({PREFECT_API_URL: f"{self.url}/api"})

    def popen(self, *words: str | Path, **more: Any) -> subprocess.Popen[str]:
        command = [sys.executable, *map(str, words)]
        return subprocess.Popen(command, env=self.env, text=True, start_new_session=True, **more)
