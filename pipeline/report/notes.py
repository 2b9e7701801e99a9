"""Sentences that a reader of the report should not miss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.labels import CurrentLabels
from pipeline.report.census import PEOPLE, Census

_NAMED: Final = 12
_MANY: Final = 0.3
"""Share of labels from which waiting or wrong ones are worth a warning."""


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence a reader should not miss.

    Attributes:
        style: ``bad``, ``warn`` or ``good``.
    """

    style: str
    words: str


def notes(
    current: CurrentLabels,
    census: Census,
    summary: Mapping[str, Any],
    document: Mapping[str, Any] | None,
    rows: Sequence[Mapping[str, Any]],
) -> Iterator[Note]:
    """Say what a reader should not miss.

    Yields:
        Sentences, in no order but that of the page.
    """
    if current.run.toy_models:
        yield Note("warn", "Made with the embedded toy models, which know drawn shapes only.")
    yield from _balance(summary)
    yield from _labels(census)
    yield from _people(census)
    explained = [row for row in rows if row["kind"] == "tag" and row["points"] is not None]
    away = [row for row in explained if not row["points"]]
    if away:
        yield Note("warn", f"{len(away)} of {len(explained)} relevance maps of tags that could "
                   "be checked do not point at the tag's objects.")  # fmt: skip
    if document is not None:
        yield from _measured(document)
    else:
        yield Note("warn", "No truth was compared: how often labels are wrong is not known. "
                   "autolabel evaluate CONFIG --truth FILE measures it.")  # fmt: skip


def _measured(document: Mapping[str, Any]) -> Iterator[Note]:
    """Say how often labels are right that nobody needs to look at.

    Yields:
        One sentence, unless there are no such labels.
    """
    rights, wrong = [], False
    texts = (document.get("texts") or {}).get("accepted") or {}
    kinds = {
        "objects": (document.get("objects") or {}).get("accepted"),
        "tags": (document.get("tags") or {}).get("accepted"),
        "texts": texts.get("end_to_end"),
    }
    for kind, figures in kinds.items():
        if figures and figures["found"]:
            share = figures["precision"]["value"]
            right = round(share * figures["found"])
            rights.append(f"{right} of {figures['found']} {kind}")
            wrong |= share < 1 - _MANY
    if rights:
        n = document["images"]["compared"]
        yield Note("warn" if wrong else "good", "Of the labels accepted without a person, the "
                   f"truth of {n} images confirms {', '.join(rights)}.")  # fmt: skip


def _balance(summary: Mapping[str, Any]) -> Iterator[Note]:
    lost = summary.get("quarantined", 0)
    if lost:
        reasons = ", ".join(f"{name} {n}" for name, n in summary["quarantined_by_reason"].items())
        yield Note("bad", f"{lost} of {summary['found']} files have no labels: {reasons}.")
    elif summary.get("found"):
        yield Note("good", f"Every file found is labelled: {summary['found']} of "
                   f"{summary['found']}.")  # fmt: skip
    failed = {name: row["failed"] for name, row in summary.get("stages", {}).items()}
    for name, n in failed.items():
        if n:
            yield Note("bad", f"Stage {name} failed on {n} images.")


def _labels(census: Census) -> Iterator[Note]:
    waiting, all_of = census.total("review"), census.total("review", "accept")
    if all_of:
        style = "warn" if waiting > _MANY * all_of else "good"
        most = census.common_reasons(1)
        cause = f" Most often ({most[0][1]}) as here: {most[0][0]}." if most else ""
        yield Note(style, f"{waiting} of {all_of} labels wait for a person.{cause}")
    if census.bare:
        yield Note("warn", f"{census.bare} of {census.images} images have no label at all.")


def _people(census: Census) -> Iterator[Note]:
    decided = census.total(*(status.value for status in PEOPLE))
    if decided:
        wrong = census.total("edited", "rejected")
        yield Note("good" if wrong <= _MANY * decided else "warn",
                   f"People decided on {decided} labels and changed or rejected {wrong}; "
                   f"{census.done} images are done.")  # fmt: skip
    if census.proposals:
        yield Note("warn", f"On {census.proposals} labels that people decided, the models now say "
                   "something else.")  # fmt: skip


def never_found(kinds: Iterable[tuple[str, Sequence[str]]]) -> Iterator[Note]:
    """Name classes that nothing was labelled as.

    Args:
        kinds: Title and classes of each kind of label.

    Yields:
        A sentence per kind that has such classes.
    """
    for title, never in kinds:
        if never:
            names = ", ".join(never[:_NAMED])
            rest = f" and {len(never) - _NAMED} more" if len(never) > _NAMED else ""
            yield Note("warn", f"{title}: nothing was labelled {names}{rest}.")
