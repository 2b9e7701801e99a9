"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from fsspec import AbstractFileSystem


def durable_write(path: Path, data: bytes) -> None:
    """Put bytes into a local file so that a reader, or a crash, sees old or new, never a part.

    Raises:
        OSError: The disk is full or the folder cannot be written; the old file is untouched.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # noqa: PTH101  mkstemp makes 0600; results are for all to read
        os.replace(temporary, path)  # noqa: PTH105  pathlib's replace is the same call
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_object(fs: AbstractFileSystem, path: str, data: bytes) -> None:
    """Put bytes at a path of any file system, atomically.

    Object stores make an upload visible when it is complete; local disks need the rename.

    Raises:
        OSError: The bytes could not be stored.
    """
    if is_local(fs):
        durable_write(Path(path), data)
    else:
        fs.pipe_file(path, data)


def is_local(fs: AbstractFileSystem) -> bool:
    """Tell whether paths of this file system are paths of the operating system."""
    protocol = fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,)
    return "file" in protocol
