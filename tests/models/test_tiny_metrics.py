"""The shipped weights are those that were scored, and the score was good enough to show."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parents[2] / "data" / "models" / "tiny"

# What the issue asked for, as a floor on figures scored once on seeds never looked at.
TARGETS = {
    "mask_recall": 0.70,
    "mask_precision": 0.70,
    "region_color": 0.92,
    "region_shape": 0.70,
    "words_exact": 0.50,
}


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((HOME / "metrics.json").read_text())
    return content


def test_the_scored_files_are_the_shipped_ones(metrics: dict[str, Any]) -> None:
    assert len(metrics["sha256"]) == 4
    for name, digest in metrics["sha256"].items():
        assert hashlib.sha256((HOME / name).read_bytes()).hexdigest() == digest


def test_every_figure_says_how_sure_it_is(metrics: dict[str, Any]) -> None:
    assert metrics["figures"]
    for figure in metrics["figures"].values():
        assert 0 <= figure["value"] <= 1 or figure["n"] > 1
        assert figure["n"] >= 20


@pytest.mark.parametrize(("name", "target"), TARGETS.items())
def test_targets_are_reached(metrics: dict[str, Any], name: str, target: float) -> None:
    assert metrics["figures"][name]["value"] >= target


def test_the_bundle_stays_small() -> None:
    assert sum(path.stat().st_size for path in HOME.rglob("*") if path.is_file()) < 9_000_000
