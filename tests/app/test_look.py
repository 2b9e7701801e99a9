"""What the App is told: forms, colours, keys; without the App."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import pipeline.review.plugin
from pipeline.config import ClassConfig
from pipeline.review.fields import LISTS, OBJECTS, STATES, TAGS, TEXTS
from pipeline.review.look import PALETTE, colour_scheme
from pipeline.review.plugin.progress import Progress
from pipeline.review.schema import label_schemas

CLASSES = (
    ClassConfig(name="cat"),
    ClassConfig(name="night", use="tag"),
    ClassConfig(name="wheel", use="region"),
)
PLUGIN = Path(pipeline.review.plugin.__file__).parent


def test_forms_offer_every_class_where_it_may_stand() -> None:
    schemas = label_schemas(CLASSES)
    assert schemas.keys() == LISTS.keys()
    assert schemas[OBJECTS]["classes"] == ["cat", "wheel"]
    assert schemas[TAGS]["classes"] == ["cat", "night"]
    assert schemas[TEXTS]["classes"] == ["text"]


@pytest.mark.parametrize("field", LISTS)
def test_forms_let_nobody_change_what_the_machine_said(field: str) -> None:
    attributes = {entry["name"]: entry for entry in label_schemas(CLASSES)[field]["attributes"]}
    assert attributes["review"]["values"] == list(STATES)
    free = {name for name, entry in attributes.items() if not entry.get("read_only")}
    assert free == ({"review", "text"} if field == TEXTS else {"review"})
    assert attributes["confidence"]["component"] == "text"


def test_a_transcription_is_a_free_text_box() -> None:
    text = label_schemas(CLASSES)[TEXTS]["attributes"][0]
    assert (text["name"], text["component"], "values" in text) == ("text", "text", False)


def test_every_class_has_a_colour_of_its_own_until_they_run_out() -> None:
    many = [ClassConfig(name=f"c{i}") for i in range(len(PALETTE) + 1)]
    objects = next(x for x in colour_scheme(many)["fields"] if x["path"] == OBJECTS)
    colours = [entry["color"] for entry in objects["valueColors"]]
    assert len(set(colours[:-1])) == len(PALETTE)
    assert colours[-1] == colours[0]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in colours)


def test_manifest_keys_and_operators_name_the_same() -> None:
    manifest = YAML(typ="safe").load(PLUGIN / "fiftyone.yml")
    source = (PLUGIN / "operators.py").read_text()
    named = set(re.findall(r'NAME, LABEL, ICON(?:, STATE)? = "(\w+)"', source))
    keys = (PLUGIN / "keys.js").read_text()
    bound = dict(re.findall(r"^ {4}(\w): \"(\w+)\",$", keys, re.MULTILINE))
    assert set(manifest["operators"]) == named
    assert set(bound.values()) == named - {"accept_above"}
    assert len(bound) == len(named) - 1
    assert (PLUGIN / manifest["js_bundle"]).is_file()


def test_progress_counts_what_is_decided_and_how_fast() -> None:
    counts = {"cat": {"pending": 3, "accepted": 4, "rejected": 1, "edited": 2}}
    hour = datetime(2026, 1, 1, 13, tzinfo=UTC) - datetime(2026, 1, 1, 12, tzinfo=UTC)
    progress = Progress(counts, in_session=7, session_seconds=hour.total_seconds())
    assert (progress.total, progress.decided, progress.per_hour) == (10, 7, 7)
    assert Progress(counts, 1, 0.0).per_hour == 60
    assert Progress({}, 0, 0.0).decided == 0
