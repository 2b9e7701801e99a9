"""The flow by itself: the same bytes as the command, and what a person sees of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from projects import autolabel, make_project
from served import Server, wait_for

N_IMAGES = 40
SHARD = 16
CARDS = ("blocks-classes", "blocks-quarantine", "blocks-run", "3 of 3 shards labelled")


def labels_below(project: Path) -> bytes:
    return (project.parent / "ws/runs/latest/labels.coco.json").read_bytes()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_project(tmp_path_factory.mktemp("flow"), N_IMAGES)
    (path.parent / "images" / "notes.png").write_text("no image")
    return path


@pytest.fixture(scope="module")
def finished(server: Server, project: Path) -> dict[str, Any]:
    """A run of the flow that has completed, as the server tells it."""
    words = ("-m", "flows.label", project, "--no-publish", "--shard-images", str(SHARD))
    process = server.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    return server.runs_of(project)[0]


def test_flow_and_command_write_the_same_bytes(
    finished: dict[str, Any], project: Path, tmp_path: Path
) -> None:
    flow = labels_below(project)
    answer = autolabel("run", project, "--workspace", tmp_path / "other")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "other/runs/latest/labels.coco.json").read_bytes() == flow
    assert flow.count(b'"image_id"') > N_IMAGES / 2


def test_the_report_lies_beside_the_labels(finished: dict[str, Any], project: Path) -> None:
    page = (project.parent / "ws/runs/latest/report.html").read_text()
    assert "not_an_image" in page


def test_the_export_flow_writes_what_the_command_writes(
    server: Server, finished: dict[str, Any], project: Path, tmp_path: Path
) -> None:
    wanted = ("--format-name", "yolo-segment", "--split", "80,20", "--status", "all")
    process = server.popen("-m", "flows.export", project, *wanted, stdout=subprocess.DEVNULL)
    assert process.wait(timeout=120) == 0
    wanted = ("--format", "yolo-segment", "--split", "80,20", "--status", "all")
    answer = autolabel("export", project, *wanted, "--out", tmp_path / "out")
    assert answer.returncode == 0, answer.stderr
    flow = project.parent / "ws/exports/yolo-segment"
    files = sorted(path.relative_to(flow) for path in flow.rglob("*") if path.is_file())
    assert len(files) > N_IMAGES
    assert all((flow / f).read_bytes() == (tmp_path / "out" / f).read_bytes() for f in files)


def test_names_say_what_happened(server: Server, finished: dict[str, Any]) -> None:
    assert finished["name"].startswith("label blocks, ")
    assert "autolabel" in finished["tags"]
    tasks = server.post("task_runs/filter", flow_runs={"id": {"any_": [finished["id"]]}})
    assert {task["name"] for task in tasks} == {
        "take the workspace",
        "scan and plan",
        *(f"shard {n} of 3" for n in (1, 2, 3)),
        "fuse and write",
    }


def test_the_log_names_the_image_and_the_reason(server: Server, finished: dict[str, Any]) -> None:
    def lines() -> list[str]:
        found = server.post("logs/filter", logs={"flow_run_id": {"any_": [finished["id"]]}})
        return [line["message"] for line in found if "notes.png" in line["message"]]

    assert "not_an_image" in wait_for(lines)[0]


def test_tables_count_classes_and_reasons(server: Server, finished: dict[str, Any]) -> None:
    artifacts = server.artifacts(finished["id"])
    assert '"reason": "not_an_image", "files": 1' in artifacts["blocks-quarantine"]["data"]
    assert '"class": "red"' in artifacts["blocks-classes"]["data"]
    assert artifacts[None]["data"] == 100
    assert "40 of 41 files labelled" in artifacts["blocks-run"]["data"]


@pytest.fixture
def run_page(server: Server, finished: dict[str, Any], chromium: str) -> Iterator[Any]:
    # In a browser.
    sync_api = pytest.importorskip("playwright.sync_api")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=quiet)
        page = browser.new_page(viewport={"width": 1400, "height": 1200})
        page.set_default_timeout(60_000)
        page.goto(f"{server.url}/runs/flow-run/{finished['id']}")
        yield page
        browser.close()


def test_the_page_of_a_run_leads_to_its_tables_and_pictures(run_page: Any, tmp_path: Path) -> None:
    run_page.get_by_text("41 distinct images").first.wait_for()
    assert run_page.get_by_text("Completed").count()
    cards = open_artifacts(run_page)
    assert all(any(title in card for card in cards) for title in CARDS), cards
    open_artifact(run_page, "blocks-classes")
    run_page.get_by_text("red", exact=True).first.wait_for()
    run_page.go_back()
    open_artifacts(run_page)
    open_artifact(run_page, "blocks-quarantine")
    run_page.get_by_text("not_an_image", exact=True).first.wait_for()
    run_page.go_back()
    open_artifacts(run_page)
    open_artifact(run_page, "blocks-run")
    picture = run_page.get_by_alt_text("labelled examples")
    picture.wait_for()
    assert run_page.get_by_text("40 of 41 files labelled").count()
    assert run_page.get_by_text("report.html").count()
    picture.screenshot(path=tmp_path / "grid.png")
    assert has_colours(tmp_path / "grid.png")


def open_artifacts(page: Any) -> list[str]:
    """Click on the tab; gives what its cards say."""
    page.locator(".p-tab", has_text="Artifacts").click()
    page.locator(".artifact-card", has_text="blocks-run").wait_for()
    cards: list[str] = page.locator(".artifact-card").all_inner_texts()
    return cards


def open_artifact(page: Any, key: str) -> None:
    page.locator(".artifact-card", has_text=key).click()
    page.wait_for_url("**/artifacts/artifact/*")


def has_colours(picture: Path) -> bool:
    """The blocks are there in their colours, not a broken picture's grey."""
    shot = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    return len(shot) > 400 * 300 and bool((np.ptp(shot.astype(int), axis=1) > 60).mean() > 0.02)


def test_help_does_not_load_prefect() -> None:
    code = (
        "import sys\nfrom pipeline.cli import app\nimport flows.cli\n"
        "try:\n    app(['schedule', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'prefect' not in sys.modules and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert b"--cron" in done.stdout
