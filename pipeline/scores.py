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
        ends = [{"name": "all", **tags["overall"]}, {"name": "accepted", **tags["accepted"]}]
        out.print(_table([*tags["classes"], *ends], "AP"))
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
    ends = [{"name": "all", **objects["overall"]}, {"name": "accepted", **objects["accepted"]}]
    out.print(_table([*objects["classes"], *ends], "AP_mask"))
    out.print(f"calibration: ECE {_number(objects['calibration']['ece'])}")


def _print_texts(out: Console, texts: JsonObject) -> None:
    rows = {
        "found, IoU 0.5": texts["detection"],
        "found, DetEval": texts["deteval"],
        "read": texts["end_to_end"],
        "read, accepted": texts["accepted"]["end_to_end"],
        "word spotting": texts["word_spotting"],
    }
    table = Table("text", "true", "found", "precision", "recall", "hmean", box=None)
    for column in table.columns:
        column.no_wrap = True
    for name, of in rows.items():
        hmean = of["hmean"]
        single = hmean["value"] if isinstance(hmean, dict) else hmean
        rates = (_rate(of["precision"]), _rate(of["recall"]), _number(single))
        table.add_row(name, str(of["truth"]), str(of["found"]), *rates)
    out.print(table)
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
            _rate(row["precision"]),
            _rate(row["recall"]),
            _number(row["f1"] and row["f1"]["value"]),
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
    several = len({of.key for of in tuned.thresholds}) > 1
    columns = [
        "class",
        *(["key"] if several else []),
        "now",
        "proposed",
        "precision",
        "recall",
        "before",
    ]
    table = Table(*columns, *(["at least"] if tuned.precision else []), box=None)
    for column in table.columns:
        column.no_wrap = True
    for of in tuned.thresholds:
        table.add_row(
            escape(of.class_name),
            *([of.key.removesuffix("_threshold")] if several else []),
            f"{of.present:g}",
            f"{of.value:g}" if of.value is not None else "none",
            _interval(of.judged_on.precision),
            _interval(of.judged_on.recall),
            _interval(of.before.precision).partition(" ")[0],
            *([] if of.at_least is None else [f"{of.at_least:.2f}"]),
        )
    out.print(f"chosen on {here} images, judged on the other {there} (before: precision there):")
    out.print(table)
    if any(of.value is None for of in tuned.thresholds):
        out.print("none: no threshold reaches the goal on the half it is chosen on; left as it is")
    if tuned.precision:
        out.print("at least: precision the other half shows at 95 %, for each class alone")
    for line in filter(None, (tuned.note, tuned.warning)):
        out.print(f"[yellow]{escape(line)}[/]")
    out.print(f"policy: {escape(str(tuned.path))}")


def _interval(value: Any) -> str:  # noqa: ANN401  an Interval or None; naming it imports scipy
    return "-" if value is None else f"{value.value:.2f} {value.low:.2f}-{value.high:.2f}"


def _rate(value: JsonObject | float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value['value']:.2f} {value['low']:.2f}-{value['high']:.2f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
