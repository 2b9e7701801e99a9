"""Deployments of prefect.yaml on a worker: refused, cancelled, killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from projects import labels_of, make_project, run_here
from served import N_IMAGES, Server, stop, wait_for

from pipeline.errors import WorkspaceLockedError
from pipeline.lease import Lease

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("AUTOLABEL_KILLS", "2"))
"""Rounds of the kill test; 20 are run before a release. Every fourth kills the server, which other
processes with tests do not survive: no `-n` with more than three."""


class Worker:
    """A process worker with the deployments of this tree."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.start()  # which takes as long as the deployment, and has its pool already
        words = ("-m", "prefect", "--no-prompt", "deploy", "--name", "demo")
        # As from a service or a script, which change their folder but not this variable.
        server.env["PWD"] = "/"
        deploying = server.popen(*words, cwd=ROOT, stdout=subprocess.DEVNULL)
        assert deploying.wait(120) == 0
        (found,) = server.post("deployments/filter", deployments={"name": {"any_": ["demo"]}})
        self.deployment = found["id"]
        self.pull_steps = found["pull_steps"]
        # Its schedule would label the demo with real models, in this tree.
        server.post(f"deployments/{self.deployment}/pause_deployment")

    def start(self) -> None:
        words = ("-m", "prefect", "worker", "start", "--pool", "autolabel")
        self.process = self.server.popen(*words, cwd=ROOT, stdout=subprocess.DEVNULL)

    def request(self, **parameters: Any) -> httpx.Response:
        path = f"deployments/{self.deployment}/create_flow_run"
        return self.server.ask(path, parameters=parameters)

    def requested(self) -> int:
        """Runs that somebody asked for; others come from its schedule."""
        mine = {"deployment_id": {"any_": [self.deployment]}}
        found = self.server.post("flow_runs/filter", flow_runs=mine)
        return sum(not run["auto_scheduled"] for run in found)

    def run(self, project: Path) -> str:
        """Start a run and wait until it is at work; gives its id."""
        answer = self.request(config=str(project), publish=False, shard_images=12)
        answer.raise_for_status()
        wait_for(lambda: len(parts(project)) > 2, 150)  # a worker takes its time on a busy box
        return str(answer.json()["id"])

    def flow_processes(self) -> list[psutil.Process]:
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [p for p in below if "decode_worker" not in " ".join(p.cmdline())]


def is_free(project: Path) -> bool:
    try:
        Lease(project.parent / "ws").release()
    except WorkspaceLockedError:
        return False
    return True


def parts(project: Path) -> list[Path]:
    return list((project.parent / "ws/store/segment").glob("*/part-*"))


@pytest.fixture(scope="module")
def worker(server: Server) -> Iterator[Worker]:
    running = Worker(server)
    yield running
    stop(running.process)


def test_wrong_parameters_are_refused_before_there_is_a_run(worker: Worker) -> None:
    before = worker.requested()
    for wrong in ({"config": "run.txt"}, {"shard_images": 0}, {"publish": "perhaps"}):
        answer = worker.request(**{"config": "run.yaml", **wrong})
        assert answer.status_code in (409, 422), wrong
    assert worker.requested() == before


def test_a_deployment_runs_where_it_was_made(worker: Worker) -> None:
    step = {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
    assert worker.pull_steps == [step]


def test_cancel_stops_within_15_seconds_and_the_next_run_goes_on(
    worker: Worker, tmp_path: Path, undisturbed: bytes
) -> None:
    project = make_project(tmp_path / "project", N_IMAGES)
    run = worker.run(project)
    worker.server.set_state(run, "CANCELLING")
    wait_for(lambda: is_free(project), 15)
    done = len(parts(project))
    wait_for(lambda: worker.server.state(run) == "Cancelled")
    record = project.parent / "ws/flow-runs" / f"{run}.json"
    wait_for(record.exists)
    assert '"state": "Cancelled"' in record.read_text()
    assert len(parts(project)) == done
    summary = run_here(project)
    assert summary["stages"]["segment"]["ran"] > 0
    assert summary["stages"]["segment"]["cached"] > 0
    assert labels_of(summary) == undisturbed


@pytest.mark.parametrize("round_", range(KILLS))
def test_killed_anywhere_the_next_run_ends_in_the_same_bytes(
    worker: Worker, tmp_path: Path, undisturbed: bytes, round_: int
) -> None:
    project = make_project(tmp_path / "project", N_IMAGES)
    run = worker.run(project)
    time.sleep(random.Random(round_).uniform(0, 1))
    victims = ("both", "flow", "worker", "server")[round_ % 4]
    kill(worker, victims)
    run_again(worker, project, by_watch=victims == "flow")  # whose worker is still there
    assert (project.parent / "ws/runs/latest/labels.coco.json").read_bytes() == undisturbed
    if worker.server.state(run) not in ("Completed", "Crashed", "Failed"):
        worker.server.set_state(run, "CRASHED")  # what the automation does two minutes later


def run_again(worker: Worker, project: Path, *, by_watch: bool) -> None:
    """The next run: of the deployment, asked for by ``autolabel watch``, or without a worker."""
    if by_watch:
        words = ("watch", project, "--deployment", "label/demo", "--quiet", "0", "--every", "0.5")
        watch = worker.server.popen("-m", "pipeline.cli", *words, stdout=subprocess.DEVNULL)
        wait_for(lambda: "Completed" in worker.server.states(project), 200)
        stop(watch)
        return
    process = worker.server.popen(
        *("-m", "flows.label", project, "--no-publish", "--shard-images", "12"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = process.communicate(timeout=200)[0]
    assert process.returncode == 0, said


def kill(worker: Worker, victims: str) -> None:
    flows = worker.flow_processes()
    assert flows
    if victims in ("worker", "both"):
        worker.process.kill()
        worker.process.wait()
    if victims in ("flow", "both"):
        for process in flows:
            process.send_signal(signal.SIGKILL)
    if victims == "server":
        worker.server.kill()
        worker.server.start()
    if worker.process.poll() is not None:
        worker.start()
