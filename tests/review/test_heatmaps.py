"""Relevance maps in FiftyOne: to be looked at; neither an edit nor undone by a publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from review.made_runs import Shown, make_project, write_run

from pipeline.errors import ReviewError
from pipeline.explain import Explained
from pipeline.explain.values import MapScores
from pipeline.labels.runs import FinishedRun
from pipeline.records import Box
from pipeline.relevance import Method, RelevanceMap
from pipeline.review.heatmaps import show_heatmaps
from pipeline.review.projection import dataset_name
from pipeline.review.publish import publish
from pipeline.review.pull import pull
from pipeline.runfile import RunFile

pytestmark = [pytest.mark.mongo, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def maps_of(run: RunFile) -> tuple[str, list[Explained]]:
    finished = FinishedRun(run.config.workspace / "runs" / "latest")
    image = next(iter(finished.images()))
    cells = np.array([[0.0, 0.0], [0.0, 1.0]], np.float32)
    made = [
        Explained(
            image.sha256, image.file_name, None, kind, words, 0.5, Method.CHEFER,
            RelevanceMap(cells, Box(x, 0, 32, 64)), (64, 64), MapScores(), "x.png",
        )
        for kind, words, x in (("tag", "Cat & <b>", 0), ("object", "a", 0), ("object", "b", 32))
    ]  # fmt: skip
    return finished.run_id, made


def test_heatmaps_are_no_edit_and_outlive_a_publish(fo: Any, tmp_path: Path) -> None:
    run = make_project(tmp_path, ["a.png", "b.png"])
    write_run(run, [Shown("a.png", (("cat", (4, 4, 20, 20)),), tags=("cat",)), Shown("b.png")])
    run_id, made = maps_of(run)
    with pytest.raises(ReviewError, match="autolabel publish"):
        show_heatmaps(run, run_id, made)
    publish(run)
    assert show_heatmaps(run, run_id, made) == 1
    assert pull(run).images == 0
    again = publish(run)
    assert (again.written, again.unchanged) == (0, 2)
    write_run(run, [Shown("a.png", (("dog", (4, 4, 20, 20)),)), Shown("b.png")])
    assert publish(run).written == 1
    loaded = fo.load_dataset(dataset_name(run))
    loaded.reload()
    sample = loaded.match({"file_name": "a.png"}).first()
    assert sample["relevance_cat_b"].run_id == run_id
    both = sample["relevance_objects"].map
    assert both.shape == (64, 64)
    assert both[60, 28] == both[60, 60] == 255
    assert not both[:16].any()
