"""Publish and pull through a real FiftyOne dataset."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from review.made_runs import HTML, Shown, draw, make_project, write_run

from pipeline.errors import ReviewError
from pipeline.labels.log import ReviewLog
from pipeline.reasons import Reason
from pipeline.records import Quarantined
from pipeline.review.database import open_database
from pipeline.review.projection import dataset_name
from pipeline.review.publish import publish
from pipeline.review.pull import pull
from pipeline.runfile import RunFile

pytestmark = [pytest.mark.mongo, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

TWO = (
    Shown(
        "a.png",
        (("cat", (4, 4, 20, 20)), ("dog", (34, 4, 20, 24))),
        tags=("cat", HTML),
        texts=("STOP", HTML),
    ),
    Shown("b.png", ((HTML, (10, 10, 30, 12)),), tags=("dog",)),
)


@pytest.fixture
def run(fo: Any, tmp_path: Path) -> RunFile:
    """A project with one run, published."""
    run = make_project(tmp_path, ["a.png", "b.png"])
    write_run(run, TWO)
    publish(run)
    return run


def dataset(fo: Any, run: RunFile) -> Any:
    loaded = fo.load_dataset(dataset_name(run))
    loaded.reload()
    return loaded


def sample(fo: Any, run: RunFile, name: str) -> Any:
    return dataset(fo, run).match({"file_name": name}).first()


def contents(fo: Any, run: RunFile) -> dict[str, Any]:
    """Everything that the workspace says of the samples, by file name."""
    out = {}
    for one in dataset(fo, run):
        value = one.to_dict(include_private=False)
        for key in ("id", "_id", "created_at", "last_modified_at", "run_id", "changed_by_rerun"):
            value.pop(key, None)
        value.pop("auto")
        text = json.dumps(value, default=str, sort_keys=True)
        out[one.file_name] = text.replace(one.run_id, "RUN")
    return out


def test_a_published_label_has_all_that_reviewers_need(fo: Any, run: RunFile) -> None:
    one = sample(fo, run, "a.png")
    assert os.path.isabs(one.filepath)  # noqa: PTH117
    assert (one.metadata.width, one.metadata.height) == (64, 64)
    cat, dog = one.objects.detections
    assert (cat.label, dog.label) == ("cat", "dog")
    assert cat.mask.shape == (20, 20)
    assert cat.mask.all()
    assert cat.bounding_box == pytest.approx([4 / 64, 4 / 64, 20 / 64, 20 / 64])
    assert (cat.review, cat.source, cat.decision) == ("pending", "machine", "review")
    assert cat.confidence == pytest.approx(0.61)
    assert cat.margin == pytest.approx(0.41)
    assert cat.model == "fake-segment + fake-embed_regions"
    assert [line.text for line in one.texts.polylines] == ["STOP", HTML]
    assert one.texts.polylines[0].label == "text"
    assert [tag.label for tag in one.scene_tags.classifications] == ["cat", HTML]
    assert one.min_margin == pytest.approx(0.1)
    assert f"tag {HTML} without an object" in one.conflicts
    info = dataset(fo, run).info["autolabel"]
    assert info["classes"] == ["cat", "dog", HTML]


def test_html_is_text_on_every_way(fo: Any, run: RunFile) -> None:
    one = sample(fo, run, "b.png")
    one.objects.detections[0].label = f"{HTML}&amp;"
    one.tags = [HTML]
    one.save()
    pull(run)
    fo.delete_dataset(dataset_name(run))
    publish(run)
    again = sample(fo, run, "b.png")
    assert again.objects.detections[0].label == f"{HTML}&amp;"
    assert again.tags == [HTML]
    assert sample(fo, run, "a.png").texts.polylines[1].text == HTML


def test_an_unchanged_run_writes_nothing(fo: Any, run: RunFile) -> None:
    before = dict(zip(*dataset(fo, run).values(["file_name", "last_modified_at"]), strict=True))
    report = publish(run)
    assert (report.written, report.unchanged) == (0, 2)
    write_run(run, TWO)
    assert publish(run).written == 0
    after = dict(zip(*dataset(fo, run).values(["file_name", "last_modified_at"]), strict=True))
    assert after == before


def test_what_people_do_in_any_tool_is_found_and_kept(fo: Any, run: RunFile) -> None:
    one = sample(fo, run, "a.png")
    one.objects.detections[0].label = "lynx"
    one.objects.detections[1]["review"] = "accepted"
    one.texts.polylines[0]["text"] = "STOP!"
    one.scene_tags.classifications = one.scene_tags.classifications[1:]
    one.objects.detections.append(fo.Detection(label="bird", bounding_box=[0.7, 0.7, 0.2, 0.2]))
    one["status"] = "done"
    one.tags = ["keep"]
    one.save()
    report = pull(run)
    assert report.events == {
        "relabelled": 1, "accepted": 1, "text_corrected": 1, "deleted": 1, "added": 1,
        "image_done": 1, "image_tagged": 1,
    }  # fmt: skip
    assert pull(run).events == {}
    write_run(run, (Shown("a.png", (("dog", (4, 4, 20, 20)),), tags=("cat",)), TWO[1]))
    second = publish(run)
    assert second.proposals == 1
    again = sample(fo, run, "a.png")
    found = {x.label: (x.review, x.source) for x in again.objects.detections}
    assert found == {
        "lynx": ("edited", "machine"),
        "dog": ("accepted", "machine"),
        "bird": ("accepted", "human"),
    }
    assert [x.text for x in again.texts.polylines] == ["STOP!"]
    assert again.scene_tags.classifications == []
    assert (again.status, again.tags) == ("done", ["keep"])
    proposal = json.loads(again.objects.detections[0].proposal)
    assert proposal["content"]["label"] == "dog"
    assert publish(run).written == 0


def test_a_brush_edit_comes_back_in_another_size_and_is_normalised(fo: Any, run: RunFile) -> None:
    one = sample(fo, run, "a.png")
    painted = np.kron(one.objects.detections[0].mask, np.ones((2, 2))).astype(np.uint8) * 255
    painted[:20] = 0  # the upper half is wiped away
    one.objects.detections[0].mask = painted
    x, y, width, height = one.objects.detections[0].bounding_box
    one.objects.detections[0].bounding_box = [x + 0.001, y, width, height]
    one.save()
    assert pull(run).events == {"geometry_edited": 1}
    publish(run)
    edited = sample(fo, run, "a.png").objects.detections[0]
    assert edited.mask.dtype == bool
    assert edited.mask.shape == (10, 20)
    assert edited.review == "edited"
    assert edited.bounding_box == pytest.approx([4 / 64, 14 / 64, 20 / 64, 10 / 64])


def test_a_label_that_only_drifted_is_untouched(fo: Any, run: RunFile) -> None:
    one = sample(fo, run, "a.png")
    detection = one.objects.detections[0]
    detection.mask = np.kron(detection.mask, np.ones((2, 2))).astype(np.uint8)
    detection.bounding_box = [value + 0.001 for value in detection.bounding_box]
    one.save()
    assert pull(run).events == {}
    publish(run)
    assert sample(fo, run, "a.png").objects.detections[0].mask.shape == (20, 20)


def test_the_dataset_can_be_thrown_away(fo: Any, run: RunFile) -> None:
    one = sample(fo, run, "a.png")
    one.objects.detections[0]["review"] = "rejected"
    one.objects.detections[1].tags = ["check"]
    one.objects.detections[1]["occluded"] = True
    one.objects.detections.append(fo.Detection(label="bird", bounding_box=[0.5, 0.5, 0.2, 0.2]))
    one.texts.polylines = one.texts.polylines[1:]
    one.save()
    publish(run)
    before = contents(fo, run)
    fo.delete_dataset(dataset_name(run))
    publish(run)
    assert contents(fo, run) == before
    assert '"occluded": true' in before["a.png"]


def test_a_moved_file_keeps_its_sample(fo: Any, run: RunFile) -> None:
    one = sample(fo, run, "a.png")
    folder = run.config.images[0]
    (folder / "a.png").rename(folder / "moved.png")
    write_run(run, (Shown("moved.png", TWO[0].objects, TWO[0].tags, TWO[0].texts), TWO[1]))
    publish(run)
    moved = sample(fo, run, "moved.png")
    assert moved.id == one.id
    assert moved.filepath == str(folder / "moved.png")
    assert len(dataset(fo, run)) == 2


def test_an_image_that_leaves_keeps_its_reviews(fo: Any, run: RunFile) -> None:
    one = sample(fo, run, "a.png")
    one.objects.detections[0].label = "lynx"
    one.save()
    write_run(run, TWO[1:])
    report = publish(run)
    assert (report.removed, report.pulled.events) == (1, {"relabelled": 1})
    assert len(dataset(fo, run)) == 1
    write_run(run, TWO)
    publish(run)
    assert sample(fo, run, "a.png").objects.detections[0].label == "lynx"


def test_the_quarantine_can_be_seen(fo: Any, run: RunFile) -> None:
    folder = run.config.images[0]
    draw(folder / "thin.png", 7)
    bad = [
        Quarantined(0, "thin.png", Reason.TOO_ELONGATED, "expected <= 50", digest="cd" * 32),
        Quarantined(0, "notes.txt", Reason.NOT_AN_IMAGE, "text", digest="ef" * 32),
    ]
    write_run(run, TWO, bad)
    assert publish(run).quarantined == 2
    thin = sample(fo, run, "thin.png")
    assert (thin.status, thin.quarantine_reason) == ("quarantined", "too_elongated")
    listed = [row["reason"] for row in dataset(fo, run).info["quarantine"]]
    assert listed == ["too_elongated", "not_an_image"]


def test_changes_of_a_rerun_are_marked(fo: Any, run: RunFile) -> None:
    assert not any(dataset(fo, run).values("changed_by_rerun"))
    write_run(run, (TWO[0], Shown("b.png", (("cat", (10, 10, 30, 12)),), tags=("dog",))))
    publish(run)
    assert sample(fo, run, "b.png").changed_by_rerun
    assert not sample(fo, run, "a.png").changed_by_rerun
    assert publish(run).written == 0
    write_run(run, (TWO[0], Shown("b.png", (("cat", (10, 10, 30, 12)),), tags=("dog",))))
    publish(run)
    assert not sample(fo, run, "b.png").changed_by_rerun


def test_a_state_that_a_crash_brought_back_says_nothing(fo: Any, run: RunFile) -> None:
    one = sample(fo, run, "a.png")
    raw = dataset(fo, run)._sample_collection
    old = raw.find_one({"sha256": one.sha256})
    one.objects.detections[0]["review"] = "accepted"
    one.objects.detections = one.objects.detections[:1]
    one.save()
    assert pull(run).events == {"accepted": 1, "deleted": 1}
    raw.replace_one({"_id": old["_id"]}, old)
    assert pull(run).events == {}
    publish(run)
    kept = sample(fo, run, "a.png").objects.detections
    assert [(x.label, x.review) for x in kept] == [("cat", "accepted")]


def test_an_edit_during_publish_is_taken_up_first(
    fo: Any, run: RunFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.review.projection import ReviewDataset

    one, whole = sample(fo, run, "a.png"), ReviewDataset.write
    edits = iter([True])

    def edit_then_write(self: ReviewDataset, updates: Any) -> int:
        if updates and next(edits, False):
            one.objects.detections[0].label = "lynx"
            one.save()
        return whole(self, updates)

    write_run(run, (Shown("a.png", (("dog", (4, 4, 20, 20)),)), TWO[1]))
    monkeypatch.setattr(ReviewDataset, "write", edit_then_write)
    report = publish(run)
    assert report.pulled.events == {"relabelled": 1}
    assert report.busy == 0
    assert sample(fo, run, "a.png").objects.detections[0].label == "lynx"


def test_a_copy_of_a_label_is_an_addition(fo: Any, run: RunFile) -> None:
    one = sample(fo, run, "b.png")
    copied = one.objects.detections[0].copy()
    copied.label, copied.bounding_box = "cat", [0.1, 0.6, 0.3, 0.2]
    one.objects.detections.append(copied)
    one.save()
    assert pull(run).events == {"added": 1}
    publish(run)
    assert [x.label for x in sample(fo, run, "b.png").objects.detections] == [HTML, "cat"]


def test_one_database_after_another_in_one_process(
    fo: Any, server: Any, run: RunFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fo.delete_dataset(dataset_name(run))  # opens what fiftyone keeps beside its main connection
    monkeypatch.delenv("FIFTYONE_DATABASE_URI")
    publish(run)
    with open_database(run.config.workspace):
        assert len(dataset(fo, run)) == 2
        fo.delete_dataset(dataset_name(run))
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", server.uri)
    publish(run)
    fo.delete_dataset(dataset_name(run))


def test_pull_before_any_publish_says_what_to_do(fo: Any, tmp_path: Path) -> None:
    run = make_project(tmp_path, ["a.png"])
    with pytest.raises(ReviewError, match="autolabel publish"):
        pull(run)
    with pytest.raises(ReviewError, match="autolabel run"):
        publish(run)


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    acts=st.lists(
        st.tuples(
            st.sampled_from(["accept", "reject", "relabel", "delete", "add", "correct", "rerun"]),
            st.integers(0, 9),
        ),
        min_size=3,
        max_size=7,
    )
)
def test_random_histories_through_the_dataset(
    fo: Any, run: RunFile, acts: list[tuple[str, int]]
) -> None:
    for what, n in acts:
        one = sample(fo, run, "a.png")
        if what == "rerun":
            write_run(run, (_rerun(n), TWO[1]))
            publish(run)
        else:
            _edit(fo, one, what, n)
            one.save()
    said = _human(sample(fo, run, "a.png"))
    publish(run)
    write_run(run, (_rerun(3), TWO[1]))
    publish(run)
    now = _human(sample(fo, run, "a.png"))
    assert {key: now.get(key) for key in said} == said
    before = contents(fo, run)
    fo.delete_dataset(dataset_name(run))
    publish(run)
    assert contents(fo, run) == before
    log = ReviewLog(run.config.workspace)
    gone = {
        x.id for x in log[sample(fo, run, "a.png").sha256].labels.values() if x.status == "deleted"
    }
    assert not gone & set(now)


def _rerun(n: int) -> Shown:
    objects = (("dog", (4 + n % 3, 4, 20, 20)), ("cat", (34, 4, 20, 24)))
    return Shown("a.png", objects[: 1 + n % 2], tags=("dog",), texts=("ST0P",))


def _edit(fo: Any, one: Any, what: str, n: int) -> None:
    labels = one.objects.detections
    if what == "add":
        labels.append(fo.Detection(label=f"own{n}", bounding_box=[0.05 * n, 0.7, 0.04, 0.1]))
    elif what == "correct" and one.texts.polylines:
        one.texts.polylines[0]["text"] = f"TEXT {n}"
    elif labels and what in {"accept", "reject"}:
        labels[n % len(labels)]["review"] = f"{what}ed"
    elif labels and what == "relabel":
        labels[n % len(labels)].label = f"name {n}"
    elif labels and what == "delete":
        del labels[n % len(labels)]


def _human(one: Any) -> dict[str, tuple[object, ...]]:
    """What is of people in a sample: id → its fields."""
    out: dict[str, tuple[object, ...]] = {}
    for label in one.objects.detections:
        name = label.get_attribute_value("autolabel_id", None) or f"human:{label.id}"
        review = label.get_attribute_value("review", None)
        if review != "pending" or label.label.startswith("name"):
            out[name] = (label.label, tuple(round(v, 3) for v in label.bounding_box))
    for line in one.texts.polylines:
        if line["text"].startswith("TEXT"):
            out[line["autolabel_id"]] = (line["text"],)
    return out
