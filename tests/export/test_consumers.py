"""One awkward dataset in every format, read by the programs that the formats are written for.

``test_round_trips`` reads random datasets; here are the readers that take a process or seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export.made import CLASSES, awkward_examples, consumer, write_examples

from pipeline import rle
from pipeline.errors import DatabaseError
from pipeline.export.example import Example, class_of
from pipeline.labels import Kind, MergedLabel
from pipeline.records import Bitmap
from pipeline.review.mongod import find_mongod

HERE = Path(__file__).parent
NAMES = [*CLASSES, "text"]
FORMATS = (
    "coco", "coco-polygon", "coco-uncompressed", "coco-panoptic", "yolo-detect", "yolo-segment",
    "voc", "cvat", "image-folder", "multi-label-csv",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("formats")
    for name in FORMATS:
        write_examples(name, awkward_examples(), path / name)
    return path


def printed(script: str, *arguments: str, **environment: str) -> Any:
    """What a reader in a process of its own says, as JSON in its last line."""
    done = subprocess.run(
        [sys.executable, HERE / script, *arguments],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def shapes(example: Example) -> Iterator[tuple[MergedLabel, Bitmap, list[float]]]:
    """Labels with a place, their pixels, and their boxes as left, top, width, height."""
    found = ((label, example.mask(label), example.box(label)) for label in example.shapes)
    return ((label, rle.decode(mask), [b.x, b.y, b.width, b.height]) for label, mask, b in found)


# -- FiftyOne ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_fiftyone(folder: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    try:
        find_mongod()
    except DatabaseError as error:
        pytest.skip(f"no mongod: {str(error).splitlines()[0]}")
    read: dict[str, dict[str, list[dict[str, Any]]]]
    read = printed("read_as_fiftyone.py", str(folder), FIFTYONE_DO_NOT_TRACK="1")
    return read


@pytest.mark.mongo
@pytest.mark.parametrize("name", ["coco", "coco-polygon", "coco-uncompressed", "yolo-segment"])
def test_fiftyone_imports_masks(by_fiftyone: Any, name: str) -> None:
    (example,) = (one for one in awkward_examples() if one.split == "train")
    ((file_name, found),) = by_fiftyone[name].items()
    assert file_name == example.file_name
    for (label, pixels, box), read in zip(shapes(example), found, strict=True):
        assert read["label"] == class_of(label)
        scale = np.tile((example.width, example.height), 2)
        if name == "yolo-segment":  # it takes border pixels, which Ultralytics fills, for the edge
            assert np.abs(read["box"] * scale - box).max() <= 1 + 1e-3
        else:
            np.testing.assert_allclose(read["box"] * scale, box, atol=1e-6)
            assert (np.array(read["mask"]) == cut(pixels, box)).all()
            assert read["text"] == label.content.text


def cut(pixels: Bitmap, box: list[float]) -> Bitmap:
    left, top, width, height = map(int, box)
    return pixels[top : top + height, left : left + width]


@pytest.mark.mongo
@pytest.mark.parametrize("name", ["yolo-detect", "voc"])
def test_fiftyone_imports_boxes(by_fiftyone: Any, name: str) -> None:
    examples = [one for one in awkward_examples() if name == "voc" or one.split == "train"]
    assert set(by_fiftyone[name]) == {one.file_name for one in examples}
    for example in examples:
        found = by_fiftyone[name][example.file_name]
        for (label, _, box), read in zip(shapes(example), found, strict=True):
            assert read["label"] == class_of(label)
            scaled = read["box"] * np.tile((example.width, example.height), 2)
            slack = 1 if name == "voc" else 1e-3  # VOC's corners are pixels, and it counts from 1
            assert np.abs(scaled - box).max() <= slack + 1e-6


@pytest.mark.mongo
def test_fiftyone_imports_tags_and_what_it_knows_of_cvat(by_fiftyone: Any) -> None:
    for example in awkward_examples():
        tag, text = by_fiftyone["cvat"][example.file_name]  # it passes masks over
        assert tag["label"] == CLASSES[1]
        assert text["text"] == "EXIT → ☕"
        corners = np.array(text["points"][0]) * (example.width, example.height)
        np.testing.assert_allclose(corners, [(14, 1), (19, 1), (19, 5), (14, 5)])
    (((one,),),) = ([labels] for labels in by_fiftyone["image-folder"].values())
    assert one["label"].startswith("002-caf")


# -- Ultralytics -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_ultralytics(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if find_spec("ultralytics") is None:
        pytest.skip("no ultralytics: see tests/export/consumers.txt")
    settings = {"YOLO_CONFIG_DIR": str(tmp_path_factory.mktemp("yolo")), "YOLO_OFFLINE": "true"}
    read: dict[str, Any] = printed("read_as_ultralytics.py", str(folder), **settings)
    return read


@pytest.mark.parametrize("task", ["detect", "segment"])
def test_ultralytics_loads_it_as_for_training(by_ultralytics: Any, task: str) -> None:
    read = by_ultralytics[task]
    for example in awkward_examples():
        image = read.pop(example.file_name)
        assert image["complaints"] == ""
        assert image["names"] == [class_of(label) for label in example.shapes]
        assert len(image["masks"]) == (len(example.shapes) if task == "segment" else 0)
        for place, (_, pixels, box) in enumerate(shapes(example)):
            if task == "detect":
                left, top, width, height = box
                middle = [left + width / 2, top + height / 2, width, height]
                np.testing.assert_allclose(image["boxes"][place], middle, atol=1e-3)
            else:
                drawn = np.array(image["masks"][place]) > 0
                assert (pixels <= drawn).all()
                assert place in {0, 1} or (drawn == pixels).all(), "only bridges may be too much"
    assert not read


# -- Datumaro ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_datumaro(folder: Path) -> Callable[[str, str], dict[str, Any]]:
    datumaro = consumer("datumaro")

    def read(name: str, place: str) -> dict[str, Any]:
        dataset = datumaro.Dataset.import_from(str(folder / place), name)
        names = dataset.categories()[datumaro.AnnotationType.label]
        items = {item.id.rpartition("/")[2]: (item, names) for item in dataset}
        assert set(items) == {example.stem for example in awkward_examples()}
        return items

    return read


def labels_of(item: Any, names: Any, *kinds: str) -> list[tuple[str, Any]]:
    found = [one for one in item.annotations if one.type.name in kinds]
    return sorted(((names[one.label].name, one) for one in found), key=lambda x: NAMES.index(x[0]))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools' decode
@pytest.mark.parametrize(
    ("name", "place"),
    [("coco_instances", "coco"), ("coco_instances", "coco-uncompressed"),
     ("coco_panoptic", "coco-panoptic"), ("cvat", "cvat"), ("voc", "voc")],
)  # fmt: skip
def test_datumaro_imports_masks(by_datumaro: Any, name: str, place: str) -> None:
    read = by_datumaro(name, place)
    for example in awkward_examples():
        item, names = read[example.stem]
        assert item.subset == example.split
        assert item.media.size == (example.height, example.width)
        masks = labels_of(item, names, "mask")
        labels = example.of(Kind.OBJECT) if place == "cvat" else example.shapes
        assert [label for label, _ in masks] == [class_of(label) for label in labels]
        for (_, mask), label in zip(masks, labels, strict=True):
            np.testing.assert_array_equal(mask.image > 0, rle.decode(example.mask(label)))


def test_datumaro_imports_texts_and_tags_of_cvat(by_datumaro: Any) -> None:
    for item, names in by_datumaro("cvat", "cvat").values():
        ((label, text),) = labels_of(item, names, "polygon")
        assert (label, text.attributes["text"]) == ("text", "EXIT → ☕")
        assert text.points == [14, 1, 19, 1, 19, 5, 14, 5]
        assert [label for label, _ in labels_of(item, names, "label")] == [CLASSES[1]]


@pytest.mark.parametrize(
    ("name", "place"), [("yolo", "yolo-detect"), ("voc", "voc"), ("coco_instances", "coco-polygon")]
)
def test_datumaro_imports_boxes(by_datumaro: Any, name: str, place: str) -> None:
    read = by_datumaro(name, place)
    for example in awkward_examples():
        found = labels_of(*read[example.stem], "bbox")
        for (label, _, box), (class_name, one) in zip(shapes(example), found, strict=True):
            assert class_name == class_of(label)
            assert np.abs(np.array(one.get_bbox()) - box).max() <= (1 if place == "voc" else 1e-3)


# -- pandas ------------------------------------------------------------------------------------


def test_pandas_reads_the_table_of_tags(folder: Path) -> None:
    import pandas as pd

    table = pd.read_csv(folder / "multi-label-csv/labels.csv")
    assert table.columns[2:].str.removeprefix("'").tolist() == list(CLASSES)
    assert table.iloc[:, 2:].to_numpy().tolist() == [[0, 1, 0, 0]] * 2
    assert all((folder / "multi-label-csv" / file).is_file() for file in table["file"])
