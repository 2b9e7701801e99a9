"""kill -9 at random moments, then run again: as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from projects import make_project, run_here

N_IMAGES = 90
ROUNDS, KILLS_PER_ROUND = 6, 5

# The same command, storing after every few findings and a little slower, so that a kill has
# something to hit; the product stores every 64.
DRIVER = """\
import sys, time
import pipeline.infer.writer as writer, pipeline.infer.questions as questions
from pipeline.cli import main
writer.FLUSH_FINDINGS = 4
real = questions.QUESTIONS.copy()
def slowed(question):
    def ask(engines, asked):
        time.sleep(0.002)
        return question(engines, asked)
    return ask
questions.QUESTIONS.update({name: slowed(question) for name, question in real.items()})
main()
"""


def start(run_file: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, "run", str(run_file)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_until_it_works(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(("scan", "load models")):
            return


@pytest.mark.slow
def test_killed_runs_end_in_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = make_project(tmp_path / "undisturbed", N_IMAGES)
    process = start(undisturbed)
    wait_until_it_works(process)
    began = time.monotonic()
    process.communicate()
    assert process.returncode == 0
    duration = time.monotonic() - began
    expected = (undisturbed.parent / "ws/runs/latest/labels.coco.json").read_bytes()
    assert len(json.loads(expected)["annotations"]) > N_IMAGES

    rng, killed, resumed = random.Random(7), 0, 0
    for n in range(ROUNDS):
        run_file = make_project(tmp_path / f"round{n}", N_IMAGES)
        for _ in range(KILLS_PER_ROUND):
            process = start(run_file)
            wait_until_it_works(process)
            time.sleep(rng.uniform(0, duration))
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            killed += process.returncode == -signal.SIGKILL
        summary = run_here(run_file)
        resumed += summary["stages"]["segment"]["cached"] > 0
        assert (Path(summary["folder"]) / "labels.coco.json").read_bytes() == expected
        assert summary["found"] == summary["labelled"] == N_IMAGES
        leftovers = [p for p in (run_file.parent / "ws").rglob("*.tmp") if "store" not in p.parts]
        assert not leftovers
    assert killed >= ROUNDS * KILLS_PER_ROUND * 0.5  # most kills hit a run at work
    assert resumed >= ROUNDS / 2  # and left findings that the last run could use
