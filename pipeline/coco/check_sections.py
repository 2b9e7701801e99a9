"""Conformance of everything but annotations: the file as a whole, images, categories, sources."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from pipeline.coco.document import EXTRA
from pipeline.coco.image_files import upright_size
from pipeline.coco.naming import file_name_problem, name_key
from pipeline.coco.values import (
    Frame,
    as_number,
    is_digest,
    is_filled,
    is_id,
    is_object,
    is_whole,
    shown,
)
from pipeline.coco.violations import Report
from pipeline.errors import ImageRejectedError
from pipeline.records import JsonObject
from pipeline.rle import MAX_PIXELS, MAX_SIDE

SECTIONS: Final = ("licenses", "images", "annotations", "categories")


@dataclass(frozen=True, slots=True)
class Known:
    """What annotations may refer to.

    Attributes:
        frames: Image id → its size; None where that is wrong itself.
        categories: Category id → name.
        sources: Keys of ``info.provenance``.
    """

    frames: dict[int, Frame | None]
    categories: dict[int, str]
    sources: frozenset[str]


def check_sections(document: JsonObject, images: Path | None, report: Report) -> Known:
    """Check all but the annotations."""
    sections = {name: _section(document, name, report) for name in SECTIONS}
    sources = _check_info(document.get("info"), report)
    licenses = _check_licenses(sections["licenses"], report)
    categories = _check_categories(sections["categories"], report)
    frames = _Images(report, images, licenses, frozenset(categories.values()), sources)
    return Known(frames.check(sections["images"]), categories, sources)


def _section(document: JsonObject, name: str, report: Report) -> list[object]:
    section = document.get(name)
    if isinstance(section, list):
        return section
    report.add(2, name, f"expected a list, got {shown(document.get(name, 'no such key'))}")
    return []


def entries(section: list[object], name: str, report: Report) -> list[tuple[str, JsonObject]]:
    """List the objects of a section with where they stand; anything else breaks rule 2."""
    out = []
    for place, entry in enumerate(section):
        where = f"{name}[{place}]"
        if is_object(entry):
            out.append((f"{where} (id {shown(entry.get('id'))})", entry))
        else:
            report.add(2, where, f"expected an object, got {shown(entry)}")
    return out


def _check_info(info: object, report: Report) -> frozenset[str]:
    if not is_object(info):
        report.add(2, "info", f"expected an object, got {shown(info)}")
        return frozenset()
    if "date_created" in info:
        report.add(24, "info", "date_created changes from run to run: leave it out")
    table = info.get("provenance", {})
    if not is_object(table):
        report.add(23, "info.provenance", f"expected an object, got {shown(table)}")
        return frozenset()
    for key, entry in table.items():
        _check_source(f"info.provenance[{shown(key)}]", entry, report)
    return frozenset(table)


def _check_source(where: str, entry: object, report: Report) -> None:
    if not is_object(entry):
        report.add(23, where, f"expected an object, got {shown(entry)}")
        return
    for key in ("engine", "model", "fingerprint"):
        if not is_filled(entry.get(key)):
            report.add(23, where, f"expected a text as {key}, got {shown(entry.get(key))}")
    if not is_digest(entry.get("weights")):
        got = shown(entry.get("weights"))
        report.add(23, where, f"expected a sha256 (64 hexadecimal digits) as weights, got {got}")


def _check_licenses(section: list[object], report: Report) -> frozenset[int]:
    known: set[int] = set()
    for where, entry in entries(section, "licenses", report):
        ident = entry.get("id")
        if not is_whole(ident) or ident in known or not is_filled(entry.get("name")):
            report.add(6, where, "expected a whole number of its own as id, and a name")
        else:
            known.add(ident)
    return frozenset(known)


def _check_categories(section: list[object], report: Report) -> dict[int, str]:
    known: dict[int, str] = {}
    keys: dict[str, str] = {}
    for place, (where, entry) in enumerate(entries(section, "categories", report), start=1):
        ident, name = entry.get("id"), entry.get("name")
        if not is_whole(ident) or ident != place:
            report.add(7, where, f"expected id {place}, as the list stands, got {shown(ident)}")
        if not isinstance(name, str) or not name.strip():
            report.add(8, where, f"expected a name, got {shown(name)}")
        elif (twin := keys.setdefault(name_key(name), where)) != where:
            report.add(8, where, f"the name {shown(name)} is that of {twin}")
        if not isinstance(entry.get("supercategory"), str):
            got = shown(entry.get("supercategory"))
            report.add(8, where, f"expected a text as supercategory, got {got}")
        if is_whole(ident):
            known.setdefault(ident, name if isinstance(name, str) else "")
    return known


class _Images:
    """Checks images one after the other, with what has to be unique among them."""

    def __init__(
        self,
        report: Report,
        folder: Path | None,
        licenses: frozenset[int],
        classes: frozenset[str],
        sources: frozenset[str],
    ) -> None:
        self._report = report
        self._folder = folder
        self._licenses = licenses
        self._classes = classes
        self._sources = sources
        self._names: dict[str, str] = {}

    def check(self, section: list[object]) -> dict[int, Frame | None]:
        """Report faults of the images; gives the frame of each id, None where it is unknown."""
        frames: dict[int, Frame | None] = {}
        for where, entry in entries(section, "images", self._report):
            ident = entry.get("id")
            frame = self._frame(where, entry)
            if not is_id(ident):
                self._report.add(3, where, f"expected a whole number from 1, got {shown(ident)}")
            elif ident in frames:
                self._report.add(3, where, "an image before it has this id")
            else:
                frames[ident] = frame
            self._check_optional(where, entry)
            self._check_extra(where, entry)
            if self._is_sound_name(where, entry) and frame and self._folder:
                self._check_file(where, self._folder, str(entry["file_name"]), frame)
        return frames

    def _frame(self, where: str, entry: JsonObject) -> Frame | None:
        width, height = entry.get("width"), entry.get("height")
        if not is_whole(width) or not is_whole(height) or width < 1 or height < 1:
            got = f"{shown(width)} x {shown(height)}"
            self._report.add(5, where, f"expected width and height as whole numbers, got {got}")
        elif max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            got = f"{shown(width)} x {shown(height)}"
            self._report.add(5, where, f"{got} is more than COCO readers can hold")
        else:
            return Frame(width, height)
        return None

    def _is_sound_name(self, where: str, entry: JsonObject) -> bool:
        name, extra = entry.get("file_name"), entry.get(EXTRA)
        path = extra.get("path") if is_object(extra) else None
        if not isinstance(name, str):
            self._report.add(4, where, f"expected a text as file_name, got {shown(name)}")
        elif problem := file_name_problem(name, path if isinstance(path, str) else None):
            self._report.add(4, where, f"file_name {shown(name)} {problem}")
        elif (twin := self._names.setdefault(name, where)) != where:
            self._report.add(4, where, f"file_name {shown(name)} is that of {twin}")
        else:
            return True
        return False

    def _check_file(self, where: str, folder: Path, name: str, frame: Frame) -> None:
        try:
            width, height = upright_size(folder, name)
        except ImageRejectedError as error:
            self._report.add(4, where, f"file_name {shown(name)}: {error.detail}")
            return
        if (width, height) != (frame.width, frame.height):
            self._report.add(
                5,
                where,
                f"the upright image is {width} x {height}, got {frame.width} x {frame.height}",
            )

    def _check_optional(self, where: str, entry: JsonObject) -> None:
        if "license" in entry:
            given = entry["license"]
            if not is_whole(given) or given not in self._licenses:
                self._report.add(6, where, f"license {shown(given)} is not one of licenses")
        if "date_captured" in entry and not _is_iso_date(entry["date_captured"]):
            got = shown(entry["date_captured"])
            self._report.add(6, where, f"expected an ISO date as date_captured, got {got}")

    def _check_extra(self, where: str, entry: JsonObject) -> None:
        extra = entry.get(EXTRA, {})
        if not is_object(extra) or not is_digest(extra.get("sha256", "0" * 64)):
            self._report.add(23, where, f"expected {EXTRA} with a sha256, got {shown(extra)}")
            return
        sources = extra.get("sources", {})
        for source in sources.values() if is_object(sources) else [sources]:
            if not isinstance(source, str) or source not in self._sources:
                self._report.add(23, where, f"source {shown(source)} is not in info.provenance")
        tags = extra.get("tags", [])
        for tag in tags if isinstance(tags, list) else [tags]:
            self._check_tag(where, tag)

    def _check_tag(self, where: str, tag: object) -> None:
        if not is_object(tag):
            self._report.add(23, where, f"expected an object as tag, got {shown(tag)}")
            return
        name = tag.get("class")
        if not isinstance(name, str) or name not in self._classes:
            self._report.add(10, where, f"tag {shown(name)} is no category")
        score = as_number(tag.get("score"))
        if score is None or not 0 <= score <= 1:
            self._report.add(22, where, f"score of tag {shown(name)}: {shown(tag.get('score'))}")


def _is_iso_date(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
