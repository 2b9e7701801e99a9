"""Where models are asked and findings are kept changes no byte of the labels."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from projects import RUN_FILE, labels_of, make_project, run_here

from pipeline.errors import ConfigError

ON_RAY = RUN_FILE + "execution: {engine: ray, actors: 2}\n"
N_IMAGES = 600

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="the extra ray is not installed"
)


def test_findings_in_a_bucket_give_the_same_labels(tmp_path: Path) -> None:
    here = run_here(make_project(tmp_path / "here", 6))
    run_file = make_project(tmp_path / "there", 6, RUN_FILE + "store: memory://bucket/store\n")
    first, second = run_here(run_file), run_here(run_file)
    assert labels_of(first) == labels_of(second) == labels_of(here)
    assert first["stages"]["segment"]["ran"] == second["stages"]["segment"]["cached"] == 6
    assert not (run_file.parent / "ws/store").exists()


def test_ray_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'autolabel-pipeline\[ray\]'"):
        run_here(make_project(tmp_path, 2, ON_RAY))


def start(run_file: Path) -> subprocess.Popen[str]:
    # A process of its own: Ray starts daemons, and warns about resources it leaves open.
    command = [sys.executable, "-m", "pipeline.cli", "run", str(run_file)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def actors_below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Processes with a decoder: the actors."""
    below = psutil.Process(process.pid).children(recursive=True)
    decoders = [p for p in below if "pipeline.decode_worker" in " ".join(p.cmdline())]
    parents = {p.ppid() for p in decoders} - {process.pid}
    return [psutil.Process(pid) for pid in parents]


def summary_of(run_file: Path) -> dict[str, Any]:
    folder = run_file.parent / "ws/runs/latest"
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return {**summary, "folder": str(folder)}


@needs_ray
@pytest.mark.slow
def test_two_actors_one_killed_and_a_corrupt_image_give_the_bytes_of_the_loop(
    tmp_path: Path,
) -> None:
    loop, on_ray = make_project(tmp_path / "loop", N_IMAGES), tmp_path / "ray"
    run_file = make_project(on_ray, N_IMAGES, ON_RAY)
    for project in (loop, run_file):
        (project.parent / "images" / "0050b.png").write_text("no image")
    expected = run_here(loop)
    process = start(run_file)
    killed: list[psutil.Process] = []
    while process.poll() is None and not killed:
        if list((run_file.parent / "ws/store").glob("read/*/part-*")):  # in the middle of the work
            killed = actors_below(process)[:1]
        time.sleep(0.02)
    assert killed
    os.kill(killed[0].pid, signal.SIGKILL)
    said = process.communicate(timeout=240)[1]
    assert process.returncode == 0, said
    summary = summary_of(run_file)
    assert labels_of(summary) == labels_of(expected)
    assert summary["quarantined_by_reason"] == {"not_an_image": 1}
    assert {k: v["ran"] for k, v in summary["stages"].items()} == {
        k: v["ran"] for k, v in expected["stages"].items()
    }
