"""Format names → formats; each is loaded when asked for."""

from __future__ import annotations

from typing import Final

from pipeline.errors import ConfigError
from pipeline.export.example import Format

FORMATS: Final = {
    "coco": "COCO instances, run lengths: lossless, the master",
    "coco-polygon": "COCO instances, polygons that keep --min-iou, else run lengths",
    "coco-uncompressed": "COCO instances, plain run lengths",
}


def format_named(name: str) -> Format:
    """Load a format.

    Raises:
        ConfigError: There is none of that name, or its library is not installed.
    """
    match name:
        case "coco" | "coco-polygon" | "coco-uncompressed":
            from pipeline.export.formats import coco

            profiles = {
                "coco": coco.compressed,
                "coco-polygon": coco.polygonal,
                "coco-uncompressed": coco.uncompressed,
            }
            return coco.Coco(profiles[name])
    raise ConfigError(f"--format {name}: no such format; there are {', '.join(FORMATS)}")
