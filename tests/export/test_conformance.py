"""The mutations that the check must find, on every COCO profile that is exported."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export.made import Drawn, Shown, make_project, rectangle, write_run
from PIL import Image
from unit.coco.test_mutations import MUTATIONS, dumped

from pipeline import rle
from pipeline.coco import check_file
from pipeline.export import Choice, ExportRequest, export
from pipeline.records import JsonObject, Point

PROFILES = ("coco", "coco-polygon", "coco-uncompressed")
RUN_FILE = """\
name: made
images: [images]
workspace: ws
stages:
  embed: {engine: fake}
  segment: {engine: fake}
  read: {engine: fake}
policy:
  classes:
    - {name: cat}
    - {name: café}
    - {name: 物}
"""


@pytest.fixture(scope="module", params=PROFILES)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with the geometry of the sample that the mutations were made for."""
    folder = tmp_path_factory.mktemp(request.param)
    run = make_project(folder / "project", 0, RUN_FILE)
    for name, size in (("000.png", (40, 30)), ("001.png", (17, 64)), ("002.png", (40, 30))):
        Image.new("RGB", size, (int(name[2]), 90, 90)).save(run.config.images[0] / name)
    frame = rle.decode(rectangle(20, 5, 12, 12, (30, 40))).copy()
    frame[9:13, 24:28] = False
    objects = [Drawn("cat", rectangle(2, 3, 10, 8, (30, 40))), Drawn("物", rle.encode(frame))]
    quads = (quad(3, 4, 11, 4, 11, 9, 3, 9), quad(30, 20, 38, 22, 37, 27, 29, 25))
    first = Shown("000.png", objects, ("cat", "café"), ("EXIT", "café"), quads=quads)
    second = Shown("001.png", [Drawn("café", rectangle(0, 0, 17, 64, (64, 17)))])
    write_run(run, [first, second, Shown("002.png")])
    wanted = ExportRequest(request.param, folder / "out", status=Choice.ALL)
    path = export(run, wanted).out / "annotations/instances_all.json"
    assert check_file(path, path.parents[1] / "images/all") == []
    return path


def quad(*corners: float) -> tuple[Point, Point, Point, Point]:
    first, second, third, fourth = map(Point, corners[::2], corners[1::2])
    return first, second, third, fourth


def test_every_mutation_that_fits_is_found(exported: Path, tmp_path: Path) -> None:
    clean = json.loads(exported.read_bytes())
    path, found, unfit = tmp_path / "labels.json", [], []
    for name, (rule, change) in MUTATIONS.items():
        document = json.loads(json.dumps(clean))
        try:
            data = change(document) or dumped(document)
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            unfit.append(name)  # it reaches into what only the check's own sample has
            continue
        path.write_bytes(data)
        broken = {violation.rule for violation in check_file(path)}
        if data == dumped(clean) or (not broken and within_slack(exported, rule)):
            unfit.append(name)
        else:
            assert names_of(exported, rule) & broken, f"{name}: rule {rule}, broke {broken}"
            found.append(name)
    assert len(found) >= 40, f"{len(found)} found, unfit: {unfit}"


def within_slack(exported: Path, rule: int) -> bool:
    """Polygons may be a pixel and one percent off; run lengths may not."""
    return "coco-polygon" in str(exported) and rule in {12, 13}


def names_of(exported: Path, rule: int) -> set[int]:
    """What is wrong with packed counts is a fault of plain ones where these should be."""
    return {17, 18} if rule == 17 and "uncompressed" in str(exported) else {rule}


@pytest.mark.parametrize("name", ["pycocotools", "faster_coco_eval"])
def test_evaluated_against_itself(exported: Path, name: str) -> None:
    index, judge = judges(name)
    document: JsonObject = json.loads(exported.read_bytes())
    for kind, key in (("bbox", "bbox"), ("segm", "segmentation")):
        keys = ("image_id", "category_id", "score", key)
        results = [{k: entry[k] for k in keys} for entry in document["annotations"]]
        with contextlib.redirect_stdout(io.StringIO()):
            truth = index(str(exported))
            if isinstance(results[0].get("segmentation"), dict | list):
                results = [{**r, "segmentation": truth.annToRLE(e)} for r, e in
                           zip(results, document["annotations"], strict=True)]  # fmt: skip
            evaluation = judge(truth, truth.loadRes(results), kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        assert evaluation.stats[0] == pytest.approx(1.0, abs=1e-12)


def judges(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    if name == "pycocotools":
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return COCO, COCOeval
    import faster_coco_eval

    return faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # of pycocotools' annToMask
def test_torchvision_reads_it(exported: Path) -> None:
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2

    with contextlib.redirect_stdout(io.StringIO()):
        plain = CocoDetection(str(exported.parents[1] / "images/all"), str(exported))
        read = wrap_dataset_for_transforms_v2(plain, target_keys={"boxes", "labels", "masks"})
    document = json.loads(exported.read_bytes())
    if "uncompressed" in str(exported):
        pytest.skip("torchvision's wrapper takes packed run lengths and polygons only")
    n = 0
    for image, target in read:
        assert image.size in {(40, 30), (17, 64)}
        n += len(target.get("boxes", ()))
        for mask, box in zip(target.get("masks", ()), target.get("boxes", ()), strict=True):
            rows, columns = np.nonzero(np.asarray(mask))
            corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert np.abs(np.asarray(box) - corners).max() <= 1
    assert n == len(document["annotations"])
