"""How a dataset looks when the App opens it: colours, sidebar, what is switched on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pipeline.coco.document import TEXT
from pipeline.config import ClassConfig
from pipeline.records import JsonObject
from pipeline.review.fields import OBJECTS, TAGS, TEXTS
from pipeline.review.schema import write_schemas
from pipeline.review.views import save_queues

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

_GROUPS: Final = (
    ("labels", (OBJECTS, TEXTS, TAGS), True),
    ("image", ("file_name", "status", "conflicts", "changed_by_rerun", "min_margin"), True),
    ("quarantine", ("quarantine_reason", "quarantine_detail"), True),
    ("tags", (), False),
    ("origin", ("run_id", "image_id", "sha256", "embedding"), False),
    ("file", ("id", "filepath", "created_at", "last_modified_at"), False),
)
_SHOWN: Final = (OBJECTS, TEXTS, TAGS, "status", "quarantine_reason")


def dress(dataset: Any, classes: Sequence[ClassConfig]) -> None:  # noqa: ANN401
    """Write forms, queues, colours and the sidebar into a dataset.

    Args:
        dataset: A FiftyOne dataset with the fields that publish writes.
        classes: The vocabulary of the run file.
    """
    import fiftyone as fo  # noqa: PLC0415  slow; only who opens the App pays

    write_schemas(dataset, classes)
    save_queues(dataset)
    fields = dataset.get_field_schema()
    settings = dataset.app_config
    settings.color_scheme = fo.ColorScheme(**colour_scheme(classes))
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
    settings.active_fields = fo.ActiveFields(paths=[path for path in _SHOWN if path in fields])
    dataset.save()


def colour_scheme(classes: Sequence[ClassConfig]) -> JsonObject:
    """One fixed colour per class, whatever a view happens to show.

    Args:
        classes: The vocabulary, in the order of category ids.
    """
    regions = [entry.name for entry in classes if entry.use != "tag"]
    colours = [
        {"value": name, "color": PALETTE[place % len(PALETTE)]}
        for place, name in enumerate(regions)
    ]
    return {
        "color_by": "value",
        "color_pool": list(PALETTE),
        "opacity": OPACITY,
        "fields": [
            {
                "path": OBJECTS,
                "fieldColor": PALETTE[0],
                "colorByAttribute": "label",
                "valueColors": colours,
            },
            {
                "path": TEXTS,
                "fieldColor": TEXT_COLOUR,
                "colorByAttribute": "label",
                "valueColors": [{"value": TEXT, "color": TEXT_COLOUR}],
            },
            {"path": TAGS, "fieldColor": TAG_COLOUR},
        ],
    }


