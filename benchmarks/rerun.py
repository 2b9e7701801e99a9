"""What a change of policy costs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.figures import Outcome
from benchmarks.options import Options
from benchmarks.runs import DEMO, labelling_run


def measure_rerun(_options: Options) -> Outcome:
    """Label the samples, then again unchanged, with another threshold, with another class.

    Returns:
        Model seconds and images asked per run; ``share`` against the first run.
    """
    text = DEMO.read_text().replace("../data", str(DEMO.parents[1] / "data"))
    changes = {
        "unchanged": text,
        "threshold": text.replace("regions:\n", "regions:\n    threshold: 0.55\n"),
        "classes": text.replace("{name: circle,", "{name: disc, synonyms: [circle],"),
    }
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        run_file = Path(folder) / "run.yaml"
        run_file.write_text(text)
        first = labelling_run(run_file, Path(folder) / "ws")
        out["first_model_seconds"] = first["model_seconds"]
        for name, changed in changes.items():
            run_file.write_text(changed)
            summary = labelling_run(run_file, Path(folder) / "ws")
            stages = summary["stages"].values()
            out[f"{name}_images_asked"] = sum(stage["ran"] for stage in stages)
            out[f"{name}_model_seconds"] = summary["model_seconds"]
            out[f"{name}_wall_seconds"] = summary["wall_seconds"]
            out[f"{name}_share"] = round(summary["model_seconds"] / first["model_seconds"], 4)
    return Outcome(figures=out)
