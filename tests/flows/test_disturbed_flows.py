"""Killed, cancelled, suspended, doubled: nothing is lost, done twice, or written by two."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from projects import labels_of, make_project, run_here
from served import N_IMAGES, Server, wait_for

SHARD = 12
Told: TypeAlias = tuple[str, list[dict[str, Any]]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project", N_IMAGES)


def parts(project: Path) -> int:
    """Parts that the store has: how far a run is."""
    return len(list((project.parent / "ws/store/segment").glob("*/part-*")))


def start(server: Server, project: Path) -> subprocess.Popen[str]:
    """Run the flow in a process of its own; gives it once it is at work."""
    before = parts(project)
    words = ("-m", "flows.label", project, "--no-publish", "--shard-images", str(SHARD))
    process = server.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: parts(project) > before + 2 or process.poll() is not None)
    assert process.poll() is None
    return process


def finish(project: Path) -> bytes:
    """The next run, which has some to do and some not; gives its labels."""
    summary = run_here(project)
    assert summary["stages"]["segment"]["cached"] >= SHARD
    assert summary["stages"]["segment"]["ran"] > 0
    assert summary["found"] == summary["labelled"] == N_IMAGES
    return labels_of(summary)


@pytest.fixture
def told() -> Iterator[Told]:
    # The address of a web hook, and what it was sent.
    bodies: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Hook) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", bodies
        http.shutdown()
        thread.join()


def test_a_run_that_lost_its_place_writes_nothing(
    server: Server, project: Path, undisturbed: bytes
) -> None:
    process = start(server, project)
    process.send_signal(signal.SIGSTOP)  # as a machine that was suspended or cut off
    (run,) = server.runs_of(project)
    server.set_state(run["id"], "CRASHED")
    process.send_signal(signal.SIGCONT)
    said = process.communicate(timeout=60)[0]
    assert process.returncode != 0
    assert "writes no more" in said
    assert not list((project.parent / "ws").glob("runs/*"))
    assert finish(project) == undisturbed


def test_two_runs_on_one_workspace_take_turns(server: Server, tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", 6 * SHARD)
    words = ("-m", "flows.label", project, "--no-publish", "--shard-images", str(SHARD))
    both = [server.popen(*words, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(120) for process in both] == [0, 0]
    names = sorted(path.name for path in (project.parent / "ws/runs").glob("2*"))
    assert len(names) == 2
    spans = []
    for run in server.runs_of(project):
        tasks = server.post("task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
        held = [task for task in tasks if task["name"] != "take the workspace"]
        spans.append((min(t["start_time"] for t in held), max(t["end_time"] for t in held)))
    first, second = sorted(spans)
    assert first[1] <= second[0]


def block_for(server: Server, url: str) -> str:
    """Register a Prefect notification block that posts to a URL; gives its name."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    said = {"subject": "{{subject}}", "body": "{{body}}"}
    block = CustomWebhookNotificationBlock(name="told", url=url, json_data=said)
    with server.as_ours():
        block.save("told")
    return "custom-webhook/told"


def fail(server: Server, project: Path) -> None:
    """A run of a project whose images are gone."""
    (project.parent / "images").rename(project.parent / "moved")
    words = ("-m", "flows.label", project, "--no-publish")
    process = server.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 2, said
    assert "expected a folder at" in said
    rows = [json.loads(p.read_text()) for p in (project.parent / "ws/flow-runs").glob("*.json")]
    assert [row["state"] for row in rows] == ["Failed"]
    # Trying again could not help, so nobody waited for it.
    (run,) = server.runs_of(project)
    tasks = server.post("task_runs/filter", flow_runs={"id": {"any_": [run["id"]]}})
    assert {task["run_count"] for task in tasks} == {1}


def test_a_failed_run_says_so_in_its_workspace_and_to_a_web_hook(
    server: Server, project: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bodies = told
    monkeypatch.setitem(server.env, "AUTOLABEL_NOTIFY", url)
    fail(server, project)
    assert [body["state"] for body in bodies] == ["Failed"]
    assert bodies[0]["config"] == str(project)


def test_a_failed_run_tells_a_prefect_notification_block(
    server: Server, project: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, bodies = told
    monkeypatch.setitem(server.env, "AUTOLABEL_NOTIFY", block_for(server, url))
    fail(server, project)
    (body,) = bodies
    assert body["subject"].startswith("label blocks, ")
    assert body["subject"].endswith(": Failed")
    assert "expected a folder at" in body["body"]
    assert str(project) in body["body"]
