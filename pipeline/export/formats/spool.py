"""Long JSON lists, one entry per line, without holding them in memory."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

from pipeline.export.example import Plan
from pipeline.records import JsonObject

_COPY_BYTES: Final = 1 << 20


class Spool:
    """Entries of one list, in a file without a name.

    Args:
        plan: What is exported; the list is kept beside it, and closed with it.
    """

    def __init__(self, plan: Plan) -> None:
        file = tempfile.TemporaryFile(dir=plan.folder)  # noqa: SIM115  closed with the plan
        self._file: IO[bytes] = plan.opened.enter_context(file)
        self._separator = b"\n"

    def append(self, entry: JsonObject) -> None:
        """Add an entry."""
        self._file.write(self._separator + dumped(entry))
        self._separator = b",\n"

    def copy_to(self, target: IO[bytes]) -> None:
        """Write all entries."""
        self._file.seek(0)
        shutil.copyfileobj(self._file, target, _COPY_BYTES)
        target.write(b"\n" if self._separator != b"\n" else b"")


def dumped(value: object) -> bytes:
    """Write a value as compact JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8")


def write_object(path: Path, parts: Mapping[str, object]) -> None:
    """Write a JSON object whose values may be spools."""
    with path.open("wb") as file:
        file.write(b"{")
        for place, (key, value) in enumerate(parts.items()):
            file.write((b",\n" if place else b"") + dumped(key) + b":")
            if isinstance(value, Spool):
                file.write(b"[")
                value.copy_to(file)
                file.write(b"]")
            else:
                file.write(dumped(value))
        file.write(b"}\n")
