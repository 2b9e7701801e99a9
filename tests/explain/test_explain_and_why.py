"""Explaining a run: pictures, scores, and the story of every label."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from projects import RUN_FILE, autolabel, make_project

from pipeline.app import SILENT, label
from pipeline.errors import ConfigError, ReviewError
from pipeline.explain import Question, explain, read_index
from pipeline.labels import CurrentLabels, Kind, Status
from pipeline.labels.log import ReviewLog
from pipeline.labels.runs import tag_id
from pipeline.labels.values import Event, MachineLabel, Reviewed, What
from pipeline.relevance import Method
from pipeline.runfile import RunFile, load_run_file
from pipeline.why import why

EMBED = "embed: {engine: open_clip, model: tiny-synthetic-clip}"
TOY = RUN_FILE.replace("embed: {engine: fake}", EMBED).replace('"{}"', '"a {} shape"')


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> RunFile:
    """Blocks of colour that the toy CLIP knows, labelled."""
    run = load_run_file(make_project(tmp_path_factory.mktemp("toy"), 5, TOY))
    label(run)
    return run


@pytest.fixture
def run(toy_run: RunFile, tmp_path: Path) -> RunFile:
    """A copy that a test may spoil."""
    folder = toy_run.path.parent
    shutil.copytree(folder, tmp_path / "p", symlinks=True)
    copy = load_run_file(tmp_path / "p" / "run.yaml")
    manifest = (copy.config.workspace / "runs" / "latest" / "manifest.jsonl").resolve()
    manifest.write_text(manifest.read_text().replace(str(folder), str(tmp_path / "p")))
    return copy


def decide(run: RunFile, label_: MachineLabel, image: str, status: Status, what: What) -> None:
    left = Reviewed(
        label_.id, status, "machine", label_.content, label_.content, label_.facts, {}, "ann",
        "2026-11-24T10:00:00.000+00:00", label_.run_id,
    )  # fmt: skip
    ReviewLog(run.config.workspace).append(
        [Event((what,), image, "0000.png", left, left.by, left.at)]
    )


def ask(run: RunFile, **question: Any) -> Any:
    return explain(run, Question(**question), SILENT)


@pytest.mark.models
def test_every_tag_and_object_is_explained_drawn_and_scored(run: RunFile) -> None:
    made = ask(run, fade=True)
    current = CurrentLabels(run.config.workspace)
    labels = [one for image in current for one in image.labels if one.content.kind is not Kind.TEXT]
    assert {one.label_id for one in made.maps} == {one.id for one in labels}
    assert {one.kind for one in made.maps} == {"tag", "object"}
    rows = read_index(current.run.folder)
    assert len(rows) == len(labels)
    for row in rows:
        with Image.open(made.folder / row["panel"]) as panel:
            masks = 2 if row["held_against"] is None else 3
            assert panel.width > panel.height * (masks - 1) / 2
        if row["kind"] == "object":
            assert row["held_against"] == "own"
            assert row["points"] in {True, False}
            assert 0 <= row["inside"] <= 1
    tags = [row for row in rows if row["kind"] == "tag" and row["points"] is not None]
    assert all(row["held_against"] == "class" for row in tags)
    assert any(row["deletion"] is not None for row in rows)


@pytest.mark.models
def test_maps_made_again_replace_theirs_and_keep_the_others(run: RunFile) -> None:
    folder = CurrentLabels(run.config.workspace).run.folder
    ask(run, images=("0000.png",))
    first = read_index(folder)
    ask(run, images=("000[01].png",))
    assert {row["panel"] for row in first} < {row["panel"] for row in read_index(folder)}
    ask(run, images=("0000.png",), method=Method.ROLLOUT)
    assert {row["method"] for row in read_index(folder)} == {"chefer", "rollout"}


@pytest.mark.models
def test_any_words_can_be_asked_for(run: RunFile) -> None:
    (one,) = ask(run, images=("0001.png",), words=("a purple heart",)).maps
    assert (one.kind, one.label_id, one.words) == ("words", None, "a purple heart")


@pytest.mark.models
def test_what_cannot_be_explained_is_said(run: RunFile) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.png.*names are like '0000\.png'"):
        ask(run, images=("nothing.png",))
    (run.config.images[0] / "0002.png").unlink()
    Image.new("RGB", (48, 48)).save(run.config.images[0] / "0003.png")
    made = ask(run, images=("0002.png", "0003.png", "0004.png"))
    assert set(made.skipped) == {"0002.png", "0003.png"}
    assert {one.file_name for one in made.maps} == {"0004.png"}


@pytest.mark.models
def test_another_model_than_decided_is_refused(run: RunFile) -> None:
    used = (run.config.workspace / "runs" / "latest" / "labels.coco.json").resolve()
    weights = CurrentLabels(run.config.workspace).run.provenance
    digest = next(row["weights"] for row in weights.values() if row["stage"] == "embed")
    used.write_text(used.read_text().replace(digest, "f" * 64))
    with pytest.raises(ConfigError, match="Run again"):
        ask(run)


@pytest.mark.models
def test_rejected_labels_are_not_explained(run: RunFile) -> None:
    image = next(iter(CurrentLabels(run.config.workspace).run.images()))
    gone = next(one for one in image.labels if one.content.kind is Kind.OBJECT)
    decide(run, gone, image.sha256, Status.REJECTED, What.REJECTED)
    assert gone.id not in {one.label_id for one in ask(run, images=(image.file_name,)).maps}


@pytest.mark.models
def test_why_derives_every_label_exactly(toy_run: RunFile) -> None:
    workspace = toy_run.config.workspace
    current = CurrentLabels(workspace)
    for image in current.run.images():
        for one in image.labels:
            said = why(workspace, one.id)
            assert said.missing is None
            assert (said.score, said.decision, said.reason, said.label) == (
                one.facts.score, one.facts.decision, one.facts.reason, one.content.label,
            )  # fmt: skip
            assert said.thresholds
            assert all(len(model["weights"]) == 64 for model in said.models)
            if one.content.kind is not Kind.TEXT:
                assert [prompt.name for prompt in said.cosines] == [f"a {said.label} shape"]
                assert -1 <= said.cosines[0].score <= 1
            if one.content.kind is Kind.OBJECT:
                assert said.runner_up is not None
                assert said.runner_up.name == one.facts.runner_up
                assert said.mask["area"] == one.facts.area


@pytest.mark.models
def test_why_tells_dropped_tags_what_people_did_and_what_is_lost(run: RunFile) -> None:
    workspace = run.config.workspace
    image = next(iter(CurrentLabels(workspace).run.images()))
    given = {one.content.label for one in image.labels if one.content.kind is Kind.TAG}
    dropped = why(workspace, tag_id(image.sha256, ({"red", "green", "blue"} - given).pop()))
    assert (dropped.status, dropped.decision) == ("dropped", "drop")
    one = next(one for one in image.labels if one.content.kind is Kind.OBJECT)
    decide(run, one, image.sha256, Status.ACCEPTED, What.ACCEPTED)
    decide(run, one, image.sha256, Status.DELETED, What.DELETED)
    said = why(workspace, one.id)
    assert said.status == "deleted"
    assert [(event.by, event.what) for event in said.history] == [
        ("ann", ("accepted",)),
        ("ann", ("deleted",)),
    ]
    shutil.rmtree(workspace / "store")
    assert "store has lost" in (why(workspace, one.id).missing or "")
    for unknown in ("123", "tag:", "tag:ffff:red", "human:aa"):
        with pytest.raises(ReviewError, match="Expected: the id"):
            why(workspace, unknown)


def test_why_on_the_command_line(tmp_path: Path) -> None:
    run_file = make_project(tmp_path, 1)
    label(load_run_file(run_file))
    (image,) = CurrentLabels(tmp_path / "ws").run.images()
    answer = autolabel("why", run_file, image.labels[0].id, "--json")
    assert json.loads(answer.stdout)["id"] == image.labels[0].id
    refused = autolabel("explain", run_file)
    assert refused.returncode == 1
    assert "`engine: fake` cannot be explained" in refused.stderr
    wrong = autolabel("explain", run_file, "--method", "magic")
    assert wrong.returncode == 2
    assert "chefer, dense, occlusion, rollout" in wrong.stderr
