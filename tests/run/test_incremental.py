"""A run does what changed and nothing else; plan says so beforehand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from projects import (
    RUN_FILE,
    block_image,
    labels_of,
    make_project,
    only,
    planned,
    ran,
    run_here,
)

from pipeline.app import plan
from pipeline.runfile import load_run_file

MODEL_STAGES = ("embed", "segment", "embed_regions", "read")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of 6 images that has been run once."""
    run_file = make_project(tmp_path_factory.mktemp("finished"), 6)
    assert planned(run_file) == dict.fromkeys(("decode", *MODEL_STAGES), 6)
    summary = run_here(run_file)
    assert ran(summary) == dict.fromkeys(("decode", *MODEL_STAGES), 6)
    assert summary["classes"]["instances"]
    return run_file


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(finished.parent, folder, symlinks=True)
    return folder / finished.name


def test_a_second_run_asks_nothing_and_gives_the_same_bytes(project: Path) -> None:
    first = (project.parent / "ws/runs/latest/labels.coco.json").read_bytes()
    assert planned(project) == dict.fromkeys(("decode", *MODEL_STAGES), 0)
    summary = run_here(project)
    assert ran(summary) == only((), 0, summary)
    assert summary["load_seconds"] < 1
    assert labels_of(summary) == first


def test_one_more_image_is_one_image(project: Path) -> None:
    Image.fromarray(block_image(77)).save(project.parent / "images" / "0003b.png")
    assert planned(project) == dict.fromkeys(("decode", *MODEL_STAGES), 1)
    summary = run_here(project)
    assert ran(summary) == dict.fromkeys(("decode", *MODEL_STAGES), 1)
    assert summary["found"] == 7


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("background: [grey]", "background: [grey]\n  tags: {threshold: 0.9}"),
        ("background: [grey]", "background: [grey]\n  regions: {duplicate_iou: 0.3}"),
        ("background: [grey]", "background: [grey, black]"),
        ("- {name: red}", "- {name: red, synonyms: [pink]}"),
        ("- {name: red}", "- {name: purple}\n    - {name: red}"),
        ('templates: ["{}"]', 'templates: ["{}", "a {} thing"]'),
    ],
)
def test_policy_changes_ask_no_image_model(project: Path, old: str, new: str) -> None:
    assert old in RUN_FILE
    project.write_text(RUN_FILE.replace(old, new))
    assert planned(project) == dict.fromkeys(("decode", *MODEL_STAGES), 0)
    summary = run_here(project)
    assert ran(summary) == only((), 0, summary)


def test_a_renamed_and_moved_file_is_no_new_image(project: Path) -> None:
    before = json.loads((project.parent / "ws/runs/latest/labels.coco.json").read_text())
    images = project.parent / "images"
    (images / "sub").mkdir()
    (images / "0002.png").rename(images / "sub" / "renamed.png")
    assert planned(project) == dict.fromkeys(("decode", *MODEL_STAGES), 0)
    summary = run_here(project)
    assert ran(summary) == only((), 0, summary)
    after = json.loads(labels_of(summary))
    assert {i["id"] for i in after["images"]} == {i["id"] for i in before["images"]}
    assert {a["id"] for a in after["annotations"]} == {a["id"] for a in before["annotations"]}
    assert "sub/renamed.png" in {image["file_name"] for image in after["images"]}


def notes_by_path(summary: dict[str, Any]) -> dict[str, list[str]]:
    rows = (Path(summary["folder"]) / "manifest.jsonl").read_text().splitlines()
    return {row["paths"][0]["path"]: row["notes"] for row in map(json.loads, rows)}


def test_what_is_said_of_a_name_follows_the_name(project: Path) -> None:
    images = project.parent / "images"
    (images / "0002.png").rename(images / "0002.jpg")
    assert notes_by_path(run_here(project))["0002.jpg"] == ["wrong_extension"]
    (images / "0002.jpg").rename(images / "0002.png")
    assert notes_by_path(run_here(project))["0002.png"] == []


def test_another_model_setting_runs_its_stage_and_what_builds_on_it(project: Path) -> None:
    project.write_text(
        RUN_FILE.replace("embed: {engine: fake}", "embed: {engine: fake, dimensions: 16}")
    )
    assert planned(project) == {
        "decode": 0,
        "embed": 6,
        "segment": 0,
        "embed_regions": 6,
        "read": 0,
    }
    why = {stage.stage.value: stage.why for stage in plan(load_run_file(project)).stages}
    assert "dimensions 32 → 16" in why["embed"]
    assert why["read"] == "nothing changed"
    assert ran(run_here(project)) == planned_counts(embed=6, embed_regions=6)


def planned_counts(**counts: int) -> dict[str, int]:
    return {**dict.fromkeys(("decode", *MODEL_STAGES), 0), **counts}


def test_limits_decide_anew_but_ask_no_model_again(project: Path) -> None:
    project.write_text(RUN_FILE.replace("decode_workers: 1", "decode_workers: 1, min_side: 9"))
    assert ran(run_here(project)) == planned_counts(decode=6)


def test_byte_equal_files_are_one_image_with_all_its_paths(project: Path) -> None:
    images = project.parent / "images"
    shutil.copy(images / "0001.png", images / "copy.png")
    summary = run_here(project)
    assert ran(summary) == only((), 0, summary)
    assert (summary["found"], summary["labelled"], summary["images"]) == (7, 7, 6)
    coco = json.loads(labels_of(summary))
    assert "copy.png" in json.dumps(coco["images"])


def test_an_image_that_is_gone_is_gone_and_comes_back_for_free(project: Path) -> None:
    image = project.parent / "images" / "0004.png"
    kept = image.read_bytes()
    image.unlink()
    assert run_here(project)["images"] == 5
    image.write_bytes(kept)
    summary = run_here(project)
    assert ran(summary) == only((), 0, summary)
    assert summary["images"] == 6


def test_bad_files_are_asked_once_and_counted_every_time(project: Path) -> None:
    images = project.parent / "images"
    (images / "broken.png").write_bytes((images / "0001.png").read_bytes()[:60])
    (images / "notes.txt").write_text("not an image")
    (images / "empty.jpg").touch()
    first = run_here(project)
    assert first["quarantined"] == 3
    assert first["found"] == first["labelled"] + first["quarantined"]
    assert ran(first) == planned_counts(decode=2)
    assert planned(project) == planned_counts()
    second = run_here(project)
    assert ran(second) == planned_counts()
    assert second["quarantined_by_reason"] == first["quarantined_by_reason"]
    rows = (Path(second["folder"]) / "quarantine.jsonl").read_text().splitlines()
    assert {json.loads(row)["path"] for row in rows} == {"broken.png", "notes.txt", "empty.jpg"}


def test_two_folders_with_equal_names_stay_apart(tmp_path: Path) -> None:
    for side in ("left", "right"):
        folder = tmp_path / side / "images"
        folder.mkdir(parents=True)
        Image.fromarray(block_image(len(side))).save(folder / "a.png")
    run_file = tmp_path / "run.yaml"
    run_file.write_text(RUN_FILE.replace("[images]", "[left/images, right/images]"))
    coco = json.loads(labels_of(run_here(run_file)))
    assert [i["file_name"] for i in coco["images"]] == ["images/a.png", "images-2/a.png"]


def test_an_empty_folder_is_a_run_without_labels(tmp_path: Path) -> None:
    run_file = make_project(tmp_path, 0)
    summary = run_here(run_file)
    assert (summary["found"], summary["labelled"]) == (0, 0)
    assert json.loads(labels_of(summary))["annotations"] == []
