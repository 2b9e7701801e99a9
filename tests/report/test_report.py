"""The report: says what is so, loads nothing, and takes nobody's words for HTML."""

from __future__ import annotations

import base64
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from review.made_runs import HTML, Shown, make_project, write_run

from pipeline.app import SILENT
from pipeline.errors import ReviewError
from pipeline.explain.values import FOLDER, INDEX
from pipeline.labels.log import ReviewLog
from pipeline.labels.runs import FinishedRun
from pipeline.labels.values import Event, Reviewed, Status, What
from pipeline.reasons import Reason
from pipeline.records import Quarantined
from pipeline.report import make_page, render, write_report
from pipeline.report.charts import BINS, HEIGHT, WIDTH, histogram
from pipeline.report.differences import compare
from pipeline.runfile import RunFile

NAME = '<img src=x onerror="alert(1)">\'&.png'
ATTACK = "</title></style><script>alert('x')</script>{{ 7 * 7 }}<svg/onload=alert(1)>"
LOADS = {"src", "srcset", "data", "action", "formaction", "poster", "background", "style"}


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def assert_harmless(html: str) -> Page:
    page = Page(html)
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & set(page.tags)
    assert page.tags.count("svg") == html.count("<svg")
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), f"{tag} {name}"
        if name in LOADS or (name.endswith("href") and not value.startswith("#")):
            assert value.startswith("data:image/"), f"{tag} {name}={value[:40]}"
    return page


def attacked(folder: Path) -> RunFile:
    """A run whose every word comes from an enemy."""
    run = make_project(folder, [NAME])
    shown = Shown(NAME, ((HTML, (4, 4, 20, 20)),), tags=(HTML,), texts=(ATTACK,))
    bad = Quarantined(0, ATTACK.replace("/", "|"), Reason.CORRUPT, ATTACK, None, None)
    write_run(run, [Shown(NAME)])
    run_folder = write_run(run, [shown], [bad])
    summary = json.loads((run_folder / "summary.json").read_text())
    summary |= {"versions": {ATTACK: ATTACK}, "wall_seconds": 1.0}
    (run_folder / "summary.json").write_text(json.dumps(summary))
    return run


def test_words_from_outside_stay_words(tmp_path: Path) -> None:
    run = attacked(tmp_path)
    folder = FinishedRun(run.config.workspace / "runs" / "latest").folder
    (folder / "evaluation.json").write_text(json.dumps(evaluation(folder)))
    html = write_report(run.config.workspace, SILENT).read_text(encoding="utf-8")
    page = assert_harmless(html)
    said = "".join(page.text)
    for words in (NAME, HTML, ATTACK):
        assert words in said
    assert "{{ 7 * 7 }}" in said


def evaluation(folder: Path) -> dict[str, Any]:
    (image,) = FinishedRun(folder).images()
    rate = {"value": 0.5, "low": 0.1, "high": 0.9}
    counts = {"truth": 2, "found": 2, "tp": 1, "fp": 1, "fn": 1}
    rates = counts | {"precision": rate, "recall": rate, "f1": {**rate, "value": None}}
    bins = [{"low": 0.9, "high": 1.0, "n": 4, "confidence": 0.95, "precision": 0.25}]
    aps = {"pycocotools": {"AP": 0.123}, "faster_coco_eval": None, "agree": True}
    error = {
        "kind": "confused", "severity": 0.9, "image": NAME, "sha256": image.sha256, "class": HTML,
        "truth_class": ATTACK, "score": 0.9, "iou": 0.8, "box": [4, 4, 20, 20],
        "truth_box": [5, 5, 20, 20], "label_id": "1", "truth_id": "2",
    }  # fmt: skip
    return {
        "run_id": folder.name,
        "truth": {"path": ATTACK, "kind": "coco", "images": 1},
        "images": {"compared": 1, "only_in_run": 0, "only_in_truth": 0},
        "objects": {
            "box": aps, "mask": None, "overall": rates,
            "classes": [{"name": HTML, "AP_box": 0.1, "AP_mask": None, **rates}],
            "calibration": {"ece": 0.7, "bins": bins},
        },
        "tags": None, "texts": None, "errors": [error], "n_errors": {"confused": 1},
    }  # fmt: skip


def test_an_evaluation_is_shown_with_its_errors(tmp_path: Path) -> None:
    run = attacked(tmp_path)
    folder = FinishedRun(run.config.workspace / "runs" / "latest").folder
    before = make_page(run.config.workspace, SILENT)
    assert before.evaluated is None
    assert any("autolabel evaluate" in note.words for note in before.notes)
    (folder / "evaluation.json").write_text(json.dumps(evaluation(folder)))
    page = make_page(run.config.workspace, SILENT)
    assert page.evaluated is not None
    (error,) = page.evaluated.errors
    assert error.crop is not None
    assert error.crop.found is not None
    assert error.crop.true is not None
    assert error.crop.true.x - error.crop.found.x == 1
    assert page.evaluated.diagrams[0].bars[0].height == pytest.approx(HEIGHT / 4, abs=0.1)
    assert "0.123" in render(page)


def test_nothing_is_loaded_and_the_policy_fits_the_style(tmp_path: Path) -> None:
    run = attacked(tmp_path)
    html = render(make_page(run.config.workspace, SILENT))
    style = html.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(v for _, n, v in Page(html).attributes if n == "content" and "default-src" in v)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "url(" not in style
    assert "@import" not in style


def test_counts_are_those_of_the_labels_as_they_stand(tmp_path: Path) -> None:
    run = make_project(tmp_path, ["a.png", "b.png", "c.png"])
    objects = (("cat", (4, 4, 20, 20)), ("dog", (34, 4, 20, 24)))
    bad = Quarantined(0, "x.png", Reason.EMPTY, "0 bytes", None, None)
    write_run(run, [Shown("a.png", objects, tags=("cat",)), Shown("b.png"), Shown("c.png")], [bad])
    image = next(iter(FinishedRun(run.config.workspace / "runs" / "latest").images()))
    one = next(
        label for label in image.labels if label.content.label == "cat" and label.content.mask
    )
    left = Reviewed(one.id, Status.REJECTED, "machine", one.content, one.content, one.facts)
    event = Event((What.REJECTED,), image.sha256, "a.png", left, "ann", "2026-11-24T10:00:00+00:00")
    ReviewLog(run.config.workspace).append([event])
    page = make_page(run.config.workspace, SILENT)
    objects_table, tags_table = page.tables
    assert [(r.name, r.review, r.rejected) for r in objects_table.rows] == [
        ("cat", 0, 1), ("dog", 1, 0),
    ]  # fmt: skip
    assert objects_table.never == (HTML,)
    assert set(tags_table.never) == {"dog", HTML}
    assert sorted(page.reasons) == [
        ("object: score 0.61 is below 0.70", 1),
        ("tag: score 0.61 is below 0.70", 1),
    ]
    assert (page.census.images, page.census.bare) == (3, 2)
    assert [(row.reason, row.n) for row in page.quarantine] == [("empty", 1)]
    assert page.differences is None
    assert {one.file_name for one in page.examples} == {"a.png", "b.png", "c.png"}


def test_a_run_that_is_not_there_is_said(tmp_path: Path) -> None:
    run = make_project(tmp_path, ["a.png"])
    with pytest.raises(ReviewError, match="Label first"):
        write_report(run.config.workspace, SILENT)
    write_run(run, [Shown("a.png")])
    with pytest.raises(ReviewError, match="19990101"):
        write_report(run.config.workspace, SILENT, against="19990101T000000Z")


def test_images_that_are_gone_and_damaged_maps_leave_the_rest(tmp_path: Path) -> None:
    run = make_project(tmp_path, ["a.png"])
    folder = write_run(run, [Shown("a.png", (("cat", (4, 4, 20, 20)),))])
    (run.config.images[0] / "a.png").unlink()
    (folder / FOLDER).mkdir()
    (folder / FOLDER / INDEX).write_text("{")
    assert "the file is gone" in render(make_page(run.config.workspace, SILENT))


def test_differences_name_what_appeared_vanished_and_changed(tmp_path: Path) -> None:
    run = make_project(tmp_path, ["a.png", "b.png", "c.png"])
    old = write_run(run, [
        Shown("a.png", (("cat", (4, 4, 20, 20)), ("dog", (34, 4, 20, 24))), texts=("STOP",)),
        Shown("b.png"),
    ])  # fmt: skip
    new = write_run(run, [
        Shown("a.png", (("dog", (4, 4, 20, 20)), ("dog", (35, 4, 20, 24)), ("cat", (2, 40, 9, 9))),
              texts=("SHOP",), tags=("cat",)),
        Shown("c.png"),
    ])  # fmt: skip
    found = compare(FinishedRun(old), FinishedRun(new))
    assert dict(found.counts) == {
        ("class", "object"): 1, ("outline", "object"): 1, ("appeared", "object"): 1,
        ("words", "text"): 1, ("appeared", "tag"): 1,
    }  # fmt: skip
    assert (found.new_images, found.gone_images, found.same) == (1, 1, 0)
    words = next(one for one in found.changes if one.how == "words")
    assert (words.before, words.after) == ("STOP", "SHOP")
    back = compare(FinishedRun(new), FinishedRun(old))
    assert back.counts["vanished", "object"] == back.counts["vanished", "tag"] == 1
    assert back.counts.total() == found.counts.total()
    same = compare(FinishedRun(new), FinishedRun(new))
    assert (same.n_changes, same.settings, same.same) == (0, (), 5)
    page = make_page(run.config.workspace, SILENT)
    assert page.differences is not None
    assert page.differences.counts == found.counts


scores = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["accept", "review", "drop"])), max_size=60
)


@settings(max_examples=60)
@given(scores)
def test_histograms_hold_every_score_inside_their_frame(rows: list[tuple[float, str]]) -> None:
    chart = histogram("h", rows, {"threshold": 0.5})
    assert chart.n == len(rows)
    said = sum(int(bar.title.split(": ")[1].split()[0]) for bar in chart.bars)
    assert said == len(rows)
    for bar in chart.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert -0.2 <= bar.y <= bar.y + bar.height <= HEIGHT + 0.2
    tops = {bar.x for bar in chart.bars}
    assert len(tops) <= BINS
    assert [line.x for line in chart.lines] == [WIDTH / 2]
