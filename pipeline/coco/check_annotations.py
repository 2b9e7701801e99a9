"""Conformance of annotations, one after the other."""

from __future__ import annotations

from pipeline.coco.check_sections import Known, entries
from pipeline.coco.check_shapes import are_inside, check_shape
from pipeline.coco.document import EXTRA, TEXT
from pipeline.coco.values import (
    Frame,
    as_number,
    finite_numbers,
    is_filled,
    is_id,
    is_object,
    is_whole,
    shown,
)
from pipeline.coco.violations import Report
from pipeline.records import Decision, JsonObject


def check_annotations(section: list[object], known: Known, report: Report) -> None:
    """Check all annotations against each other, the images and the categories."""
    listed = entries(section, "annotations", report)
    owners: dict[int, JsonObject] = {}
    for where, entry in listed:
        ident = entry.get("id")
        if not is_id(ident):
            report.add(9, where, f"expected a whole number from 1, got {shown(ident)}")
        elif ident in owners:
            report.add(9, where, "an annotation before it has this id")
        else:
            owners[ident] = entry
    # Files without any segmentation are of boxes only, by intent; a gap among others is a loss.
    has_masks = any("segmentation" in entry for _, entry in listed)
    for where, entry in listed:
        _check_references(where, entry, known, owners, report)
        _check_flags(where, entry, report)
        _check_extra(where, entry, known, report)
        frame = _frame(entry, known)
        if frame is not None:
            check_shape(where, entry, frame, has_masks, report)
            if _is_text(entry, known):
                _check_text(where, entry, frame, report)


def _frame(entry: JsonObject, known: Known) -> Frame | None:
    ident = entry.get("image_id")
    return known.frames.get(ident) if is_whole(ident) else None


def _is_text(entry: JsonObject, known: Known) -> bool:
    ident = entry.get("category_id")
    return is_whole(ident) and known.categories.get(ident) == TEXT


def _check_references(
    where: str, entry: JsonObject, known: Known, owners: dict[int, JsonObject], report: Report
) -> None:
    for key, targets in (("image_id", known.frames), ("category_id", known.categories)):
        ident = entry.get(key)
        if not is_whole(ident) or ident not in targets:
            report.add(10, where, f"{key} {shown(ident)} refers to nothing")
    if "owner" in entry:
        ident = entry["owner"]
        owner = owners.get(ident) if is_whole(ident) else None
        if owner is None or owner.get("image_id") != entry.get("image_id"):
            report.add(10, where, f"owner {shown(ident)} is no annotation of this image")


def _check_flags(where: str, entry: JsonObject, report: Report) -> None:
    crowd = entry.get("iscrowd")
    if not is_whole(crowd) or crowd not in {0, 1}:
        report.add(14, where, f"expected 0 or 1 as iscrowd, got {shown(crowd)}")
    elif crowd and EXTRA in entry:
        report.add(14, where, "expected iscrowd 0: labels of ours are single objects")
    score = as_number(entry.get("score"))
    if score is None or not 0 <= score <= 1:  # NaN is not
        got = shown(entry.get("score", "no such key"))
        report.add(22, where, f"expected a score from 0 to 1, got {got}")


def _check_extra(where: str, entry: JsonObject, known: Known, report: Report) -> None:
    extra = entry.get(EXTRA)
    if not is_object(extra):
        report.add(23, where, f"expected {EXTRA} with verdict and source, got {shown(extra)}")
        return
    if not _is_verdict(extra.get("verdict")):
        got = shown(extra.get("verdict"))
        report.add(23, where, f"expected a verdict (accept or review, with a reason), got {got}")
    for key in ("source", "named_by"):
        source = extra.get(key)
        if key == "named_by" and key not in extra:
            continue
        if not isinstance(source, str) or source not in known.sources:
            report.add(23, where, f"{key} {shown(source)} is not in info.provenance")


def _is_verdict(value: object) -> bool:
    if not is_object(value) or not is_filled(value.get("reason")):
        return False
    return value.get("decision") in (Decision.ACCEPT.value, Decision.REVIEW.value)


def _check_text(where: str, entry: JsonObject, frame: Frame, report: Report) -> None:
    if not isinstance(entry.get("text"), str):
        report.add(29, where, f"expected the transcription as text, got {shown(entry.get('text'))}")
    order = entry.get("order")
    if not is_whole(order) or order < 0:
        report.add(29, where, f"expected a whole number from 0 as order, got {shown(order)}")
    quad = finite_numbers(entry.get("quad"), 8, 29, where, "quad", report)
    if quad and not are_inside(quad, frame):
        report.add(29, where, f"quad {shown(entry['quad'])} leaves the image")
