"""What the App's Annotate tab offers: written by us, as its own guess is poor for review.

The guess makes scores into sliders, transcriptions into a list of those already there, and knows
only classes it has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.coco.document import TEXT
from pipeline.config import ClassConfig
from pipeline.records import JsonObject
from pipeline.review.fields import OBJECTS, PENDING, STATES, TAGS, TEXTS


def label_schemas(classes: Sequence[ClassConfig]) -> dict[str, JsonObject]:
    """Lay out the forms of the Annotate tab.

    Args:
        classes: The vocabulary, seen or not.
    """
    return {
        OBJECTS: _labels("detections", _names(classes, "region"), ()),
        TEXTS: _labels("polylines", [TEXT], (_entry("text", "str", read_only=False),)),
        TAGS: _labels("classifications", _names(classes, "tag"), ()),
    }


def write_schemas(dataset: Any, classes: Sequence[ClassConfig]) -> None:  # noqa: ANN401
    """Give a dataset the forms, all of them shown."""
    schemas = label_schemas(classes)
    dataset.set_label_schemas(schemas)
    dataset.active_label_schemas = list(schemas)


def _names(classes: Sequence[ClassConfig], use: str) -> list[str]:
    return [entry.name for entry in classes if entry.use in {"both", use}]


def _labels(kind: str, names: list[str], editable: tuple[JsonObject, ...]) -> JsonObject:
    return {
        "type": kind,
        "component": "dropdown",
        "classes": names,
        "attributes": [
            *editable,
            {
                "name": "review",
                "type": "str",
                "component": "radio",
                "values": list(STATES),
                "default": PENDING,
            },
            _entry("confidence", "float"),
            _entry("margin", "float"),
            _entry("reason", "str"),
            _entry("model", "str"),
            _entry("proposal", "str"),
            _entry("reviewed_by", "str"),
        ],
    }


def _entry(name: str, kind: str, *, read_only: bool = True) -> JsonObject:
    return {"name": name, "type": kind, "component": "text", "read_only": read_only}
