"""What the command line asked of a benchmark."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Sizes of a measurement.

    Attributes:
        model: Published size of Segment Anything: ``vit_b``, ``vit_l`` or ``vit_h``.
        repeats: Rounds in which every arm has a turn.
        points: Prompts per side of the grid.
        threads: Of torch.
        short: Small models and few images: equality is what counts, times say nothing.
        before: A checkout of an older version to run the demo with, or none.
    """

    model: str = "vit_b"
    repeats: int = 3
    points: int = 32
    threads: int = os.cpu_count() or 1
    short: bool = False
    before: Path | None = None
