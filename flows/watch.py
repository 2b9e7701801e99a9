"""``autolabel watch``: a folder fills up, is quiet for a while, and is labelled.

What it sees is also an event on the server, so that automations can react to it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.errors import ConfigError

EVENT: Final = "autolabel.images.quiet"
_EMIT_SECONDS: Final = 5.0


def fingerprint(folders: Sequence[Path]) -> str:
    """Hash names, sizes and times of all files below some folders; reads no file."""
    digest = hashlib.sha256()
    for folder in folders:
        for root, names, files in os.walk(folder):
            names.sort()
            for name in sorted(files):
                path = os.path.join(root, name)  # noqa: PTH118  a hundred thousand times
                digest.update(os.fsencode(path) + _facts(path))
    return digest.hexdigest()


def _facts(path: str) -> bytes:
    try:
        status = os.lstat(path)
    except OSError:  # gone since it was listed, which the next look will notice
        return b""
    return f"\0{status.st_size}\0{status.st_mtime_ns}\0".encode()


@dataclass(slots=True)
class Watch:
    """Decides when a folder that changed has been quiet for long enough.

    Args:
        quiet: Seconds without a change.
        done: Fingerprint of what has been labelled; what is there at the start, if anything.
    """

    quiet: float
    done: str = ""
    seen: str = ""
    since: float = 0.0

    def is_due(self, now_there: str, now: float) -> bool:
        """Take in what is there now; tell whether it is time for a run."""
        if now_there != self.seen:
            self.seen, self.since = now_there, now
        return self.seen != self.done and now - self.since >= self.quiet


def watch(config: Path, watching: Watch, every: float, start: Callable[[Path], bool]) -> None:
    """Watch the image folders of a run file for ever.

    Args:
        every: Seconds between looks.
        start: Starts a run and waits for it; tells whether it did what it should. After one that
            did not, the folder is due again once it has been quiet for as long again.
    """
    from flows.tasks import read  # noqa: PLC0415  loads prefect

    folders = read(str(config)).config.images
    while True:
        there = fingerprint(folders)
        if watching.is_due(there, time.monotonic()):
            if start(config):
                watching.done = there
            watching.since = time.monotonic()
        time.sleep(every)


def announce(config: Path) -> None:
    """Emit the event; runs of deployments can be hung on it by an automation."""
    from prefect.events import emit_event  # noqa: PLC0415  loads prefect
    from prefect.events.worker import EventsWorker  # noqa: PLC0415

    name = config.stem
    resource = {"prefect.resource.id": f"autolabel.images.{name}", "prefect.resource.name": name}
    emit_event(EVENT, resource, payload={"config": str(config)})
    EventsWorker.instance().wait_until_empty()


def run_here(config: Path, words: Sequence[str] = ()) -> bool:
    """Run the flow in a process of its own, whose models are gone when it ends."""
    announce(config)
    command = [sys.executable, "-m", "flows.label", str(config), *words]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603  nothing foreign


def find(deployment: str) -> None:
    """See that the server has a deployment, now and not when images have come.

    Raises:
        ConfigError: It has not.
    """
    from prefect import get_client  # noqa: PLC0415  loads prefect
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415

    try:
        with get_client(sync_client=True) as client:
            client.read_deployment_by_name(deployment)
    except (ObjectNotFound, ValueError):
        raise ConfigError(
            f"--deployment {deployment}: the server has none of that name. Expected FLOW/NAME, as "
            "`prefect deployment ls` shows them."
        ) from None


def run_there(config: Path, deployment: str) -> bool:
    """Ask the server for a run of a deployment and wait for its end."""
    from prefect.deployments import run_deployment  # noqa: PLC0415  loads prefect

    announce(config)
    run: Any = run_deployment(deployment, parameters={"config": str(config)})
    return bool(run.state.is_completed())
