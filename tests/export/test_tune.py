"""Thresholds from findings: down as well as up, and what is promised of them is what a run does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from projects import COLOURS, RUN_FILE, make_project, ran, run_here

from pipeline import rle
from pipeline.evaluate import Goal, evaluate, tune
from pipeline.evaluate.tune import NO_FINDINGS, Judged, choose
from pipeline.metrics.intervals import at_least
from pipeline.records import JsonObject
from pipeline.runfile import RunFile, load_run_file

STRICT = RUN_FILE.replace("policy:\n", "policy:\n  regions: {threshold: 0.9999}\n")
HEAD = STRICT[: STRICT.index("policy:")]


@pytest.fixture(scope="module")
def strict_run(tmp_path_factory: pytest.TempPathFactory) -> RunFile:
    """Blocks of colour, labelled by a policy that nothing is good enough for; and their truth."""
    path = make_project(tmp_path_factory.mktemp("strict"), 8, STRICT)
    run_here(path)
    (path.parent / "truth.json").write_text(json.dumps(truth_of(path.parent / "images")))
    return load_run_file(path)


@pytest.fixture
def run(strict_run: RunFile, tmp_path: Path) -> RunFile:
    """A copy that a test may spoil."""
    shutil.copytree(strict_run.path.parent, tmp_path / "p", symlinks=True)
    return load_run_file(tmp_path / "p" / "run.yaml")


def truth_of(images: Path) -> JsonObject:
    """The blocks that can be seen."""
    names = list(COLOURS)
    document: JsonObject = {"images": [], "annotations": []}
    document["categories"] = [{"id": n, "name": name} for n, name in enumerate(names, 1)]
    for ident, path in enumerate(sorted(images.iterdir()), 1):
        with Image.open(path) as image:
            pixels = np.asarray(image)
        head = {"id": ident, "file_name": path.name}
        document["images"].append({**head, "width": pixels.shape[1], "height": pixels.shape[0]})
        for n, colour in enumerate(COLOURS.values(), 1):
            mask = rle.encode((pixels == colour).all(axis=2))
            box = rle.tight_box(mask)
            if box is not None:
                shape = {"size": [mask.height, mask.width], "counts": mask.counts}
                place = {"bbox": [box.x, box.y, box.width, box.height], "segmentation": shape}
                label = {"id": 1 + len(document["annotations"]), "image_id": ident}
                document["annotations"].append({**label, "category_id": n, **place})
    return document


@pytest.mark.parametrize("goal", [Goal(), Goal(0.9)])
def test_thresholds_go_down_and_a_run_does_what_they_promise(run: RunFile, goal: Goal) -> None:
    folder = run.path.parent
    truth = str(folder / "truth.json")
    strict = evaluate(run, truth).document["objects"]["overall"]
    tuned = tune(run, truth, goal)
    assert tuned.note is None
    found = [of for of in tuned.thresholds if of.value is not None]
    assert {of.class_name for of in found} == set(COLOURS)
    assert sum(of.judged_on.tp for of in found) > sum(of.before.tp for of in found)
    for of in found:
        assert of.value is not None
        assert of.value < of.present == 0.9999
        assert of.judged_on.tp >= of.before.tp
        expected = at_least(of.judged_on.tp, of.judged_on.found)
        assert of.at_least == (None if goal.precision is None else expected)
    run.path.write_text(HEAD + tuned.path.read_text())
    again = run_here(run.path)
    assert not any(ran(again).values()), "no model was asked"
    objects = evaluate(load_run_file(run.path), truth).document["objects"]
    assert objects["overall"]["tp"] > 2 * strict["tp"]
    rows = objects["classes"]
    promised = {of.class_name: of.chosen_on + of.judged_on for of in tuned.thresholds}
    for row in rows:
        said = promised[row["name"]]
        assert (row["tp"], row["fp"], row["fn"]) == (said.tp, said.fp, said.fn)


def test_without_findings_thresholds_only_go_up(run: RunFile) -> None:
    folder = run.path.parent
    run.path.write_text(RUN_FILE)
    run_here(run.path)
    shutil.rmtree(folder / "ws" / "store")
    tuned = tune(load_run_file(run.path), str(folder / "truth.json"), Goal())
    assert tuned.note == NO_FINDINGS
    for of in tuned.thresholds:
        assert of.value is not None
        assert of.value >= of.present
        assert of.judged_on.tp <= of.before.tp


scored = st.lists(
    st.tuples(st.floats(0, 1).map(lambda v: round(v, 6)), st.booleans()), min_size=1, max_size=30
)


@given(scored, st.integers(0, 9), st.none() | st.floats(0, 1))
def test_no_threshold_has_a_better_f1(
    found: list[tuple[float, bool]], missed: int, present: float | None
) -> None:
    labels = [Judged(*one) for one in found]
    truth = missed + sum(one.right for one in labels)
    value = choose(labels, truth, Goal(), present)
    assert value is not None

    def f1(cut: float) -> float:
        kept = [one.right for one in labels if one.score >= cut]
        return 2 * sum(kept) / max(len(kept) + truth, 1)

    best = max(f1(one.score) for one in labels)
    # A threshold at the lowest score is rounded down; nothing lies below it.
    assert f1(value) == pytest.approx(max(best, 0.0 if present is None else f1(present)))
    if present is not None and f1(present) >= best:
        assert value == present
