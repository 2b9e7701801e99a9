"""Regions named and checked by patches: what is asked, what is named, what goes to review."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from projects import RUN_FILE, labels_of, make_project, ran, run_here

from pipeline.errors import ConfigError, EngineError
from pipeline.infer.engines import Engines
from pipeline.runfile import load_run_file


def run_file(regions: str, policy: str = "") -> str:
    embed = f"embed: {{engine: fake, regions: {regions}, tiles: 4}}"
    return RUN_FILE.replace("embed: {engine: fake}", embed) + policy


def names(summary: dict[str, Any]) -> dict[str, list[str]]:
    document = json.loads(labels_of(summary))
    categories = {one["id"]: one["name"] for one in document["categories"]}
    found: dict[str, list[str]] = {}
    for one in document["annotations"]:
        at = f"{one['image_id']} {one['bbox']}"
        found.setdefault(at, []).append(categories[one["category_id"]])
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path, 8, run_file("both"))


def test_each_way_asks_its_own_stage_and_both_names_agree(project: Path) -> None:
    both = run_here(project)
    assert ran(both) == dict.fromkeys(
        ("decode", "embed", "segment", "embed_regions", "pool_regions", "read"), 8
    )
    project.write_text(run_file("crops"))
    crops = run_here(project)
    assert sum(ran(crops).values()) == 0
    assert "pool_regions" not in crops["stages"]
    project.write_text(run_file("dense"))
    dense = run_here(project)
    assert sum(ran(dense).values()) == 0
    assert "embed_regions" not in dense["stages"]
    assert names(both) == names(crops)
    agreed = sum(names(dense).get(place) == name for place, name in names(crops).items())
    assert agreed >= 0.8 * len(names(crops)) > 0
    document = json.loads(labels_of(dense))
    named = [one["autolabel"]["named_by"] for one in document["annotations"]]
    assert {key.partition("@")[0] for key in named} == {"pool_regions"}


def test_another_number_of_tiles_asks_for_patches_alone(project: Path) -> None:
    run_here(project)
    project.write_text(run_file("both").replace("tiles: 4", "tiles: 3"))
    assert {name: n for name, n in ran(run_here(project)).items() if n} == {"pool_regions": 8}


def test_a_name_for_which_the_image_speaks_elsewhere_goes_to_review(project: Path) -> None:
    before = run_here(project)["labels"]["instances"]
    project.write_text(run_file("both", "  regions: {min_relevance: 2}\n"))
    all_doubted = run_here(project)
    assert sum(ran(all_doubted).values()) == 0
    assert all_doubted["labels"]["instances"].get("accept", 0) == 0
    document = json.loads(labels_of(all_doubted))
    reasons = [one["autolabel"]["verdict"]["reason"] for one in document["annotations"]]
    assert all("the image speaks for it elsewhere: relevance" in reason for reason in reasons)
    project.write_text(run_file("both", "  regions: {min_relevance: -2}\n"))
    assert run_here(project)["labels"]["instances"] == before


def test_relevance_without_patches_is_an_error_of_the_run_file(project: Path) -> None:
    project.write_text(run_file("crops", "  regions: {min_relevance: 0}\n"))
    with pytest.raises(ConfigError, match=r"set stages\.embed\.regions to dense or both"):
        load_run_file(project)


def test_a_model_without_patches_ends_the_run_before_an_image_is_asked(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise EngineError("RN50: its image tower has no patches")

    monkeypatch.setattr(type(Engines(load_run_file(project)).embedder), "embed_patches", none)
    with pytest.raises(EngineError, match="has no patches"):
        run_here(project)
