"""How much of a run is not model compute."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.figures import Outcome
from benchmarks.options import Options
from benchmarks.runs import DEMO, labelling_run


def measure_overhead(options: Options) -> Outcome:
    """Label the samples a few times from nothing, with the embedded models.

    Returns:
        Medians. ``share`` is the part of wall time in which no engine was at work and none was
        being loaded; ``share_with_loading`` counts imports and loading as overhead too, where no
        engine was at work meanwhile.
    """
    shares, with_loading, walls = [], [], []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            summary = labelling_run(DEMO, Path(folder) / "ws")
        wall, load, busy = (
            summary[key] for key in ("wall_seconds", "load_seconds", "busy_seconds")
        )
        shares.append(1 - busy / (wall - load))
        with_loading.append(1 - busy / wall)
        walls.append(wall)
    figures = {
        "images": summary["images"],
        "wall_seconds": round(statistics.median(walls), 2),
        "busy_seconds": summary["busy_seconds"],
        "model_seconds": summary["model_seconds"],
        "share": round(statistics.median(shares), 3),
        "share_range": [round(min(shares), 3), round(max(shares), 3)],
        "share_with_loading": round(statistics.median(with_loading), 3),
    }
    return Outcome(figures=figures)
