"""Figures as tables for people: what ``evaluate`` and ``tune`` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.records import JsonObject

if TYPE_CHECKING:
    from pipeline.evaluate import Tuned

_SHOWN_ERRORS: Final = 10


def print_evaluation(out: Console, document: JsonObject) -> None:
    """Print what matters most of an evaluation."""
    images, truth = document["images"], document["truth"]
    out.print(
        f"run {document['run_id']} against {truth['kind']} truth: {images['compared']} images "
        f"compared, {images['only_in_run']} only in the run, {images['only_in_truth']} only in "
        "the truth",
        markup=False,
    )
    if document["objects"]:
        _print_objects(out, document["objects"])
    if document["tags"]:
        tags = document["tags"]
        out.print(f"tags: mAP {_number(tags['map'])}, ECE {_number(tags['calibration']['ece'])}")
        out.print(_table(tags["classes"], "AP"))
    if document["texts"]:
        _print_texts(out, document["texts"])
    errors = ", ".join(f"{n} {kind}" for kind, n in document["n_errors"].items())
    out.print(f"errors: {errors or 'none'}", markup=False)
    for error in document["errors"][:_SHOWN_ERRORS]:
        out.print(f"  {_error(error)}", markup=False)


def _print_objects(out: Console, objects: JsonObject) -> None:
    for kind in ("box", "mask"):
        if objects[kind]:
            stats = objects[kind]["pycocotools"]
            shown = ", ".join(
                f"{name} {_number(stats[name])}" for name in ("AP", "AP50", "AP75", "AR_100")
            )
            second = "agrees" if objects[kind]["agree"] else "[red]DISAGREES[/]"
            out.print(f"{kind:4} {shown}; faster-coco-eval {second}")
    overall = {"name": "all", **objects["overall"]}
    out.print(_table([*objects["classes"], overall], "AP_mask"))
    out.print(f"calibration: ECE {_number(objects['calibration']['ece'])}")


def _print_texts(out: Console, texts: JsonObject) -> None:
    for kind in ("detection", "end_to_end"):
        of = texts[kind]
        shown = ", ".join(f"{name} {_rate(of[name])}" for name in ("precision", "recall", "hmean"))
        out.print(f"text {kind.replace('_', ' ')}: {shown}", markup=False)
    reading = texts["recognition"]
    out.print(
        f"text read: {reading['pairs']} lines, exact {_number(reading['exact'])}, "
        f"CER {_number(reading['cer'])}, WER {_number(reading['wer'])}"
    )


def _table(rows: Sequence[JsonObject], average: str) -> Table:
    table = Table("class", "true", "found", "precision", "recall", "F1", average, box=None)
    for column in table.columns:
        column.no_wrap = True
    for row in rows:
        if not row["truth"] and not row["found"]:
            continue
        table.add_row(
            escape(row["name"]),
            str(row["truth"]),
            str(row["found"]),
            *(_rate(row[name]) for name in ("precision", "recall", "f1")),
            _number(row.get(average)),
        )
    return table


def _error(error: JsonObject) -> str:
    names = {"text": error["text"], "truth": error["truth_text"]}
    said = [f"{key} {value!r}" for key, value in names.items() if value is not None]
    classes = [f"{error['class'] or 'nothing'}, true is {error['truth_class'] or 'nothing'}"]
    rest = ", ".join(said or classes)
    return f"{error['severity']:.2f} {error['kind']} in {error['image']}: {rest}"


def print_tuned(out: Console, tuned: Tuned) -> None:
    """Print proposed thresholds with what they do on images they have not seen."""
    here, there = tuned.images
    table = Table("class", "key", "threshold", "precision", "recall", "before", box=None)
    for column in table.columns:
        column.no_wrap = True
    for of in tuned.thresholds:
        table.add_row(
            escape(of.class_name),
            of.key.removesuffix("_threshold"),
            _number(of.value) if of.value is not None else "goal not reached",
            _interval(of.judged_on.precision),
            _interval(of.judged_on.recall),
            _interval(of.before.precision),
        )
    out.print(f"chosen on {here} images, judged on the other {there}:")
    out.print(table)
    out.print(f"[yellow]{escape(tuned.warning)}[/]")
    out.print(f"policy: {escape(str(tuned.path))}")


def _interval(value: Any) -> str:  # noqa: ANN401  an Interval or None; naming it imports scipy
    return "-" if value is None else f"{value.value:.2f} {value.low:.2f}-{value.high:.2f}"


def _rate(value: JsonObject | None) -> str:
    if value is None:
        return "-"
    return f"{value['value']:.2f} {value['low']:.2f}-{value['high']:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
