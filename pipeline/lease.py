"""The right to write to a workspace: one process at a time, and only as long as it has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import WorkspaceError, WorkspaceLockedError, WorkspaceLostError


class Lease:
    """A workspace held by this process. The operating system frees it when the process ends.

    Args:
        workspace: The folder; it is made if it is missing.

    Raises:
        WorkspaceError: The folder cannot be written.
        WorkspaceLockedError: Another process holds it.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        # A flow may open and close it in different threads of one process.
        self._lock = FileLock(workspace / ".lock", timeout=0, thread_local=False)
        try:
            workspace.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._file = _identity(workspace / ".lock")
        except Timeout:
            message = (
                f"{workspace}: another run is using this workspace. Wait for it to end, or name "
                "another workspace (--workspace)."
            )
            raise WorkspaceLockedError(message) from None
        except OSError as error:
            raise WorkspaceError(f"{workspace}: cannot write to the workspace: {error}") from None

    def check(self) -> None:
        """Make sure, before something is written for good, that the workspace is still ours.

        Raises:
            WorkspaceLostError: It was released, or its lock file was removed or replaced, so that
                another process may hold it by now.
        """
        if not self._lock.is_locked or _identity(self._workspace / ".lock") != self._file:
            message = (
                f"{self._workspace}: this run has lost the workspace (its lock file was removed "
                "or replaced), so it writes no more. Run again; findings so far are kept."
            )
            raise WorkspaceLostError(message)

    def release(self) -> None:
        """Let others have the workspace; harmless when repeated."""
        self._lock.release()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def locked_workspace(workspace: Path) -> Iterator[Lease]:
    """Hold a workspace for this process; a crash frees it.

    Yields:
        The lease, to be checked before something is written for good.

    Raises:
        WorkspaceError: The folder cannot be written.
        WorkspaceLockedError: Another process holds it.
    """
    lease = Lease(workspace)
    try:
        yield lease
    finally:
        lease.release()
