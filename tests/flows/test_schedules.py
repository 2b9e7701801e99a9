"""Schedules really fire on a fresh server: library drift breaks exactly that without an error."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from projects import block_image, make_project
from served import Server, stop, wait_for

from flows.watch import find
from pipeline.errors import ConfigError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", 12)


@pytest.fixture
def schedule(server: Server, project: Path) -> Iterator[subprocess.Popen[str]]:
    words = ("-m", "pipeline.cli", "schedule", project, "--interval", "8", "--no-publish")
    process = server.popen(*words, cwd=project.parent, stdout=subprocess.DEVNULL)
    yield process
    stop(process)


def completed(server: Server, project: Path) -> list[dict[str, Any]]:
    return [
        run
        for run in server.runs()
        if run["parameters"].get("config") == str(project) and run["state_name"] == "Completed"
    ]


def found(project: Path) -> int:
    summary = json.loads((project.parent / "ws/runs/latest/summary.json").read_text())
    return int(summary["found"])


def test_a_scheduled_run_appears_and_labels_what_is_new(
    server: Server, project: Path, schedule: subprocess.Popen[str]
) -> None:
    runs = wait_for(lambda: completed(server, project) or schedule.poll() is not None, 90)
    assert schedule.poll() is None
    assert runs[0]["auto_scheduled"]
    assert found(project) == 12
    Image.fromarray(block_image(77)).save(project.parent / "images" / "new.png")
    wait_for(lambda: found(project) == 13)
    stop(schedule)
    (deployment,) = server.post("deployments/filter", deployments={"name": {"any_": ["blocks"]}})
    assert deployment["paused"]  # nothing piles up while nobody serves it


def test_a_watched_folder_is_labelled_once_it_is_quiet(server: Server, project: Path) -> None:
    words = ("-m", "pipeline.cli", "watch", project, "--quiet", "1.5", "--every", "0.3")
    process = server.popen(*words, "--no-publish", stdout=subprocess.DEVNULL)
    try:
        wait_for((project.parent / "ws/runs/latest").exists)
        for seed in (77, 78, 79):
            Image.fromarray(block_image(seed)).save(project.parent / "images" / f"n{seed}.png")
        wait_for(lambda: found(project) == 15)
    finally:
        stop(process)
    events = server.post(
        "events/filter",
        filter={"event": {"name": ["autolabel.images.quiet"]}},
    )["events"]
    mine = [event for event in events if event["payload"]["config"] == str(project)]
    assert len(mine) == len(list((project.parent / "ws/runs").glob("2*")))


def test_a_server_that_has_started_may_use_all_cores(server: Server) -> None:
    cores = os.sched_getaffinity(0)
    words = f"server start --host 127.0.0.1 --port {server.port}"
    (prefect,) = (
        process
        for process in psutil.process_iter(["cmdline"])
        if words in " ".join(process.info["cmdline"] or ())
    )
    threads = [thread.id for thread in prefect.threads()]
    assert len(threads) > 1
    assert all(os.sched_getaffinity(thread) == cores for thread in threads)


def test_a_fresh_server_has_the_automation_and_its_times_are_safe(server: Server) -> None:
    (automation,) = server.post("automations/filter")
    trigger = automation["trigger"]
    assert automation["enabled"]
    assert trigger["posture"] == "Proactive"
    assert trigger["within"] >= 3 * int(server.env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    assert trigger["match_related"]  # runs of others may beat more slowly


@pytest.mark.parametrize("name", ["label/nothing", "nothing"])
def test_watching_for_a_deployment_that_is_not_there_is_told_at_once(
    server: Server, name: str
) -> None:
    with server.as_ours(), pytest.raises(ConfigError, match="prefect deployment ls"):
        find(name)
