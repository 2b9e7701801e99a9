"""What is asked and what is answered, and the answers on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.labels.runs import FinishedRun
from pipeline.records import JsonObject
from pipeline.relevance import Method, RelevanceMap
from pipeline.store import durable_write

FOLDER: Final = "explain"
INDEX: Final = "index.json"
WORDS: Final = "words"
"""Kind of what is no label: words of the person who asks."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be explained.

    Attributes:
        images: File names or patterns (``*.png``); none means those the run is least sure of.
        words: Class names, or any words; none means every tag and object.
        method: How maps are made.
        limit: Most images.
        truth: COCO file whose masks maps are held against.
        fade: Whether to score by deletion and insertion too: 34 more passes per map.
    """

    images: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    method: Method = Method.CHEFER
    limit: int = 12
    truth: Path | None = None
    fade: bool = False


@dataclass(frozen=True, slots=True)
class MapScores:
    """How good a map is; None where it takes a mask and there is none.

    Attributes:
        held_against: Whose mask: ``truth``, ``own`` (the object's), ``class`` (all objects of the
            tag's class in the image).
        points: Whether its peak lies on the mask.
        auroc: Chance that a pixel of the mask has more relevance than one beside it.
        inside: Share of the relevance that lies on the mask.
        deletion: Area below the deletion curve, lower is better.
        insertion: Area below the insertion curve, higher is better.
    """

    held_against: str | None = None
    points: bool | None = None
    auroc: float | None = None
    inside: float | None = None
    deletion: float | None = None
    insertion: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """One map.

    Attributes:
        sha256: Of the image.
        label_id: None for words that are no label of the image.
        kind: ``tag``, ``object`` or ``words``.
        words: What was asked for: the class, or the words.
        score: The label's.
        panel: File in the explain folder.
    """

    sha256: str
    file_name: str
    label_id: str | None
    kind: str
    words: str
    score: float | None
    method: Method
    relevance: RelevanceMap
    size: tuple[int, int]
    scores: MapScores
    panel: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What ``explain`` made.

    Attributes:
        folder: Where it lies.
        maps: One per label or words asked for.
        skipped: File name → why it could not be explained.
    """

    folder: Path
    run_id: str
    maps: tuple[Explained, ...]
    skipped: Mapping[str, str]


def write_index(folder: Path, run: FinishedRun, maps: Sequence[Explained]) -> None:
    """Add maps to those made before; a map made again takes its old one's place."""
    rows = {row["panel"]: row for row in read_index(run.folder)}
    rows |= {one.panel: _row(one) for one in maps}
    folder.mkdir(exist_ok=True)
    text = json.dumps({"run_id": run.run_id, "maps": list(rows.values())}, indent=1)
    durable_write(folder / INDEX, text.encode())


def _row(one: Explained) -> JsonObject:
    names = ("sha256", "file_name", "label_id", "kind", "words", "score", "panel")
    row: dict[str, Any] = {name: getattr(one, name) for name in names}
    return {**row, "method": one.method.value, **asdict(one.scores)}


def read_index(run: Path) -> list[JsonObject]:
    """Give the rows of all maps of a run; none if it was never explained.

    Args:
        run: The run folder.
    """
    try:
        document: JsonObject = json.loads((run / FOLDER / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    rows: list[JsonObject] = document["maps"]
    return rows
