"""What a person gets: exit codes, one clear error, machine output, a quick --help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from projects import RUN_FILE, autolabel, make_project, run_here

HEAVY = {"torch", "fiftyone", "prefect", "open_clip", "segment_anything", "easyocr", "transformers"}


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from pipeline.cli import app; "
        "r = CliRunner().invoke(app, ['--help']); print(r.exit_code, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    exit_code, *modules = done.stdout.split()
    assert exit_code == "0"
    assert not HEAVY & set(modules)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_wrong_run_file_is_exit_2_and_one_message(tmp_path: Path, command: str) -> None:
    run_file = make_project(tmp_path, 0, RUN_FILE.replace("name: blocks", "nme: blocks"))
    done = autolabel(command, run_file)
    assert done.returncode == 2
    assert f"{run_file}:1: nme: unknown key" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize(
    "words", [("run",), ("frobnicate",), ("run", "x", "--no-such-flag"), ("models", "pull", "nope")]
)
def test_wrong_usage_is_exit_2(words: tuple[str, ...]) -> None:
    done = autolabel(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_missing_image_folder_is_named(tmp_path: Path) -> None:
    run_file = make_project(tmp_path, 1)
    done = autolabel("run", run_file, "--images", tmp_path / "absent")
    assert done.returncode == 2
    assert "absent" in done.stderr


def test_missing_weights_are_explained_before_anything_runs(tmp_path: Path) -> None:
    text = RUN_FILE.replace(
        "segment: {engine: fake}", "segment: {engine: segment_anything, model: sam-vit-b}"
    )
    run_file = make_project(tmp_path, 1, text)
    env = {**os.environ, "AUTOLABEL_MODELS_DIR": str(tmp_path / "models")}
    done = autolabel("run", run_file, env=env)
    assert done.returncode == 1
    for words in (
        "sam_vit_b_01ec64.pth",
        "ec2df627",
        str(tmp_path / "models"),
        "models pull",
        "demo.yaml",
    ):
        assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_quarantine_is_exit_3_only_when_asked(tmp_path: Path) -> None:
    run_file = make_project(tmp_path, 1)
    (tmp_path / "images" / "bad.jpg").write_bytes(b"bad")
    assert autolabel("run", run_file).returncode == 0
    assert autolabel("run", run_file, "--strict").returncode == 3


def test_check_is_exit_1_for_a_broken_file(tmp_path: Path) -> None:
    labels = Path(run_here(make_project(tmp_path, 2))["folder"]) / "labels.coco.json"
    good = autolabel("check", labels, "--images", tmp_path / "images")
    assert (good.returncode, good.stderr) == (0, "")
    assert "conforms" in good.stdout
    broken = tmp_path / "broken.json"
    broken.write_text(labels.read_text().replace('"iscrowd":0', '"iscrowd":2'))
    bad = autolabel("check", broken, "--json")
    assert bad.returncode == 1
    assert {v["rule"] for v in json.loads(bad.stdout)["violations"]} == {14}


def test_a_second_run_on_a_held_workspace_refuses(tmp_path: Path) -> None:
    run_file = make_project(tmp_path, 1)
    (tmp_path / "ws").mkdir()
    with FileLock(tmp_path / "ws" / ".lock"):
        done = autolabel("run", run_file)
    assert done.returncode == 1
    assert "another run is using this workspace" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_workspace_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    run_file = make_project(tmp_path, 1)
    (tmp_path / "ws").mkdir(mode=0o500)
    assert autolabel("run", run_file).returncode == 1


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    run_file = make_project(tmp_path, 1)
    (tmp_path / "ws").write_text("not a folder")
    done = autolabel("run", run_file)
    assert done.returncode == 1
    assert "cannot write to the workspace" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_says_so_and_goes_on_later(tmp_path: Path, number: signal.Signals) -> None:
    run_file = make_project(tmp_path, 60)
    command = [sys.executable, "-m", "pipeline.cli", "run", str(run_file)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "ws" / ".lock").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode in {130, 0}  # 0: it was quicker than the signal
    assert "Traceback" not in stderr
    assert run_here(run_file)["labelled"] == 60


def test_init_makes_a_run_file_that_loads(tmp_path: Path) -> None:
    folder = tmp_path / "it's new"
    assert autolabel("init", folder).returncode == 0
    env = {**os.environ, "AUTOLABEL_MODELS_DIR": str(tmp_path / "models")}
    planned = autolabel("plan", folder / "autolabel.yaml", env=env)
    assert planned.returncode == 1
    assert "models pull" in planned.stderr
    again = autolabel("init", folder)
    assert again.returncode == 2
    assert "is there already" in again.stderr


def test_doctor_looks_at_everything() -> None:
    done = autolabel("doctor", "--json")
    assert done.returncode == 0
    findings = {f["what"]: f for f in json.loads(done.stdout)}
    assert findings["sqlalchemy"]["state"] == "ok"
    assert findings["weights tiny-synthetic-clip"]["state"] == "ok"
    assert {"python", "device", "mongod", "disk here"} <= findings.keys()
    assert all(f["fix"] for f in findings.values() if f["state"] != "ok")
