"""Format names → formats; each is loaded when asked for."""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from importlib import import_module
from typing import Final

from pipeline.errors import ConfigError
from pipeline.export.example import Format

FORMATS: Final = {
    "coco": "COCO instances, run lengths: lossless, the master",
    "coco-polygon": "COCO instances, polygons that keep --min-iou, else run lengths",
    "coco-uncompressed": "COCO instances, plain run lengths",
    "coco-panoptic": "COCO panoptic: one segment per pixel, as PNG",
    "coco-text": "COCO-Text: lines of text with transcriptions",
    "yolo-detect": "Ultralytics YOLO boxes, data.yaml",
    "yolo-segment": "Ultralytics YOLO polygons, data.yaml",
    "voc": "Pascal VOC with masks of classes and objects",
    "cvat": "CVAT for images 1.1, XML with masks",
    "label-studio": "Label Studio tasks with brush masks",
    "image-folder": "a folder per class, by the surest tag",
    "multi-label-csv": "a row per image, a column per tag",
    "huggingface": "Parquet for datasets.load_dataset, images inside",
    "webdataset": "tar shards for webdataset, images inside",
}


_MODULES: Final = {
    "coco-panoptic": ("panoptic", "PanopticExport"),
    "coco-text": ("coco_text", "CocoTextExport"),
    "voc": ("voc", "VocExport"),
    "cvat": ("cvat", "CvatExport"),
    "label-studio": ("label_studio", "LabelStudioExport"),
    "image-folder": ("classification", "FolderExport"),
    "multi-label-csv": ("classification", "CsvExport"),
    "huggingface": ("huggingface", "HuggingFaceExport"),
    "webdataset": ("webdataset", "WebDatasetExport"),
}


def format_named(name: str) -> Format:
    """Load a format.

    Raises:
        ConfigError: There is none of that name.
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
        case "yolo-detect" | "yolo-segment":
            from pipeline.export.formats import yolo

            return partial(yolo.YoloExport, segment=name == "yolo-segment")
        case _ if name not in _MODULES:
            near = get_close_matches(name.casefold(), FORMATS, n=3, cutoff=0.5)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(
                f"--format {name}: no such format; there are {', '.join(FORMATS)}.{hint}"
            )
        case _:
            pass
    module, writer = _MODULES[name]
    loaded: Format = getattr(import_module(f"pipeline.export.formats.{module}"), writer)
    return loaded
