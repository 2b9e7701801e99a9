"""Small projects for tests of whole runs: coloured blocks, fake engines, a run file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.app import label, plan
from pipeline.runfile import load_run_file

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 200)}

RUN_FILE = """\
name: blocks
images: [images]
workspace: ws
input: {decode_workers: 1}
stages:
  embed: {engine: fake}
  segment: {engine: fake}
  read: {engine: fake}
policy:
  templates: ["{}"]
  classes:
    - {name: red}
    - {name: green}
    - {name: blue}
  background: [grey]
"""


def block_image(seed: int, size: int = 48) -> np.ndarray:
    """A grey image with two blocks of colour; another seed gives other bytes."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), 128, np.uint8)
    for colour in rng.choice(list(COLOURS.values()), 2, replace=False):
        x, y = rng.integers(0, size // 2, 2)
        image[y : y + size // 3, x : x + size // 3] = colour
    image[0, 0] = (seed % 256, seed // 256 % 256, 7)
    return image


def make_project(folder: Path, n: int, run_file: str = RUN_FILE) -> Path:
    """Write n images and a run file; gives the run file."""
    images = folder / "images"
    images.mkdir(parents=True)
    for seed in range(n):
        Image.fromarray(block_image(seed)).save(images / f"{seed:04}.png")
    path = folder / "run.yaml"
    path.write_text(run_file)
    return path


def autolabel(*words: str | Path, env: Mapping[str, str] | None = None) -> Any:
    """Run the command in a process of its own, as a person would."""
    command = [sys.executable, "-m", "pipeline.cli", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=env
    )


def run_here(run_file: Path) -> dict[str, Any]:
    """Run in this process, which has everything imported; gives the summary as written."""
    result = label(load_run_file(run_file))
    summary: dict[str, Any] = json.loads((result.folder / "summary.json").read_text())
    return {**summary, "folder": str(result.folder)}


def ran(summary: Mapping[str, Any]) -> dict[str, int]:
    """Images each stage was asked about."""
    return {name: stage["ran"] + stage["failed"] for name, stage in summary["stages"].items()}


def labels_of(summary: Mapping[str, Any]) -> bytes:
    """The COCO file of a run."""
    return (Path(summary["folder"]) / "labels.coco.json").read_bytes()


def planned(run_file: Path) -> dict[str, int]:
    """What plan says each stage would be asked."""
    return {stage.stage.value: stage.to_run for stage in plan(load_run_file(run_file)).stages}


def only(names: Sequence[str], n: int, summary: Mapping[str, Any]) -> dict[str, int]:
    """Expected counts: n for these stages, 0 for the others."""
    return {name: n if name in names else 0 for name in summary["stages"]}
