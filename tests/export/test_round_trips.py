"""Random datasets written in every format and read back by somebody else's reader."""

from __future__ import annotations

import contextlib
import csv
import gc
import io
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export.made import CLASSES, consumer, examples, grey_png, write_examples
from hypothesis import HealthCheck, given, settings
from PIL import Image
from pycocotools.coco import COCO

from pipeline import rle
from pipeline.coco import check_file
from pipeline.export.example import Example, class_of
from pipeline.export.formats.voc import xml_text
from pipeline.export.formats.yolo import filled
from pipeline.export.outline import polygons
from pipeline.export.quads import quad_of
from pipeline.labels import Kind
from pipeline.records import Bitmap, Mask

MIN_IOU = 0.95
many = settings(
    max_examples=int(os.environ.get("AUTOLABEL_EXAMPLES", "15")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
Dataset = list[Example]


@contextlib.contextmanager
def written(name: str, dataset: Dataset) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        write_examples(name, dataset, Path(folder), min_iou=MIN_IOU)
        yield Path(folder)


def of_split(dataset: Dataset, split: str) -> Dataset:
    return [example for example in dataset if example.split == split]


def iou(a: Bitmap, b: Bitmap) -> float:
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def bitmap(example: Example, label: Any) -> Bitmap:
    return rle.decode(example.mask(label))


SPIKE = Mask(8, 10, "07100000006J00000000J")
"""Two thin arms, which a simplified outline still has and its pixels do not."""


def test_a_polygon_has_the_box_of_its_pixels() -> None:
    drawn = polygons(SPIKE, MIN_IOU)
    assert drawn is not None
    box, xs = rle.tight_box(drawn.drawn), [x for ring in drawn.rings for x in ring[::2]]
    assert box is not None
    assert abs(box.x + box.width - max(xs)) <= 1


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools' annToMask
@pytest.mark.parametrize(
    ("profile", "least"), [("coco", 1.0), ("coco-uncompressed", 1.0), ("coco-polygon", MIN_IOU)]
)
@many
@given(dataset=examples())
def test_coco_by_pycocotools(profile: str, least: float, dataset: Dataset) -> None:
    with written(profile, dataset) as folder:
        for split in ("train", "val"):
            path = folder / "annotations" / f"instances_{split}.json"
            assert check_file(path, _images(folder, split)) == []
            with contextlib.redirect_stdout(io.StringIO()):
                coco = COCO(str(path))
            for example in of_split(dataset, split):
                read = coco.loadAnns(coco.getAnnIds(imgIds=[example.id]))
                assert len(read) == len(example.shapes)
                for label, annotation in zip(example.shapes, read, strict=True):
                    name = coco.loadCats([annotation["category_id"]])[0]["name"]
                    assert name == class_of(label)
                    assert iou(coco.annToMask(annotation) > 0, bitmap(example, label)) >= least
                    assert annotation.get("text", label.content.text) == label.content.text


def _images(folder: Path, split: str) -> Path:
    path = folder / "images" / split
    path.mkdir(parents=True, exist_ok=True)
    return path


def by_datumaro(name: str, folder: Path, known: Dataset) -> dict[str, list[tuple[str, Any]]]:
    """Example's stem → class names and annotations, as Datumaro imports them."""
    datumaro = consumer("datumaro")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves files open
        dataset = datumaro.Dataset.import_from(str(folder), name)
        gc.collect()
    names = dataset.categories()[datumaro.AnnotationType.label]
    items = {item.id.rpartition("/")[2]: item for item in dataset}
    assert set(items) == {example.stem for example in known}
    return {
        stem: [(names[one.label].name, one) for one in item.annotations]
        for stem, item in items.items()
    }


@many
@given(dataset=examples())
def test_panoptic_pixels(dataset: Dataset) -> None:
    with written("coco-panoptic", dataset) as folder:
        for split in ("train", "val"):
            document = json.loads((folder / "annotations" / f"panoptic_{split}.json").read_bytes())
            for example, entry in zip(
                of_split(dataset, split), document["annotations"], strict=True
            ):
                path = folder / "annotations" / f"panoptic_{split}" / entry["file_name"]
                rgb = np.asarray(Image.open(path), np.uint32)
                ids = rgb[:, :, 0] + 256 * rgb[:, :, 1] + 256**2 * rgb[:, :, 2]
                segments = {segment["id"]: segment for segment in entry["segments_info"]}
                assert set(np.unique(ids)) - {0} == set(segments)
                covered = np.zeros(ids.shape, np.bool_)
                for number, segment in segments.items():
                    label = example.shapes[number - 1]
                    pixels = ids == number
                    assert segment["area"] == pixels.sum()
                    assert (pixels <= bitmap(example, label)).all()
                    smaller = [
                        bitmap(example, other)
                        for other in example.shapes
                        if rle.area(example.mask(other)) < rle.area(example.mask(label))
                    ]
                    alone = bitmap(example, label) & ~np.any([pixels & False, *smaller], axis=0)
                    equals = [
                        o
                        for o in example.shapes
                        if rle.area(example.mask(o)) == rle.area(example.mask(label))
                    ]
                    assert len(equals) > 1 or (alone == pixels).all()
                    covered |= pixels
                union = np.any(
                    [covered & False, *(bitmap(example, one) for one in example.shapes)], axis=0
                )
                assert (covered == union).all()


@many
@given(dataset=examples())
def test_yolo_by_supervision(dataset: Dataset) -> None:
    import supervision as sv

    for name, masks in (("yolo-detect", False), ("yolo-segment", True)):
        with written(name, dataset) as folder:
            train = of_split(dataset, "train")
            read = sv.DetectionDataset.from_yolo(
                str(_images(folder, "train")),
                str(folder / "labels/train"),
                str(folder / "data.yaml"),
                force_masks=masks,
            )
            assert read.classes == [*CLASSES, "text"]
            for path, _, found in read:
                example = next(one for one in train if one.file_name == Path(path).name)
                assert len(found) == len(example.shapes)
                numbers: Any = found.class_id
                drawn: Any = found.mask
                for place, label in enumerate(example.shapes):
                    assert read.classes[numbers[place]] == class_of(label)
                    if masks:
                        _check_yolo_mask(example, label, drawn[place], folder, place)
                    else:
                        box = example.box(label)
                        corners = [box.x, box.y, box.x + box.width, box.y + box.height]
                        assert np.abs(found.xyxy[place] - corners).max() < 0.01


def _check_yolo_mask(example: Example, label: Any, read: Bitmap, folder: Path, place: int) -> None:
    """What the reader fills has all pixels of the mask, and what is too much are bridges."""
    true = bitmap(example, label)
    line = (folder / "labels/train" / f"{example.stem}.txt").read_text().splitlines()[place]
    ring = np.array([float(v) for v in line.split()[1:]]).reshape(-1, 2)
    ultralytics = filled(ring * (example.width, example.height), example.width, example.height)
    assert (ultralytics == read).all()
    assert (true <= read).all()
    simple = len(_parts(true)) == 1 and not _has_holes(true)
    assert not simple or (true == read).all()


def _parts(mask: Bitmap) -> Sequence[int]:
    from scipy.ndimage import label

    return range(label(mask, np.ones((3, 3)))[1])


def _has_holes(mask: Bitmap) -> bool:
    from scipy.ndimage import binary_fill_holes

    return bool((binary_fill_holes(mask) != mask).any())


@many
@given(dataset=examples())
def test_voc_by_supervision_and_as_masks(dataset: Dataset) -> None:
    import supervision as sv

    with written("voc", dataset) as folder:
        read = sv.DetectionDataset.from_pascal_voc(
            str(folder / "JPEGImages"), str(folder / "Annotations")
        )
        for path, _, found in read:
            example = next(one for one in dataset if one.file_name == Path(path).name)
            assert len(found) == len(example.shapes)
            for place, label in enumerate(example.shapes):
                box = example.box(label)
                # VOC counts from 1 and its boxes include their last pixel.
                corners = [box.x, box.y, box.x + box.width - 1, box.y + box.height - 1]
                assert np.abs(found.xyxy[place] - corners).max() <= 1
            objects = np.asarray(Image.open(folder / "SegmentationObject" / f"{example.stem}.png"))
            union = [bitmap(example, label) for label in example.shapes]
            assert ((objects > 0) == np.any([objects < 0, *union], axis=0)).all()
        splits = {
            split: (folder / "ImageSets/Main" / f"{split}.txt").read_text().split()
            for split in ("train", "val")
        }
        assert splits == {s: [e.stem for e in of_split(dataset, s)] for s in splits}


@many
@given(dataset=examples())
def test_panoptic_by_datumaro(dataset: Dataset) -> None:
    with written("coco-panoptic", dataset) as folder:
        put_images(folder, dataset)
        read = by_datumaro("coco_panoptic", folder, dataset)
        for example in dataset:
            seen = [(name, one.image > 0) for name, one in read[example.stem]]
            assert not seen or not np.sum([pixels for _, pixels in seen], axis=0).max() > 1
            for name in (*CLASSES, "text"):
                drawn = [pixels for other, pixels in seen if other == name]
                wanted = [bitmap(example, x) for x in example.shapes if class_of(x) == name]
                nothing = np.zeros((example.height, example.width), np.bool_)
                assert (
                    np.any([nothing, *drawn], axis=0) <= np.any([nothing, *wanted], axis=0)
                ).all()


def put_images(folder: Path, dataset: Dataset) -> None:
    """Datumaro wants to find the files."""
    for example in dataset:
        path = _images(folder, example.split) / example.file_name
        path.write_bytes(grey_png(example))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools' decode
@many
@given(dataset=examples())
def test_cvat_by_datumaro(dataset: Dataset) -> None:
    with written("cvat", dataset) as folder:
        read = by_datumaro("cvat", folder, dataset)
        for example in dataset:
            found = read[example.stem]
            masks = [(name, one.image > 0) for name, one in found if one.type.name == "mask"]
            for label, (name, pixels) in zip(example.of(Kind.OBJECT), masks, strict=True):
                assert name == label.content.label
                assert (pixels == bitmap(example, label)).all()
            texts = [one for _, one in found if one.type.name == "polygon"]
            for label, one in zip(example.of(Kind.TEXT), texts, strict=True):
                corners = [value for p in quad_of(example, label) for value in (p.x, p.y)]
                assert np.abs(np.array(one.points) - corners).max() <= 0.01
                assert one.attributes["text"] == xml_text(label.content.text or "")
            tags = [name for name, one in found if one.type.name == "label"]
            assert tags == [tag.content.label for tag in example.of(Kind.TAG)]


@many
@given(dataset=examples())
def test_label_studio_by_its_own_decoder(dataset: Dataset) -> None:
    brush = consumer("label_studio_sdk.converter.brush")
    with written("label-studio", dataset) as folder:
        tasks = json.loads((folder / "tasks.json").read_bytes())
        for example, task in zip(dataset, tasks, strict=True):
            result = (task.get("annotations") or task["predictions"])[0]["result"]
            brushes = [part for part in result if part["type"] == "brushlabels"]
            for label, part in zip(example.of(Kind.OBJECT), brushes, strict=True):
                packed = brush.decode_rle(part["value"]["rle"])
                pixels = packed.reshape(example.height, example.width, 4)
                assert (pixels == 255 * bitmap(example, label)[:, :, None]).all()
                assert part["value"]["brushlabels"] == [label.content.label]
            said = [part["value"]["text"] for part in result if part["type"] == "textarea"]
            assert said == [[label.content.text] for label in example.of(Kind.TEXT)]


@many
@given(dataset=examples())
def test_huggingface_by_load_dataset(dataset: Dataset) -> None:
    import datasets

    datasets.disable_progress_bars()
    with written("huggingface", dataset) as folder, tempfile.TemporaryDirectory() as cache:
        for split, called in (("train", "train"), ("val", "validation")):
            known = of_split(dataset, split)
            if not known:
                continue
            read = datasets.load_dataset(str(folder), split=called, cache_dir=cache)
            assert len(read) == len(known)
            names = read.features["objects"]["category"].feature
            for example, row in zip(known, read, strict=True):
                assert row["image"].size == (example.width, example.height)
                objects = example.of(Kind.OBJECT)
                masks = [
                    rle.decode(rle.from_counts(example.height, example.width, counts))
                    for counts in row["objects"]["segmentation"]
                ]
                for label, mask, number in zip(
                    objects, masks, row["objects"]["category"], strict=True
                ):
                    assert (mask == bitmap(example, label)).all()
                    assert names.int2str(number) == label.content.label
                assert row["texts"]["text"] == [x.content.text for x in example.of(Kind.TEXT)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # leaves files open
@many
@given(dataset=examples())
def test_webdataset_by_its_library(dataset: Dataset) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import webdataset
    with written("webdataset", dataset) as folder:
        for split in {example.split for example in dataset}:
            known = of_split(dataset, split)
            shards = webdataset.WebDataset(str(folder / f"{split}-000000.tar"), shardshuffle=False)
            for example, sample in zip(known, shards.decode("pil"), strict=True):
                assert sample["__key__"] == example.stem
                assert sample["png"].size == (example.width, example.height)
                for label, entry in zip(example.shapes, sample["json"]["annotations"], strict=True):
                    counts = entry["segmentation"]["counts"]
                    mask = rle.decode(rle.from_counts(example.height, example.width, counts))
                    assert (mask == bitmap(example, label)).all()


@many
@given(dataset=examples())
def test_texts_and_tags(dataset: Dataset) -> None:
    with written("coco-text", dataset) as folder:
        document = json.loads((folder / "annotations/coco_text.json").read_bytes())
        for example in dataset:
            numbers = document["imgToAnns"][str(example.id)]
            read = [document["anns"][str(number)] for number in numbers]
            said = [label.content.text or "" for label in example.of(Kind.TEXT)]
            assert [entry.get("utf8_string", "") for entry in read] == said
    with written("multi-label-csv", dataset) as folder:
        with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert rows[0][2:] == ["cat", "café ☕", "'=formula", "物 <b>"]
        for example, row in zip(dataset, rows[1:], strict=True):
            tags = {tag.content.label for tag in example.of(Kind.TAG)}
            assert row[2:] == [str(int(name in tags)) for name in CLASSES]


@many
@given(dataset=examples())
def test_image_folder_by_torchvision(dataset: Dataset) -> None:
    from torchvision.datasets import ImageFolder

    with written("image-folder", dataset) as folder:
        read = ImageFolder(str(folder / "train"), allow_empty=True)
        tagged = [one for one in of_split(dataset, "train") if one.of(Kind.TAG)]
        assert {Path(path).name for path, _ in read.samples} == {e.file_name for e in tagged}
        folders = dict(csv.reader((folder / "classes.csv").read_text("utf-8").splitlines()))
        for path, number in read.samples:
            example = next(one for one in tagged if one.file_name == Path(path).name)
            name = folders[read.classes[number]].removeprefix("'")
            assert name in {tag.content.label for tag in example.of(Kind.TAG)}
