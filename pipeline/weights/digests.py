"""sha256 of files, remembered, so that gigabytes are hashed once and not at every start."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

REMEMBER_FROM: Final = 64 * 2**20
"""Smaller files are hashed every time: 64 MiB take about 0.1 s, less than a cache is worth."""

SETTLED_NS: Final = 2_000_000_000
"""A file that changed less than this ago is not remembered: a second change could carry the same
time stamp. Source: git, ``Documentation/technical/racy-git.txt``."""


def sha256_of(path: Path) -> str:
    """Hash a file's bytes.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """Hash a file's bytes, or say what they hashed to when nothing about the file has changed.

    Size, inode, time of modification and time of change must all be the same; the last one cannot
    be set back by a program that forges the others.

    Returns:
        64 hexadecimal digits.

    Raises:
        OSError: The file cannot be read.
    """
    stamp = _stamp(path)
    if stamp[0] < REMEMBER_FROM:
        return sha256_of(path)
    known = _read().get(str(path.resolve()))
    if known is not None and known[:-1] == stamp:
        return str(known[-1])
    digest = sha256_of(path)
    if _stamp(path) == stamp and time.time_ns() - max(stamp[1:3]) >= SETTLED_NS:
        _remember(path, [*stamp, digest])
    return digest


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _cache_path() -> Path:
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "autolabel" / "digests.json"


def _read() -> dict[str, list[int | str]]:
    with suppress(OSError, ValueError):
        content = json.loads(_cache_path().read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return content
    return {}


def _remember(path: Path, row: list[int | str]) -> None:
    # A cache that cannot be written costs time, never a result.
    with suppress(OSError):
        target = _cache_path()
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, half = tempfile.mkstemp(dir=target.parent, prefix="digests.", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump({**_read(), str(path.resolve()): row}, stream)
        Path(half).replace(target)
