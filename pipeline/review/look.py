"""How a dataset looks when the App opens it: colours, sidebar, what is switched on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.coco.document import TEXT
from pipeline.config import ClassConfig
from pipeline.records import JsonObject
from pipeline.review.fields import (
    DONE,
    EVALUATION_FIELDS,
    LISTS,
    OBJECTS,
    PENDING,
    QUARANTINED,
    TAGS,
    TEXTS,
    WORDS,
)
from pipeline.review.schema import write_schemas
from pipeline.review.views import save_queues
from pipeline.review.words import declare_words, show_words

PALETTE: Final = (
    "#ff5a5f",
    "#2ec4b6",
    "#ffb703",
    "#4d96ff",
    "#b5179e",
    "#80ed99",
    "#f3722c",
    "#90e0ef",
    "#e9c46a",
    "#9d4edd",
    "#d4e157",
    "#f78fb3",
)
"""Bright on photographs and far apart from each other; given out in the order of the classes."""

TEXT_COLOUR: Final = "#ffe600"
TAG_COLOUR: Final = "#adb5bd"
OPACITY: Final = 0.45

_WAITING: Final = "#f2b134"
_FINE: Final = "#2f9e44"
_BAD: Final = "#e03131"

_GROUPS: Final = (
    ("labels", (OBJECTS, TEXTS, TAGS), True),
    ("image", ("file_name", WORDS, "status", "conflicts", "changed_by_rerun", "min_margin"), True),
    ("quarantine", ("quarantine_reason", "quarantine_detail"), True),
    ("evaluation", EVALUATION_FIELDS, False),
    ("tags", (), False),
    ("origin", ("run_id", "image_id", "sha256", "embedding", "auto"), False),
    ("file", ("id", "filepath", "created_at", "last_modified_at"), False),
)
_SHOWN: Final = (OBJECTS, TEXTS, TAGS, WORDS, "status", "quarantine_reason")


def dress(dataset: Any, classes: Sequence[ClassConfig]) -> None:  # noqa: ANN401
    """Write forms, queues, colours and the sidebar into a dataset.

    Args:
        dataset: A FiftyOne dataset with the fields that publish writes.
        classes: The vocabulary of the run file.
    """
    import fiftyone as fo

    declare_words(dataset)
    show_words(dataset)
    write_schemas(dataset, classes)
    save_queues(dataset)
    fields = dataset.get_field_schema()
    settings = dataset.app_config
    settings.color_scheme = fo.ColorScheme(**colour_scheme(classes))
    settings.active_fields = fo.ActiveFields(paths=[path for path in _SHOWN if path in fields])
    arrange_sidebar(dataset)


def arrange_sidebar(dataset: Any) -> None:  # noqa: ANN401
    """Put the fields that a dataset has into groups, and save it."""
    import fiftyone as fo

    fields, settings = dataset.get_field_schema(), dataset.app_config
    settings.sidebar_groups = [
        fo.SidebarGroupDocument(
            name=name, paths=[path for path in paths if path in fields], expanded=opened
        )
        for name, paths, opened in _GROUPS
    ] + [
        fo.SidebarGroupDocument(
            name="metadata",
            paths=[f"metadata.{name}" for name in ("width", "height", "mime_type")],
            expanded=False,
        )
    ]
    dataset.save()


def colour_scheme(classes: Sequence[ClassConfig]) -> JsonObject:
    """One fixed colour per class, whatever a view happens to show.

    Args:
        classes: The vocabulary, in the order of category ids.
    """
    regions = [entry.name for entry in classes if entry.use != "tag"]
    colours = {name: PALETTE[place % len(PALETTE)] for place, name in enumerate(regions)}
    tags = {entry.name: TAG_COLOUR for entry in classes if entry.use != "region"}
    return {
        "color_by": "value",
        "color_pool": list(PALETTE),
        "opacity": OPACITY,
        "fields": [
            _coloured(OBJECTS, PALETTE[0], colours),
            _coloured(TEXTS, TEXT_COLOUR, {TEXT: TEXT_COLOUR}),
            _coloured(TAGS, TAG_COLOUR, tags),
            _coloured(WORDS, TEXT_COLOUR, {}),
            _coloured("status", _WAITING, {PENDING: _WAITING, DONE: _FINE, QUARANTINED: _BAD}),
            _coloured("quarantine_reason", _BAD, {}),
        ],
    }


def _coloured(path: str, colour: str, values: Mapping[str, str]) -> JsonObject:
    return {
        "path": path,
        "fieldColor": colour,
        "colorByAttribute": "label" if path in LISTS else None,
        "valueColors": [{"value": value, "color": shade} for value, shade in values.items()],
    }
