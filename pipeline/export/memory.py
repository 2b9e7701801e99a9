"""Which split an image was dealt into: remembered in the workspace, so that it never changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from pipeline.errors import ExportError
from pipeline.store.parts import durable_write


def remembered(workspace: Path, shares: Sequence[int]) -> dict[str, str]:
    """Give what was dealt with these shares: sha256 of an image → its split.

    Raises:
        ExportError: The file is damaged.
    """
    path = _path(workspace, shares)
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_bytes())
        return {str(key): str(value) for key, value in document["splits"].items()}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ExportError(
            f"{path}: cannot be read ({type(error).__name__}: {error}). It says which images are "
            "tested with: restore it from a backup, or delete it to deal all images anew"
        ) from None


def remember(workspace: Path, shares: Sequence[int], splits: Mapping[str, str]) -> None:
    """Add to what was dealt; what is remembered already stands.

    Raises:
        ExportError: The workspace cannot be written.
    """
    path = _path(workspace, shares)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=10):
            merged = {**splits, **remembered(workspace, shares)}
            document = {"shares": list(shares), "splits": dict(sorted(merged.items()))}
            durable_write(path, (json.dumps(document, indent=0) + "\n").encode())
    except OSError as error:
        raise ExportError(f"{path}: cannot be written: {error}") from None


def _path(workspace: Path, shares: Sequence[int]) -> Path:
    return workspace / "splits" / f"{'-'.join(map(str, shares))}.json"
