"""Whole exports of finished runs: what goes out, where it lies, and what survives what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from export.made import (
    RUN_FILE,
    Drawn,
    Shown,
    add_image,
    make_project,
    rectangle,
    write_run,
)
from PIL import Image

from pipeline.coco import check_file
from pipeline.errors import ConfigError, ExportError
from pipeline.export import FORMATS, Choice, ExportRequest, export
from pipeline.export import pictures as pictures_module
from pipeline.export.folder import MANIFEST
from pipeline.labels.log import ReviewLog
from pipeline.labels.values import HUMAN, MACHINE, Content, Event, Kind, Reviewed, Status, What
from pipeline.records import Box, Decision, ImageInfo, JsonObject
from pipeline.runfile import RunFile

REVIEW = Decision.REVIEW


def show(n: int = 6) -> list[Shown]:
    objects = [
        Drawn("cat", rectangle(4, 4, 20, 10)),
        Drawn("dog", rectangle(30, 30, 9, 9), 0.5, REVIEW),
    ]
    return [Shown(f"{k:03}.png", objects, ("sky",), (f"LINE {k}",)) for k in range(n)]


@pytest.fixture
def run(tmp_path: Path) -> RunFile:
    made = make_project(tmp_path / "project")
    write_run(made, show())
    return made


def request(run: RunFile, name: str = "coco", **more: Any) -> ExportRequest:
    return replace(ExportRequest(name, run.base / "out" / name), **more)


def coco(out: Path, split: str = "all") -> JsonObject:
    document: JsonObject = json.loads((out / f"annotations/instances_{split}.json").read_bytes())
    return document


def classes(out: Path) -> list[str]:
    document = coco(out)
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    return sorted(names[entry["category_id"]] for entry in document["annotations"])


def state(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def decide(run: RunFile, image: JsonObject, reviewed: Reviewed | None, *what: What) -> None:
    sha256 = image["autolabel"]["sha256"]
    event = Event(what, sha256, image["file_name"], reviewed, "me", "2026-01-01T00:00:00Z")
    ReviewLog(run.config.workspace).append([event])


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_writes_the_same_bytes_again(run: RunFile, name: str) -> None:
    first = export(run, request(run, name, split=(60, 20, 20)))
    again = export(run, request(run, name, split=(60, 20, 20), out=run.base / "again"))
    assert state(first.out) == state(again.out)
    assert export(run, request(run, name, split=(60, 20, 20))).unchanged
    manifest = json.loads((first.out / MANIFEST).read_bytes())
    listed = {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    assert {**listed, MANIFEST: state(first.out)[MANIFEST]} == state(first.out)
    assert manifest["run"]["id"] == first.run_id
    assert manifest["policy"]["classes"][0]["name"] == "cat"


@pytest.mark.parametrize("profile", ["coco", "coco-polygon", "coco-uncompressed"])
def test_coco_conforms_with_images(run: RunFile, profile: str) -> None:
    out = export(run, request(run, profile, split=(50, 50), status=Choice.ALL)).out
    for split in ("train", "val"):
        path = out / f"annotations/instances_{split}.json"
        assert check_file(path, out / "images" / split) == []


def test_choices_hold_one_another(run: RunFile) -> None:
    every = export(run, request(run, status=Choice.ALL))
    assert classes(every.out).count("dog") == 6
    images = coco(every.out)["images"]
    dog = next(e for e in coco(every.out)["annotations"] if e["category_id"] == 2)
    of_dog = next(image for image in images if image["id"] == dog["image_id"])
    mask = rectangle(30, 30, 9, 9)
    content = Content(Kind.OBJECT, "dog", mask=mask)
    decide(run, of_dog, Reviewed(str(dog["id"]), Status.ACCEPTED, MACHINE, content), What.ACCEPTED)
    accepted = export(run, request(run))
    assert classes(accepted.out).count("dog") == 1
    assert accepted.left_out == {"label waits for review": 5}
    decide(run, images[0], None, What.IMAGE_DONE)
    reviewed = export(run, request(run, status=Choice.REVIEWED))
    assert reviewed.images == {"all": 1}
    assert classes(reviewed.out) == ["cat", "dog", "text"]
    assert reviewed.left_out["image not reviewed"] == 5


def test_what_people_did_goes_out(run: RunFile) -> None:
    first = coco(export(run, request(run)).out)
    image = first["images"][0]
    cat = next(e for e in first["annotations"] if e["image_id"] == image["id"] and "text" not in e)
    gone = Reviewed(str(cat["id"]), Status.REJECTED, MACHINE, Content(Kind.OBJECT, "cat"))
    decide(run, image, gone, What.REJECTED)
    box = Content(Kind.OBJECT, "bird", box=Box(10.0, 12.0, 7.0, 5.0))
    decide(run, image, Reviewed("5f" * 12, Status.ACCEPTED, HUMAN, box), What.ADDED)
    out = export(run, request(run)).out
    assert check_file(out / "annotations/instances_all.json", out / "images/all") == []
    entries = [e for e in coco(out)["annotations"] if e["image_id"] == image["id"]]
    names = {entry["id"]: entry["name"] for entry in coco(out)["categories"]}
    assert [names[entry["category_id"]] for entry in entries] == ["text", "bird"]
    assert entries[1]["bbox"] == [10, 12, 7, 5]
    assert entries[1]["autolabel"]["drawn_as"] == "box"
    assert entries[1]["autolabel"]["source"].startswith("review@")
    segments = export(run, request(run, "yolo-segment"))
    assert segments.left_out["object drawn as a box only"] == 1


@pytest.mark.parametrize("name", FORMATS)
def test_people_may_use_classes_otherwise(run: RunFile, name: str) -> None:
    image = coco(export(run, request(run)).out)["images"][0]
    sky = Content(Kind.OBJECT, "sky", mask=rectangle(0, 0, 64, 5))
    decide(run, image, Reviewed("5e" * 12, Status.ACCEPTED, HUMAN, sky), What.ADDED)
    tag = Content(Kind.TAG, "new")
    decide(run, image, Reviewed("5f" * 12, Status.ACCEPTED, HUMAN, tag), What.ADDED)
    report = export(run, request(run, name, out=run.base / "people"))
    kinds = {"coco-text": {"text"}, "image-folder": {"tag"}, "multi-label-csv": {"tag"}}
    assert kinds.get(name, {"object"}) <= set(report.labels)


def test_classes_are_chosen_and_renumbered(run: RunFile) -> None:
    out = export(run, request(run, classes=("dog",), status=Choice.ALL)).out
    assert [(e["id"], e["name"]) for e in coco(out)["categories"]] == [(1, "dog")]
    assert check_file(out / "annotations/instances_all.json") == []
    with pytest.raises(ConfigError, match="wolf: no such class; known are cat, dog, sky, text"):
        export(run, request(run, classes=("wolf",)))


def test_upright_copies(run: RunFile) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = run.config.images[0] / "turned.png"
    Image.fromarray(pixels).save(path, exif=exif)
    write_run(run, [Shown("turned.png", info=ImageInfo(64, 64, 6, "image/png", "RGB"))])
    out = export(run, request(run)).out
    name = coco(out)["images"][0]["file_name"]
    with Image.open(out / "images/all" / name) as image:
        assert image.getexif().get(0x0112, 1) == 1
        assert (np.asarray(image) == np.rot90(pixels, -1)).all()


def test_links_lead_to_files_that_need_no_change(run: RunFile) -> None:
    out = export(run, request(run, link=True)).out
    links = sorted((out / "images/all").iterdir())
    assert [link.readlink().name for link in links] == [f"{k:03}.png" for k in range(6)]


def test_a_changed_source_is_no_training_image(run: RunFile) -> None:
    kept = state(export(run, request(run)).out)
    (run.config.images[0] / "003.png").write_bytes(b"something else")
    with pytest.raises(ExportError, match=r"003\.png: .* not those that were labelled"):
        export(run, request(run, status=Choice.ALL))
    assert state(run.base / "out/coco") == kept


def test_a_killed_export_goes_on_and_the_old_one_stays(
    run: RunFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = state(export(run, request(run)).out)
    read: list[str] = []
    real = pictures_module.Pictures.data

    def data(self: pictures_module.Pictures, example: Any) -> bytes:
        read.append(example.name)
        if len(read) == 4:
            raise KeyboardInterrupt
        return real(self, example)

    monkeypatch.setattr(pictures_module.Pictures, "data", data)
    with pytest.raises(KeyboardInterrupt):
        export(run, request(run, status=Choice.ALL))
    assert state(run.base / "out/coco") == kept
    export(run, request(run, status=Choice.ALL))
    assert len(read) == 4 + 3, "three images were there already"
    monkeypatch.undo()
    fresh = export(run, request(run, status=Choice.ALL, out=run.base / "fresh"))
    assert state(run.base / "out/coco") == state(fresh.out)
    assert not [
        path for path in (run.base / "out").iterdir() if path.suffix in {".partial", ".left"}
    ]


@pytest.mark.parametrize("where", ["images", "images/out", "."])
def test_exports_do_not_touch_what_is_not_theirs(run: RunFile, where: str) -> None:
    before = state(run.base / "images")
    with pytest.raises(ConfigError, match="--out"):
        export(run, request(run, out=run.base / where))
    assert state(run.base / "images") == before


def test_a_folder_of_somebody_else_is_refused(run: RunFile, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="no export of autolabel"):
        export(run, request(run, out=tmp_path / "mine"))
    assert (tmp_path / "mine/thesis.txt").exists()


@pytest.mark.parametrize("split", [(80, 10), (100,), (0, 50, 50), (25, 25, 25, 25)])
def test_shares_must_add_up(run: RunFile, split: Sequence[int]) -> None:
    with pytest.raises(ConfigError, match="add up to 100"):
        export(run, request(run, split=tuple(split)))


def split_of(out: Path) -> dict[str, str]:
    rows = json.loads((out / MANIFEST).read_bytes())["examples"]
    return {row["source"]: row["split"] for row in rows}


def test_adding_images_moves_none_and_near_duplicates_stay_together(tmp_path: Path) -> None:
    run = make_project(tmp_path / "project", 12)
    write_run(run, show(12))
    first = split_of(export(run, request(run, split=(50, 25, 25))).out)
    assert sorted(first.values()) == ["test"] * 3 + ["train"] * 6 + ["val"] * 3
    names = [f"{k:03}.png" for k in range(12)]
    names += [add_image(run.base, k) for k in range(12, 20)]
    for name in list(names):  # each once more, smaller in file and a little brighter
        with Image.open(run.base / "images" / name) as image:
            brighter = image.point(lambda value: min(value + 3, 255))
            brighter.save(run.base / "images" / f"near-{name}.jpg", quality=80)
    shown = [Shown(name, tags=("sky",)) for name in names]
    near = [Shown(f"near-{name}.jpg", tags=("sky",)) for name in names]
    write_run(run, [*shown, *near])
    report = export(run, request(run, split=(50, 25, 25)))
    second = split_of(report.out)
    assert {name: second[name] for name in first} == first
    assert all(second[f"near-{name}.jpg"] == second[name] for name in names)
    assert any(note.startswith("20 images are near duplicates") for note in report.notes)


@pytest.mark.parametrize("split", [(), (50, 50)])
def test_cvat_names_lead_to_images(run: RunFile, split: tuple[int, ...]) -> None:
    """As CVAT lays out a task, and a project with subsets."""
    out = export(run, request(run, "cvat", split=split)).out
    root = ET.parse(out / "annotations.xml").getroot()
    named = {(one.get("subset", ""), one.attrib["name"]) for one in root.findall("image")}
    files = {path.relative_to(out / "images") for path in (out / "images").rglob("*.png")}
    assert {Path(subset, name) for subset, name in named} == files
    assert len(files) == 6
    subsets = {one.text for one in root.iterfind("meta/project/tasks/task/subset")}
    assert subsets == ({"train", "val"} if split else set())


def test_a_label_map_leaves_out_what_its_readers_take_apart(tmp_path: Path) -> None:
    run = make_project(tmp_path / "project", 1, RUN_FILE.replace("dog", '"dog: big"'))
    write_run(run, [Shown("000.png", [Drawn("cat", rectangle(4, 4, 20, 10))])])
    out = export(run, request(run, "voc")).out
    assert (out / "labels.txt").read_text().splitlines() == ["cat", "dog: big", "text"]
    lines = (out / "labelmap.txt").read_text().splitlines()
    assert lines == ["background:0,0,0::", "cat:128,0,0::", "text:128,128,0::"]
