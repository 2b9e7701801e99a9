"""Labels as COCO: laid out, written, checked.

``document`` lays labels out as COCO entries (pure), ``writer`` streams them into a file that is
there whole or not at all, ``check`` holds any file against the conformance rules.

A file has ``info``, ``licenses``, ``images``, ``annotations`` and ``categories``, one entry per
line. Objects carry lossless run lengths; text is a category of its own, last in the list. Beside
what COCO readers know, images and annotations have one extra key ``autolabel`` (tags, digest,
paths; verdict, raw scores, sources), and ``info.provenance`` says once per stage which model and
which weights a ``source`` stands for.
"""

from pipeline.coco.check import Violation, check_file
from pipeline.coco.document import WrittenCounts, annotation_id, categories, image_id
from pipeline.coco.writer import CocoWriter

__all__ = [
    "CocoWriter",
    "Violation",
    "WrittenCounts",
    "annotation_id",
    "categories",
    "check_file",
    "image_id",
]
