"""What the page says, as values: the template only lays it out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from pipeline.drawing import thumbnail
from pipeline.evidence import Evidence
from pipeline.explain.values import FOLDER, read_index
from pipeline.labels import Kind
from pipeline.labels.runs import FinishedRun, QuarantinedFile
from pipeline.records import Box, JsonObject
from pipeline.report.census import Census
from pipeline.report.charts import Diagram, Histogram, Share, diagram, histogram, shares
from pipeline.report.differences import Differences
from pipeline.report.gallery import Crop, Example, data_address
from pipeline.report.notes import Note
from pipeline.write import SUMMARY

EVALUATION: Final = "evaluation.json"

_KINDS: Final = {Kind.OBJECT.value: "Objects", Kind.TAG.value: "Tags", Kind.TEXT.value: "Text"}
_CHARTS: Final = 12
_PANELS: Final = 12
_ERRORS: Final = 12
_FILES: Final = 5


@dataclass(frozen=True, slots=True)
class ClassRow:
    """Labels of one class."""

    name: str
    accept: int
    review: int
    confirmed: int
    rejected: int
    share: Share


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Labels of one kind, class by class, most first."""

    title: str
    rows: tuple[ClassRow, ...]
    never: tuple[str, ...]

    @property
    def reviewed(self) -> bool:
        """Whether people decided on any of these labels."""
        return any(row.confirmed or row.rejected for row in self.rows)


@dataclass(frozen=True, slots=True)
class Scores:
    """Score charts of one kind: all classes together, then the most frequent ones."""

    title: str
    together: Histogram
    classes: tuple[Histogram, ...]


@dataclass(frozen=True, slots=True)
class StageRow:
    """Time of one stage."""

    name: str
    model: str
    ran: int
    cached: int
    failed: int
    seconds: float
    why: str
    share: Share


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """Files without labels, for one reason."""

    reason: str
    n: int
    files: tuple[QuarantinedFile, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """A relevance panel."""

    picture: str
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One error of the evaluation."""

    row: Mapping[str, Any]
    crop: Crop | None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What ``autolabel evaluate`` found.

    Attributes:
        rows: How much is right, with counts and rates, kind by kind.
    """

    document: Mapping[str, Any]
    rows: tuple[Mapping[str, Any], ...]
    diagrams: tuple[Diagram, ...]
    errors: tuple[ErrorRow, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Everything on the page."""

    name: str
    run_id: str
    summary: Mapping[str, Any]
    census: Census
    notes: tuple[Note, ...]
    examples: tuple[Example, ...]
    tables: tuple[ClassTable, ...]
    scores: tuple[Scores, ...]
    reasons: tuple[tuple[str, int], ...]
    quarantine: tuple[QuarantineRow, ...]
    evaluated: Evaluated | None
    panels: tuple[Panel, ...]
    n_panels: int
    stages: tuple[StageRow, ...]
    differences: Differences | None
    provenance: tuple[Mapping[str, Any], ...]


def read_summary(run: FinishedRun) -> JsonObject:
    """Give a run's summary; empty where it has none."""
    return _read(run.folder / SUMMARY) or {}


def read_evaluation(run: FinishedRun) -> JsonObject | None:
    """Give what ``autolabel evaluate`` found of a run; None if it was never measured."""
    return _read(run.folder / EVALUATION)


def _read(path: Path) -> JsonObject | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def class_tables(census: Census, run: FinishedRun) -> Iterator[ClassTable]:
    """Count labels class by class.

    Yields:
        A table per kind that has labels.
    """
    policy = run.config["policy"]["classes"]
    for kind, title in _KINDS.items():
        counts = {name: c for (k, name), c in census.classes.items() if k == kind}
        if not counts:
            continue
        whole = max(c.total() for c in counts.values())
        order = sorted(counts.items(), key=lambda item: (-item[1].total(), item[0]))
        rows = tuple(_class_row(name, c, whole) for name, c in order)
        other = {Kind.OBJECT.value: "tag", Kind.TAG.value: "region"}.get(kind)
        asked = [entry["name"] for entry in policy if other and entry["use"] != other]
        yield ClassTable(title, rows, tuple(name for name in asked if name not in counts))


def _class_row(name: str, counts: Mapping[str, int], whole: int) -> ClassRow:
    confirmed = sum(counts.get(one, 0) for one in ("accepted", "edited", "added"))
    rejected, accept, review = (counts.get(one, 0) for one in ("rejected", "accept", "review"))
    parts = [("people", confirmed), ("accept", accept), ("review", review), ("drop", rejected)]
    return ClassRow(name, accept, review, confirmed, rejected, shares(parts, whole))


def score_charts(census: Census, evidence: Evidence) -> Iterator[Scores]:
    """Lay out the distributions of scores.

    Yields:
        Charts per kind.
    """
    for kind, title in _KINDS.items():
        groups = {name: rows for (k, name), rows in census.scores.items() if k == kind}
        if not groups:
            continue
        limits = _limits(kind, evidence)
        together = histogram(title, (row for rows in groups.values() for row in rows), limits)
        kept = {name: sum(d != "drop" for _, d in rows) for name, rows in groups.items()}
        order = sorted(groups, key=lambda name: (-kept[name], name))[:_CHARTS]
        classes = [
            histogram(name, groups[name], limits | _own_limit(kind, name, evidence))
            for name in order
        ]
        yield Scores(title, together, tuple(classes) if len(groups) > 1 else ())


def _limits(kind: str, evidence: Evidence) -> dict[str, float]:
    policy = evidence.policy
    match kind:
        case Kind.OBJECT.value:
            of = policy.regions
            return {"threshold": of.threshold, "review below": of.review_below}
        case Kind.TAG.value:
            limit = policy.tags.threshold
            return {"threshold": limit, "review below": min(limit + policy.tags.review_margin, 1.0)}
        case _:
            text = policy.text
            return {"threshold": text.threshold, "review below": text.review_below}


def _own_limit(kind: str, name: str, evidence: Evidence) -> dict[str, float]:
    own = next((one for one in evidence.policy.classes if one.name == name), None)
    if own is None:
        return {}
    limit = own.tag_threshold if kind == Kind.TAG.value else own.region_threshold
    return {} if limit is None else {"threshold": limit}


def stage_rows(summary: Mapping[str, Any]) -> tuple[StageRow, ...]:
    """Lay out where the time went, loading of models included."""
    stages: Mapping[str, Any] = summary.get("stages", {})
    loading = float(summary.get("load_seconds", 0))
    longest = max([loading, *(float(row["seconds"]) for row in stages.values())], default=0) or 1.0
    rows = [
        StageRow(
            name, (row["engine"] or {}).get("model", "Pillow"), row["ran"], row["cached"],
            row["failed"], row["seconds"], row["why"],
            shares([("accept", row["seconds"])], longest),
        )
        for name, row in stages.items()
    ]  # fmt: skip
    if stages:
        share = shares([("accept", loading)], longest)
        rows.insert(0, StageRow("load models", "", 0, 0, 0, loading, "", share))
    return tuple(rows)


def quarantine_rows(files: Sequence[QuarantinedFile]) -> tuple[QuarantineRow, ...]:
    """Group files without labels by reason, most first."""
    groups: dict[str, list[QuarantinedFile]] = {}
    for file in files:
        groups.setdefault(file.reason, []).append(file)
    order = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(QuarantineRow(name, len(some), tuple(some[:_FILES])) for name, some in order)


def panels(run: FinishedRun) -> tuple[tuple[Panel, ...], int]:
    """Give relevance panels, tags and objects by turns, and how many there are in all."""
    rows = [row for row in read_index(run.folder) if (run.folder / FOLDER / row["panel"]).is_file()]
    groups: dict[tuple[str, str], list[JsonObject]] = {}
    for row in rows:
        groups.setdefault((row["sha256"], row["kind"]), []).append(row)
    order = _by_turns(list(groups.values()))
    shown = order[:_PANELS]
    made = [Panel(_picture(run.folder / FOLDER / row["panel"]), row) for row in shown]
    return tuple(made), len(rows)


def _picture(path: Path) -> str:
    with Image.open(path) as panel:
        return data_address(thumbnail(np.asarray(panel), panel.width), "webp")


def _by_turns(groups: Sequence[Sequence[JsonObject]]) -> list[JsonObject]:
    longest = max((len(group) for group in groups), default=0)
    return [group[at] for at in range(longest) for group in groups if at < len(group)]


def evaluated(document: Mapping[str, Any], crops: Mapping[int, Crop | None]) -> Evaluated:
    """Lay out an evaluation.

    Args:
        document: ``evaluation.json``.
        crops: Place in its list of errors → picture.
    """
    parts = (("objects", "Objects"), ("tags", "Tags"), ("texts", "Text"))
    found = [(title, document.get(key)) for key, title in parts]
    diagrams = [
        diagram(title, part["calibration"])
        for title, part in found
        if part and part.get("calibration")
    ]
    errors = [ErrorRow(row, crops.get(at)) for at, row in enumerate(worst_errors(document))]
    return Evaluated(document, tuple(right_rows(document)), tuple(diagrams), tuple(errors))


def right_rows(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Lay out how much is right.

    Yields:
        A row for all labels of a kind, then for those that nobody needs to look at.
    """
    for key, title in (("objects", "objects"), ("tags", "tags")):
        part = document.get(key) or {}
        for of, words in (("overall", title), ("accepted", f"{title}, accepted")):
            if part.get(of):
                yield {"name": words, **part[of]}
    part = document.get("texts") or {}
    accepted = part.get("accepted") or {}
    rows = (
        ("text, box at IoU 0.5", part.get("detection")),
        ("text, place covered (DetEval)", part.get("deteval")),
        ("text, found and read", part.get("end_to_end")),
        ("text, found and read, accepted", accepted.get("end_to_end")),
    )
    for words, figures in rows:
        if figures:
            yield {"name": words, **figures}


def worst_errors(document: Mapping[str, Any]) -> list[JsonObject]:
    """Give the errors that are shown."""
    rows: list[JsonObject] = document.get("errors") or []
    return rows[:_ERRORS]


def box_of(row: Mapping[str, Any], key: str) -> Box | None:
    """Give a box of an error."""
    value = row.get(key)
    return Box(*(float(one) for one in value)) if value else None
