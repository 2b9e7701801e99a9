"""The runs that this process has open. Tasks get an id; models and locks stay here."""

from __future__ import annotations

from typing import Final
from uuid import uuid4

from prefect import get_run_logger

from flows.fence import fence
from pipeline.app import Job
from pipeline.errors import WorkspaceLostError
from pipeline.runfile import RunFile

_jobs: Final[dict[str, Job]] = {}


class RunLog:
    """Tells the log of the current task what a run is doing."""

    def phase(self, title: str, total: int | None) -> None:
        """Say what begins."""
        get_run_logger().info("%s%s", title, "" if total is None else f": {total}")

    def advance(self, n: int) -> None:
        """Ignore: a line per image would drown the log."""


def begin(run: RunFile, shard_images: int | None) -> str:
    """Take the workspace for the current flow run; gives the id for tasks.

    Raises:
        WorkspaceLockedError: Another process has it.
    """
    id_ = uuid4().hex[:8]
    _jobs[id_] = Job(run, RunLog(), shard_images, fence())
    return id_


def job(id_: str) -> Job:
    """Give an open run.

    Raises:
        WorkspaceLostError: It is not open in this process.
    """
    try:
        return _jobs[id_]
    except KeyError:
        raise WorkspaceLostError(
            f"job {id_} is not open in this process: its tasks must run in the process of their "
            "flow, with the thread task runner. Run the flow again."
        ) from None


def end(id_: str) -> None:
    """Close a run and free its workspace; harmless when repeated."""
    if open_job := _jobs.pop(id_, None):
        open_job.close()
