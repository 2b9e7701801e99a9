"""``models.lock``: which models there are, which files they have, and which bytes those must be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import TypeAdapter

LOCK_PATH: Final = Path(__file__).parents[1] / "models.lock"

Kind: TypeAlias = Literal["open_clip", "segment_anything", "easyocr", "rapidocr"]
"""The engine a model is for, as in the run file."""

Place: TypeAlias = Literal["embedded", "store", "wheel"]
"""Part of this package, fetched into the models directory, or part of another package."""


@dataclass(frozen=True, slots=True)
class LockFile:
    """One file of a model.

    Attributes:
        path: Name inside the model's folder.
        size: Bytes, or None if no pin is known; the first pull records one.
        sha256: 64 hexadecimal digits, or None like ``size``.
        url: Where ``pull`` gets it from.
        member: Name inside the zip archive at ``url``, if that is one.
        content: The text itself, for small files that ``pull`` writes without asking anyone.
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    url: str | None = None
    member: str | None = None
    content: str | None = None


@dataclass(frozen=True, slots=True)
class LockEntry:
    """One model.

    Attributes:
        name: As run files say it.
        kind: The engine it is for.
        place: Where its files live.
        folder: For a wheel, ``package/folder`` in site-packages; for an embedded model the folder
            below ``data/models/tiny``; else empty: the models directory and the name.
        files: Its files; together they decide what the model answers.
        licence: Licence of the weights.
        source: Page a person can read about it.
        defaults: Settings that suit this model, used where a run file does not name its own.
        note: Where the pins come from.
    """

    name: str
    kind: Kind
    place: Place
    files: tuple[LockFile, ...]
    licence: str
    source: str
    folder: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@lru_cache(maxsize=1)
def entries() -> tuple[LockEntry, ...]:
    """Read ``models.lock``, embedded models first, in its own order."""
    content = json.loads(LOCK_PATH.read_text(encoding="utf-8"))
    return TypeAdapter(tuple[LockEntry, ...]).validate_python(content["models"])


def entry_named(name: str) -> LockEntry | None:
    """Find a model of ``models.lock`` by its name; None if it is not in there."""
    return next((entry for entry in entries() if entry.name == name), None)
