"""A file of the matrix and its promised end; the list of those who draw them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.reasons import Reason


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A file and its promised end.

    Attributes:
        path: Below the folder, as ``SourceFile`` or ``Quarantined`` has it.
        reason: Why it is quarantined; None if it is labelled.
        notes: All notes of a labelled one.
        like: What its pixels show, where that can be said.
        tolerance: Mean difference allowed to that, in steps of 255.
        orientation: EXIF orientation recorded.
        n_frames: Frames recorded.
        mime: Media type recorded, where the case is about it.
    """

    path: str
    reason: Reason | None = None
    notes: tuple[str, ...] = ()
    like: NDArray[np.uint8] | None = None
    tolerance: float = 0.0
    orientation: int = 1
    n_frames: int = 1
    mime: str | None = None


Maker = Callable[[Path], Iterator[Case]]
MAKERS: list[Maker] = []


def row(maker: Maker) -> Maker:
    """Enter a row into the matrix."""
    MAKERS.append(maker)
    return maker


def write(folder: Path, name: str, data: bytes) -> str:
    """Write a file below the folder and give its name back."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name
