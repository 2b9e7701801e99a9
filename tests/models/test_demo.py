"""The demo, end to end with the embedded models: labels that are right, and no network."""

from __future__ import annotations

import json
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline import rle
from pipeline.app import label, plan
from pipeline.coco import check_file
from pipeline.records import Mask
from pipeline.runfile import Overrides, RunFile, load_run_file

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "data" / "samples"

pytestmark = pytest.mark.models

# Measured on the shipped weights: recall .72, precision .87, right names .80, less what one
# object in twenty-five weighs.
RECALL, PRECISION, NAMES = 0.68, 0.83, 0.76


def refuse(*_: object, **__: object) -> None:
    raise OSError("the demo asked for a network")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFile, Path]:
    """The demo run into a workspace of its own, with every way out blocked."""
    workspace = tmp_path_factory.mktemp("demo") / "ws"
    run = load_run_file(ROOT / "configs" / "demo.yaml", Overrides(workspace=workspace))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        return run, label(run).folder


@pytest.fixture(scope="module")
def found(demo: tuple[RunFile, Path]) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((demo[1] / "labels.coco.json").read_text())
    return content


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SAMPLES / "truth.coco.json").read_text())
    return content


def by_image(coco: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    classes = {category["id"]: category["name"] for category in coco["categories"]}
    out: dict[str, list[dict[str, Any]]] = {name: [] for name in names.values()}
    for annotation in coco["annotations"]:
        named = {**annotation, "class": classes[annotation["category_id"]]}
        out[names[annotation["image_id"]]].append(named)
    return out


def mask(annotation: dict[str, Any]) -> Mask:
    height, width = annotation["segmentation"]["size"]
    return Mask(height, width, annotation["segmentation"]["counts"])


def matches(found: dict[str, Any], truth: dict[str, Any]) -> tuple[Counter[str], int, int]:
    """Pair label and object at IoU 0.5, best first; counts of right and wrong names."""
    names: Counter[str] = Counter()
    labels, objects = by_image(found), by_image(truth)
    n_labels = n_objects = 0
    for image, wanted in objects.items():
        mine = [a for a in labels[image] if a["class"] != "text"]
        theirs = [a for a in wanted if a["class"] != "text"]
        n_labels, n_objects = n_labels + len(mine), n_objects + len(theirs)
        table = rle.iou_matrix([mask(a) for a in (*mine, *theirs)])[: len(mine), len(mine) :]
        for i, row in enumerate(table):
            if len(row) and row.max() >= 0.5:
                names[
                    "right" if mine[i]["class"] == theirs[row.argmax()]["class"] else "wrong"
                ] += 1
    return names, n_labels, n_objects


def test_every_sample_is_labelled_and_the_file_conforms(demo: tuple[RunFile, Path]) -> None:
    summary = json.loads((demo[1] / "summary.json").read_text())
    assert summary["found"] == summary["labelled"] == 24
    assert check_file(demo[1] / "labels.coco.json", SAMPLES / "images") == []


def test_masks_find_the_objects_and_names_are_right(
    found: dict[str, Any], truth: dict[str, Any]
) -> None:
    names, n_labels, n_objects = matches(found, truth)
    matched = names.total()
    assert matched / n_objects >= RECALL
    assert matched / n_labels >= PRECISION
    assert names["right"] / matched >= NAMES


def test_words_are_read_and_placed(found: dict[str, Any], truth: dict[str, Any]) -> None:
    labels = by_image(found)
    wanted = [(i, a["text"]) for i, rows in by_image(truth).items() for a in rows if "text" in a]
    read = [text for image, text in wanted if text in {a.get("text") for a in labels[image]}]
    assert len(wanted) == 8
    assert len(read) >= 7


def test_backgrounds_are_tagged(found: dict[str, Any], truth: dict[str, Any]) -> None:
    right = 0
    for image, known in zip(found["images"], truth["images"], strict=True):
        assert image["file_name"] == known["file_name"]
        right += f"{known['background']} background" in {
            tag["class"] for tag in image["autolabel"]["tags"]
        }
    assert right >= 23


def test_every_label_says_that_its_model_is_a_toy(found: dict[str, Any]) -> None:
    models = {key: entry["model"] for key, entry in found["info"]["provenance"].items()}
    for annotation in found["annotations"]:
        source = models[annotation["autolabel"]["source"]]
        assert source.startswith("tiny-synthetic" if "text" not in annotation else "rapidocr")


def test_a_second_run_would_ask_nothing(demo: tuple[RunFile, Path]) -> None:
    assert [stage.to_run for stage in plan(demo[0]).stages] == [0] * 5
