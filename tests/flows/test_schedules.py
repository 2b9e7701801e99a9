"""Schedules really fire on a fresh server: library drift breaks exactly that without an error."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from projects import block_image, labels_of, make_project, run_here
from served import Server, stop, wait_for

from pipeline.runfile import load_run_file

N_IMAGES = 300


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(tmp_path_factory.mktemp("scheduled"), N_IMAGES)


@pytest.fixture(scope="module")
def schedule(server: Server, project: Path) -> Iterator[subprocess.Popen[str]]:
    words = ("-m", "pipeline.cli", "schedule", project, "--interval", "12", "--no-publish")
    process = server.popen(*words, "--shard-images", "16", cwd=project.parent)
    yield process
    stop(process)
    (found,) = server.post("deployments/filter")
    assert found["paused"]  # nothing piles up while nobody serves


def runs_of(server: Server, project: Path) -> list[dict[str, Any]]:
    return [run for run in server.runs() if run["parameters"].get("config") == str(project)]


def completed(server: Server, project: Path) -> list[dict[str, Any]]:
    return [run for run in runs_of(server, project) if run["state"]["name"] == "Completed"]


def latest(project: Path) -> bytes:
    return (project.parent / "ws/runs/latest/labels.coco.json").read_bytes()
