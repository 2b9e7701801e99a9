"""Whether memory grows with the folder."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.figures import Outcome
from benchmarks.options import Options
from benchmarks.runs import labelling_run

SIZES = (500, 5000)

RUN_FILE = """\
name: memory
images: [images]
workspace: ws
stages:
  embed: {engine: fake}
  segment: {engine: fake}
  read: {engine: fake}
policy:
  classes: [{name: red}, {name: green}, {name: blue}]
"""


def measure_memory(_options: Options) -> Outcome:
    """Label 500 and 5,000 small images with engines that cost nothing.

    Returns:
        Peak resident memory of the main process for both, and their ratio.
    """
    peaks = {}
    for n in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            run_file = small_project(Path(folder), n)
            peaks[n] = labelling_run(run_file, Path(folder) / "ws")["peak_mb"]
    small, large = (peaks[n] for n in SIZES)
    figures = {f"peak_mb_{n}": round(peak, 1) for n, peak in peaks.items()}
    return Outcome(figures=figures | {"ratio": round(large / small, 3)})


def small_project(folder: Path, n: int) -> Path:
    """Write n images of a block of colour and a run file with fake engines; gives that file."""
    images = folder / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for i in range(n):
        image = np.full((48, 48, 3), 128, np.uint8)
        x, y = rng.integers(0, 24, 2)
        image[y : y + 20, x : x + 20] = rng.integers(0, 255, 3)
        image[0, 0] = (i % 256, i // 256, 0)
        Image.fromarray(image).save(images / f"{i:05}.png")
    path = folder / "run.yaml"
    path.write_text(RUN_FILE)
    return path
