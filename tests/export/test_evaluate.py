"""Figures against pycocotools by hand, on the sample scenes; and what a damaged set is worth."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from export.made import Drawn, Shown, make_project, rectangle, write_run
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline import rle
from pipeline.errors import EvaluationError
from pipeline.evaluate import Goal, evaluate, tune
from pipeline.evaluate.tune import Judged, choose
from pipeline.labels.log import ReviewLog
from pipeline.labels.values import HUMAN, Content, Event, Kind, Reviewed, Status, What
from pipeline.metrics.calibration import calibrate
from pipeline.metrics.cocoeval import NAMES
from pipeline.metrics.intervals import Counts, rate
from pipeline.metrics.reading import read
from pipeline.records import JsonObject, Point
from pipeline.runfile import RunFile, load_run_file

ROOT = Path(__file__).parents[2]
TRUTH = ROOT / "data/samples/truth.coco.json"
KINDS: tuple[tuple[Literal["bbox", "segm"], str], ...] = (("bbox", "box"), ("segm", "mask"))
RUN_FILE = f"""\
name: samples
images: [{json.dumps(str(ROOT / "data/samples/images"))}]
workspace: ws
stages:
  embed: {{engine: fake}}
  segment: {{engine: fake}}
  read: {{engine: fake}}
policy:
  classes: [{
    ", ".join(
        f"{{name: {n}}}"
        for n in ("circle", "square", "triangle", "star", "cross", "ring", "heart", "crescent")
    )
}]
"""


def samples_run(folder: Path, *, damage: float) -> RunFile:
    """A run that says what is true; with damage, masks are shifted, classes and words wrong."""
    (folder / "run.yaml").write_text(RUN_FILE)
    run = load_run_file(folder / "run.yaml")
    document, rng = json.loads(TRUTH.read_bytes()), np.random.default_rng(7)
    names = {entry["id"]: entry["name"] for entry in document["categories"]}
    shown = []
    for image in document["images"]:
        objects, texts, quads = [], [], []
        for entry in document["annotations"]:
            if entry["image_id"] != image["id"]:
                continue
            name, counts = names[entry["category_id"]], entry["segmentation"]["counts"]
            if name == "text":
                x, y, w, h = entry["bbox"]
                quads.append((Point(x, y), Point(x + w, y), Point(x + w, y + h), Point(x, y + h)))
                texts.append(entry["text"] if rng.random() >= damage else "XX")
                continue
            pixels = rle.decode(rle.from_counts(image["height"], image["width"], counts))
            shift = int(rng.integers(0, 25)) if rng.random() < damage else 0
            if rng.random() < damage:
                name = "circle"
            mask = rle.encode(np.asarray(np.roll(pixels, shift, axis=1)))
            objects.append(Drawn(name, mask, round(float(rng.uniform(0.3, 1)), 6)))
        shown.append(Shown(image["file_name"], objects, (), texts, quads=quads))
    write_run(run, shown)
    return run


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> RunFile:
    return samples_run(tmp_path_factory.mktemp("damaged"), damage=0.5)


def by_hand(run: RunFile, kind: Literal["bbox", "segm"]) -> list[float]:
    """pycocotools as anybody would run it on the two files."""
    labels = json.loads((run.config.workspace / "runs/latest/labels.coco.json").read_bytes())
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(TRUTH))
        ids = {image["file_name"]: image["id"] for image in truth.dataset["images"]}
        images = {image["id"]: ids[image["file_name"]] for image in labels["images"]}
        numbers = {entry["name"]: entry["id"] for entry in truth.dataset["categories"]}
        categories = {entry["id"]: numbers[entry["name"]] for entry in labels["categories"]}
        key = "bbox" if kind == "bbox" else "segmentation"
        results = [
            {
                "image_id": images[entry["image_id"]],
                "category_id": categories[entry["category_id"]],
                "score": entry["score"],
                key: entry[key],
            }
            for entry in labels["annotations"]
        ]
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.params.catIds = [n for name, n in numbers.items() if name != "text"]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def test_equal_to_pycocotools_by_hand(damaged: RunFile) -> None:
    objects = evaluate(damaged, str(TRUTH)).document["objects"]
    for kind, name in KINDS:
        stats = objects[name]["pycocotools"]
        got = [-1.0 if stats[key] is None else stats[key] for key in NAMES]
        assert got == pytest.approx(by_hand(damaged, kind), abs=1e-9)
        assert 0.05 < got[0] < 0.9, "a figure between nothing and everything says more"
        assert objects[name]["agree"] is True


def test_truth_itself_is_perfect_and_damage_ranks_below(tmp_path: Path, damaged: RunFile) -> None:
    perfect = evaluate(samples_run(tmp_path, damage=0), str(TRUTH)).document
    worse = evaluate(damaged, str(TRUTH)).document
    for kind in ("box", "mask"):
        good, bad = (d["objects"][kind]["pycocotools"]["AP"] for d in (perfect, worse))
        assert good == pytest.approx(1.0, abs=1e-12)
        assert bad < good
    assert perfect["errors"] == []
    assert perfect["objects"]["overall"]["f1"]["value"] == 1
    assert perfect["texts"]["end_to_end"]["hmean"] == 1
    assert perfect["texts"]["deteval"]["hmean"] == 1
    assert worse["texts"]["recognition"]["cer"] > 0
    assert worse["texts"]["detection"]["hmean"]["value"] == 1
    matrix = np.array(perfect["objects"]["confusion"]["matrix"])
    assert (matrix == np.diag(np.diag(matrix))).all()
    severities = [error["severity"] for error in worse["errors"]]
    assert severities == sorted(severities, reverse=True)
    assert sum(worse["n_errors"].values()) == len(severities) > 20
    wrong = np.array(worse["objects"]["confusion"]["matrix"])
    overall = worse["objects"]["overall"]
    assert wrong[:-1].sum() == overall["truth"]
    assert wrong[:, :-1].sum() == overall["found"]
    assert np.diag(wrong).sum() == overall["tp"]


def test_the_export_of_a_run_is_truth_to_itself(tmp_path: Path) -> None:
    from pipeline.export import Choice, ExportRequest, export

    run = samples_run(tmp_path, damage=0.5)
    for profile in ("coco", "coco-uncompressed", "coco-polygon"):
        out = export(run, ExportRequest(profile, tmp_path / "out" / profile, status=Choice.ALL)).out
        document = evaluate(run, str(out / "annotations/instances_all.json")).document
        assert document["images"] == {"compared": 24, "only_in_run": 0, "only_in_truth": 0}
        assert document["objects"]["mask"]["pycocotools"]["AP"] == pytest.approx(1.0, abs=1e-12)


def test_against_what_people_reviewed(tmp_path: Path) -> None:
    run = make_project(tmp_path / "project")
    objects = [Drawn("cat", rectangle(4, 4, 10, 10)), Drawn("dog", rectangle(30, 30, 9, 9))]
    write_run(run, [Shown(f"{k:03}.png", objects, ("sky",)) for k in range(3)])
    with pytest.raises(EvaluationError, match="autolabel review"):
        evaluate(run, "reviewed")
    labels = json.loads((run.config.workspace / "runs/latest/labels.coco.json").read_bytes())
    image, entry = labels["images"][0], labels["annotations"][0]
    sha256 = image["autolabel"]["sha256"]
    cat = Content(Kind.OBJECT, "cat", mask=rectangle(4, 4, 10, 10))
    missed = Content(Kind.OBJECT, "dog", mask=rectangle(50, 5, 8, 8))
    tag = Reviewed(f"tag:{sha256[:16]}:sky", Status.REJECTED, "machine", Content(Kind.TAG, "sky"))
    events = [
        (What.REJECTED, Reviewed(str(entry["id"]), Status.REJECTED, "machine", cat, cat)),
        (What.ADDED, Reviewed("5f" * 12, Status.ACCEPTED, HUMAN, missed)),
        (What.REJECTED, tag),
        (What.IMAGE_DONE, None),
    ]
    ReviewLog(run.config.workspace).append(
        [Event((what,), sha256, "000.png", label, "me", "2026") for what, label in events]
    )
    document = evaluate(run, "reviewed").document
    assert document["images"] == {"compared": 1, "only_in_run": 2, "only_in_truth": 0}
    rows = {
        row["name"]: (row["tp"], row["fp"], row["fn"]) for row in document["objects"]["classes"]
    }
    assert rows == {"cat": (0, 1, 0), "dog": (1, 0, 1)}
    assert document["n_errors"] == {"missed": 1, "spurious": 1, "tag_spurious": 1}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "expected a COCO file"),
        ('{"images": []}', "KeyError: 'categories'"),
        (
            '{"images": [], "categories": [], "annotations": [{"id": 3, "image_id": 9}]}',
            "image_id 9",
        ),
        ('{"images": [], "categories": []}', "none of its images"),
    ],
)
def test_damaged_truth_is_told(
    damaged: RunFile, tmp_path: Path, document: str, message: str
) -> None:
    path = tmp_path / "truth.json"
    path.write_text(document)
    with pytest.raises(EvaluationError, match=message):
        evaluate(damaged, str(path))


def test_tuned_policy_is_a_policy(damaged: RunFile, tmp_path: Path) -> None:
    out = tmp_path / "policy.yaml"
    tuned = tune(damaged, str(TRUTH), Goal(0.8), out)
    assert tuned.images == (12, 12)
    assert "half" in tuned.warning
    text = out.read_text()
    head = RUN_FILE[: RUN_FILE.index("policy:")]
    (tmp_path / "run.yaml").write_text(head + text)
    classes = load_run_file(tmp_path / "run.yaml").config.policy.classes
    proposed = {of.class_name: of.value for of in tuned.thresholds if of.value is not None}
    assert {c.name: c.region_threshold for c in classes if c.region_threshold} == proposed
    for of in tuned.thresholds:
        assert of.value is None or of.chosen_on.tp >= 0.8 * of.chosen_on.found


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30), st.floats(0.05, 1))
def test_thresholds_reach_their_goal_where_chosen(
    found: list[tuple[float, bool]], precision: float
) -> None:
    labels = [Judged(round(score, 6), right) for score, right in found]
    value = choose(labels, len(labels), Goal(precision))
    if value is None:
        return
    kept = [label.right for label in labels if label.score >= value]
    # The threshold is rounded down, which can let in labels that differ in the fifth digit.
    close = [label for label in labels if value <= label.score < value + 1e-4]
    assert sum(kept) + len(close) >= precision * len(kept)


def test_intervals_and_rates() -> None:
    # Clopper-Pearson: 0 errors in 59 is the textbook sample for 0.95 with one-sided 0.95.
    certain = rate(59, 59, 0.90)
    assert certain is not None
    assert certain.low == pytest.approx(0.9505, abs=1e-3)
    assert rate(0, 0) is None
    counts = Counts(6, 2, 4)
    assert counts.f1 is not None
    assert counts.f1.value == pytest.approx(2 * 6 / (2 * 6 + 2 + 4))
    assert counts.f1.low < counts.f1.value < counts.f1.high
    reading = read([("CAFE", "CAFÉ"), ("two  words", "two words")])
    assert (reading.exact, reading.wer) == (0.5, 1 / 3)
    assert reading.cer == pytest.approx(1 / 13)
    assert calibrate([0.95, 0.95, 0.95, 0.95], [True, True, True, False]).ece == pytest.approx(0.2)
    assert calibrate([], []).ece is None


def test_coco_text_as_truth(damaged: RunFile, tmp_path: Path) -> None:
    document: JsonObject = json.loads(TRUTH.read_bytes())
    texts: list[Any] = [entry for entry in document["annotations"] if "text" in entry]
    coco_text = {
        "imgs": {str(image["id"]): image for image in document["images"]},
        "anns": {
            str(e["id"]): {"image_id": e["image_id"], "bbox": e["bbox"], "utf8_string": e["text"]}
            for e in texts
        },
        "imgToAnns": {},
    }
    del coco_text["anns"][str(texts[0]["id"])]["utf8_string"]  # text that nobody can read
    path = tmp_path / "coco_text.json"
    path.write_text(json.dumps(coco_text))
    figures = evaluate(damaged, str(path)).document
    assert figures["objects"] is None
    assert figures["truth"]["kind"] == "coco_text"
    detection = figures["texts"]["detection"]
    assert (detection["tp"], detection["fp"], detection["fn"]) == (len(texts) - 1, 0, 0)
