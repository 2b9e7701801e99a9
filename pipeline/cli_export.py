"""``autolabel export``, ``evaluate`` and ``tune``: labels to trainers, and how good they are."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipeline.cli_options import AsJson, ConfigPath, Workspace, read_run_file
from pipeline.console import out

if TYPE_CHECKING:
    from pipeline.evaluate import Evaluated
    from pipeline.export import Choice, ExportReport
    from pipeline.runfile import RunFile


def export(
    config: ConfigPath,
    format_name: Annotated[
        str, typer.Option("--format", help="Format, or `list` to see them all.")
    ] = "coco",
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder to write; default <workspace>/exports/<format>."),
    ] = None,
    split: Annotated[
        str, typer.Option("--split", help="Percent of train,val[,test], e.g. 80,10,10.")
    ] = "",
    status: Annotated[
        str,
        typer.Option(
            "--status",
            help="reviewed: only images a person went through; accepted: what the policy or a "
            "person accepted; all: also what waits for review.",
        ),
    ] = "accepted",
    classes: Annotated[
        str, typer.Option("--classes", help="Class names to keep, with commas between them.")
    ] = "",
    link: Annotated[
        bool, typer.Option("--link/--copy", help="Link to image files that need no change.")
    ] = False,
    min_iou: Annotated[
        float, typer.Option("--min-iou", help="Least IoU of a polygon with its mask.")
    ] = 0.99,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Write labels as they stand, with what people decided, for training."""
    from pipeline.export import FORMATS, ExportRequest
    from pipeline.export import export as write_export

    if format_name == "list":
        for name, meaning in FORMATS.items():
            out.print(f"{name:18} {meaning}", markup=False)
        return
    run_file = read_run_file(config, workspace)
    target = folder or run_file.config.workspace / "exports" / format_name
    request = ExportRequest(
        format_name,
        target.absolute(),
        _shares(split),
        _choice(status),
        tuple(name.strip() for name in classes.split(",") if name.strip()),
        link,
        min_iou,
    )
    report = write_export(run_file, request)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2, default=str, ensure_ascii=False))
    else:
        _print_export(report)


def _shares(text: str) -> tuple[int, ...]:
    from pipeline.errors import ConfigError

    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(f"--split {text}: expected whole percentages, e.g. 80,10,10") from None


def _choice(text: str) -> Choice:
    from pipeline.errors import ConfigError
    from pipeline.export import Choice

    try:
        return Choice(text)
    except ValueError:
        known = ", ".join(choice.value for choice in Choice)
        raise ConfigError(f"--status {text}: expected one of {known}") from None


def _print_export(report: ExportReport) -> None:
    state = "unchanged, it was this already" if report.unchanged else "written"
    out.print(
        f"[green]{state}[/] {escape(str(report.out))}  ({report.format}, {_size(report.bytes)})"
    )
    images = ", ".join(f"{name} {n}" for name, n in report.images.items())
    labels = ", ".join(f"{n} {name}s" for name, n in report.labels.items())
    out.print(f"  images: {images}; labels: {labels}", markup=False)
    for reason, n in report.left_out.items():
        out.print(f"  left out: {n} ({reason})", markup=False)
    for note in report.notes:
        out.print(f"  [yellow]{escape(note)}[/]")


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.2f} MB"


def evaluate(
    config: ConfigPath,
    truth: Annotated[str, typer.Option("--truth", help="COCO or COCO-Text file, or `reviewed`.")],
    publish: Annotated[
        bool | None,
        typer.Option(
            "--publish/--no-publish",
            help="Store it in FiftyOne too; default: if there is a dataset.",
        ),
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Measure the labels of the latest run against truth. No model runs."""
    from pipeline.evaluate import evaluate as measure

    run_file = read_run_file(config, workspace)
    done = measure(run_file, truth)
    shown = _in_fiftyone(run_file, done, publish)
    if as_json:
        typer.echo(json.dumps(done.document, indent=2, ensure_ascii=False))
        return
    from pipeline.scores import print_evaluation

    print_evaluation(out, done.document)
    out.print(f"all figures and errors: {escape(str(done.path))}")
    if shown:
        out.print(escape(shown))


def _in_fiftyone(run_file: RunFile, done: Evaluated, wanted: bool | None) -> str:
    """Store an evaluation in FiftyOne; says what came of it.

    Raises:
        ReviewError: It was asked for and cannot be done.
    """
    if wanted is False:
        return ""
    from pipeline.errors import ReviewError
    from pipeline.review.evaluation import is_published, show_evaluation
    from pipeline.review.mongod import check_mongod

    if wanted is None and not is_published(run_file.config.workspace):
        return ""
    try:
        check_mongod()
        n = show_evaluation(run_file, done)
    except ReviewError as error:
        if wanted:
            raise
        return f"not in FiftyOne: {error}"
    return f"FiftyOne: {n} samples, panel Model Evaluation; fields truth, predictions"


def tune(
    config: ConfigPath,
    truth: Annotated[str, typer.Option("--truth", help="COCO file, or `reviewed`.")],
    precision: Annotated[
        float | None,
        typer.Option("--precision", help="Precision to reach; without it, the best F1."),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Option("--out", help="Policy file to write; default in the run's folder."),
    ] = None,
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Propose thresholds per class on half of the truth, judge them on the other half."""
    from pipeline.evaluate import Goal
    from pipeline.evaluate import tune as propose

    tuned = propose(read_run_file(config, workspace), truth, Goal(precision), target)
    if as_json:
        typer.echo(json.dumps(asdict(tuned), indent=2, default=str, ensure_ascii=False))
        return
    from pipeline.scores import print_tuned

    print_tuned(out, tuned)


def register(app: typer.Typer) -> None:
    """Add the commands to the main command."""
    for command in (export, evaluate, tune):
        app.command()(command)
