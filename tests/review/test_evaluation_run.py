"""An evaluation in FiftyOne: its own figures agree, and reviews do not notice it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bson.raw_bson import RawBSONDocument
from review.made_runs import SIZE, Shown, make_project, rectangle, write_run
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.errors import ReviewError
from pipeline.evaluate import evaluate
from pipeline.records import JsonObject
from pipeline.review.evaluation import show_evaluation
from pipeline.review.fields import EVALUATION
from pipeline.review.projection import dataset_name
from pipeline.review.publish import publish
from pipeline.review.pull import pull
from pipeline.runfile import RunFile

pytestmark = [pytest.mark.mongo, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

FOUND = {
    "a.png": (("cat", (4, 4, 20, 20)), ("dog", (34, 34, 20, 20)), ("cat", (2, 40, 8, 8))),
    "b.png": (("dog", (10, 10, 30, 30)), ("cat", (44, 44, 12, 12))),
    "c.png": (),
}
TRUE = {
    "a.png": (("cat", (5, 4, 20, 20)), ("cat", (34, 34, 20, 19))),  # a hit; a cat called a dog
    "b.png": (("dog", (10, 12, 30, 30)), ("dog", (50, 2, 10, 10))),  # a hit; one missed
    "c.png": (("cat", (20, 20, 20, 20)),),
}
OURS = ("objects", "texts", "scene_tags", "status", "tags", "auto", "last_modified_at")


def write_truth(folder: Path, *, crowd: bool = False) -> str:
    names = ("cat", "dog")
    document: JsonObject = {
        "images": [
            {"id": n, "file_name": name, "width": SIZE, "height": SIZE}
            for n, name in enumerate(TRUE, 1)
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names, 1)],
        "annotations": [],
    }
    for image, shapes in enumerate(TRUE.values(), 1):
        for name, (x, y, width, height) in shapes:
            mask = rectangle(x, y, width, height)
            document["annotations"].append(
                {
                    "id": 1 + len(document["annotations"]),
                    "image_id": image,
                    "category_id": 1 + names.index(name),
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": int(crowd and name == "cat" and image == 1),
                    "segmentation": {"size": [SIZE, SIZE], "counts": mask.counts},
                }
            )
    path = folder / "truth.json"
    path.write_text(json.dumps(document))
    return str(path)


def published(folder: Path) -> RunFile:
    run = make_project(folder, list(FOUND))
    shown = [Shown(name, objects, ("cat",), ("WORD",)) for name, objects in FOUND.items()]
    write_run(run, shown)
    publish(run)
    return run


def stored(fo: Any, run: RunFile) -> dict[str, dict[str, bytes]]:
    """What reviews are about, byte for byte."""
    from bson.codec_options import CodecOptions
    from fiftyone.core.odm import get_db_conn

    options = CodecOptions(document_class=RawBSONDocument)
    name = fo.load_dataset(dataset_name(run))._sample_collection_name
    rows = get_db_conn()[name].with_options(codec_options=options).find({})
    return {row["sha256"]: {key: repr(row.get(key)).encode() for key in OURS} for row in rows}


def test_the_figures_are_ours_and_fiftyone_counts_the_same(fo: Any, tmp_path: Path) -> None:
    run = make_project(tmp_path, list(FOUND))
    write_run(run, [Shown(name, objects) for name, objects in FOUND.items()])
    done = evaluate(run, write_truth(tmp_path))
    with pytest.raises(ReviewError, match="autolabel publish"):
        show_evaluation(run, done)
    publish(run)
    assert show_evaluation(run, done) == 3
    dataset = fo.load_dataset(dataset_name(run))
    dataset.reload()
    assert dataset.list_evaluations() == [EVALUATION]
    results = dataset.load_evaluation_results(EVALUATION)
    objects = done.document["objects"]
    assert results.mAP() == pytest.approx(objects["mask"]["pycocotools"]["AP"], abs=1e-9)
    assert results.mAR() == pytest.approx(objects["mask"]["pycocotools"]["AR_100"], abs=1e-9)
    names = [*(row["name"] for row in objects["classes"]), results.missing]
    matrix = results.confusion_matrix(classes=names)
    assert (matrix == np.array(objects["confusion"]["matrix"])).all()
    counted = {key: dataset.sum(f"{EVALUATION}_{key}") for key in ("tp", "fp", "fn")}
    assert counted == {key: objects["overall"][key] for key in counted}
    assert counted == {"tp": 2, "fp": 3, "fn": 3}
    report = results.report()
    for row in objects["classes"]:
        assert report[row["name"]]["precision"] == pytest.approx(row["precision"]["value"])
        assert report[row["name"]]["recall"] == pytest.approx(row["recall"]["value"])
    view = dataset.load_evaluation_view(EVALUATION)
    assert len(view) == 3
    hits = dataset.filter_labels("predictions", fo.ViewField(EVALUATION) == "tp")
    assert hits.count("predictions.detections") == 2
    iou = {d[f"{EVALUATION}_iou"] for s in hits for d in s["predictions"].detections}
    assert {round(value, 6) for value in iou} == {round(380 / 420, 6), round(840 / 960, 6)}
    # FiftyOne's own judgement of the same two fields.
    dataset.get_field("truth").read_only = False
    dataset.get_field("truth").save()
    dataset.evaluate_detections(
        "predictions", "truth", eval_key="own", use_masks=True, iou=0.5, classwise=True
    )
    for sample in dataset:
        own = [sample[f"own_{key}"] for key in counted]
        assert own == [sample[f"{EVALUATION}_{key}"] for key in counted]
        for label in sample["predictions"].detections:
            assert label["own"] == label[EVALUATION]


def test_reviews_do_not_notice_an_evaluation(fo: Any, tmp_path: Path) -> None:
    run = published(tmp_path)
    truth = write_truth(tmp_path)
    dataset = fo.load_dataset(dataset_name(run))
    sample = dataset.match({"file_name": "a.png"}).first()
    sample["objects"].detections[0]["review"] = "accepted"
    sample["objects"].detections[1].label = "cat"
    sample["texts"].polylines[0]["text"] = "WORDS"
    sample.save()
    before = stored(fo, run)
    show_evaluation(run, evaluate(run, truth))
    assert stored(fo, run) == before, "not one byte that a person can edit"
    report = pull(run)
    assert report.images == 1
    assert report.events == {"accepted": 1, "relabelled": 1, "text_corrected": 1}
    show_evaluation(run, evaluate(run, truth))
    assert pull(run).images == 0
    again = publish(run)
    assert again.decided == 3
    write_run(run, [Shown(name, objects[:1]) for name, objects in FOUND.items()])
    publish(run)
    loaded = fo.load_dataset(dataset_name(run))
    loaded.reload()
    sample = loaded.match({"file_name": "a.png"}).first()
    labels = {label["review"]: label.label for label in sample["objects"].detections}
    assert labels == {"accepted": "cat", "edited": "cat"}
    assert sample["texts"].polylines[0]["text"] == "WORDS"
    assert len(sample["truth"].detections) == 2, "no publish removes it"
    assert loaded.list_evaluations() == [EVALUATION]
    groups = {group.name: group.paths for group in loaded.app_config.sidebar_groups}
    assert {"truth", "predictions"} <= set(groups["evaluation"])


def test_a_new_evaluation_replaces_the_old_one_and_nothing_else(fo: Any, tmp_path: Path) -> None:
    run = published(tmp_path)
    dataset = fo.load_dataset(dataset_name(run))
    show_evaluation(run, evaluate(run, write_truth(tmp_path, crowd=True)))
    write_run(run, [Shown("a.png", FOUND["a.png"][:1])])
    publish(run)
    done = evaluate(run, write_truth(tmp_path))
    assert show_evaluation(run, done) == 1
    dataset.reload()
    assert dataset.count("predictions.detections") == 1
    assert dataset.sum(f"{EVALUATION}_tp") == done.document["objects"]["overall"]["tp"] == 1
    sample = dataset.match({"file_name": "a.png"}).first()
    with pytest.raises(ValueError, match="read-only"):
        sample["truth"] = fo.Detections()
    dataset.delete_evaluation(EVALUATION)
    show_evaluation(run, done)
    dataset.reload()
    assert dataset.list_evaluations() == [EVALUATION]


def test_a_field_of_somebody_else_is_left_alone(fo: Any, tmp_path: Path) -> None:
    run = published(tmp_path)
    dataset = fo.load_dataset(dataset_name(run))
    dataset.add_sample_field("truth", fo.StringField)
    with pytest.raises(ReviewError, match="somebody else's"):
        show_evaluation(run, evaluate(run, write_truth(tmp_path)))
    assert dataset.list_evaluations() == []


def test_what_people_made_of_the_labels_is_truth_too(fo: Any, tmp_path: Path) -> None:
    run = published(tmp_path)
    dataset = fo.load_dataset(dataset_name(run))
    sample = dataset.match({"file_name": "b.png"}).first()
    sample["objects"].detections[0]["review"] = "rejected"
    sample["status"] = "done"
    sample.save()
    pull(run)
    assert show_evaluation(run, evaluate(run, "reviewed")) == 1
    dataset.reload()
    assert dataset.count("truth.detections") == 1
    assert dataset.sum(f"{EVALUATION}_fp") == 1
    assert pull(run).images == 0


def test_the_command_needs_no_database(fo: Any, tmp_path: Path, monkeypatch: Any) -> None:
    run = make_project(tmp_path, list(FOUND))
    write_run(run, [Shown(name, objects) for name, objects in FOUND.items()])
    words = ["evaluate", str(run.path), "--truth", write_truth(tmp_path)]

    def said(*more: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*words, *more], catch_exceptions=False)
        return result.exit_code, " ".join(result.output.split())

    code, output = said()
    assert code == 0
    assert "not in FiftyOne: made-" in output
    with pytest.raises(ReviewError, match="no such dataset"):
        said("--publish")
    publish(run)
    assert "FiftyOne: 3 samples" in said()[1]
    assert "FiftyOne" not in said("--no-publish")[1]
    monkeypatch.delenv("FIFTYONE_DATABASE_URI")
    assert "FiftyOne" not in said()[1], "a workspace without a database is not given one"
    assert not (run.config.workspace / "fiftyone").exists()
