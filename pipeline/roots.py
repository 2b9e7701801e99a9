"""Files below an image folder, opened without ever leaving it.

Every folder on the way is opened relative to the one before and never through a link, so that no
exchange of a folder for a link between look and open can lead elsewhere. Links are resolved first
where the run file allows them, and what they resolve to must lie in the same image folder.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from typing import Final, TypeVar

from pipeline.errors import ImageRejectedError
from pipeline.reasons import Reason

T = TypeVar("T")

_RETRIED: Final = frozenset(
    {errno.EIO, errno.EINTR, errno.EAGAIN, errno.ESTALE, errno.ETIMEDOUT, errno.ENETRESET}
)
"""Errors of disks and network shares that may be gone at the next try."""

_PAUSES: Final = (0.05, 0.2, 0.8)
"""Seconds before the second, third and fourth try."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
"""O_NONBLOCK: should a pipe have taken the file's place, opening it must not wait for a writer."""


def open_below(root: bytes, path: bytes, *, follow_links: bool) -> int:
    """Open a regular file below a folder for reading.

    Args:
        root: Real path of the folder.
        path: Relative path of the file, posix.
        follow_links: Whether links are followed, if they stay below the folder.

    Returns:
        A file descriptor; the caller closes it.

    Raises:
        ImageRejectedError: What is there is not a regular file below the folder.
        OSError: It cannot be opened.
    """
    if follow_links:
        path = _resolved(root, path)
    *folders, name = path.split(b"/")
    if {b"", b".", b".."} & {*folders, name}:
        raise ImageRejectedError(Reason.OUTSIDE_ROOT, f"{os.fsdecode(path)!r} is no plain path")
    at = os.open(root, _FOLDER)
    try:
        for folder in folders:
            below = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        file = os.open(name, _FILE, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ImageRejectedError(Reason.NOT_A_FILE, "it is not a regular file any more")
    return file


def _resolved(root: bytes, path: bytes) -> bytes:
    real = os.path.realpath(os.path.join(root, path), strict=True)  # noqa: PTH118  bytes
    if not is_below(root, real):
        raise ImageRejectedError(
            Reason.OUTSIDE_ROOT, f"it leads to {os.fsdecode(real)!r}, outside the image folder"
        )
    return os.path.relpath(real, root)


def is_below(root: bytes, path: bytes) -> bool:
    """Tell whether a real path lies below, or is, another."""
    return os.path.commonpath((root, path)) == root


def rejection_of(error: OSError) -> ImageRejectedError:
    """Put an error of the file system into the words of the quarantine."""
    reasons = {
        errno.ENOENT: Reason.VANISHED,
        errno.ELOOP: Reason.LINK_NOT_FOLLOWED,
        errno.ENXIO: Reason.NOT_A_FILE,
        errno.ENOTDIR: Reason.VANISHED,
    }
    reason = reasons.get(error.errno or 0, Reason.UNREADABLE)
    return ImageRejectedError(reason, f"{error.strerror} (error {error.errno})")


def with_retries(action: Callable[[], T]) -> T:
    """Do it again after errors that may pass, up to three times, each time after a longer pause.

    Raises:
        OSError: It did not pass, or is of another kind.
    """
    for pause in _PAUSES:
        try:
            return action()
        except OSError as error:
            if error.errno not in _RETRIED:
                raise
        time.sleep(pause)
    return action()
