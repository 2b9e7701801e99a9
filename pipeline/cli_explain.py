"""``autolabel explain``, ``why`` and ``report``: labels that give their reasons."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pipeline.cli_options import AsJson, ConfigPath, Workspace, read_run_file
from pipeline.console import out, reporter

if TYPE_CHECKING:
    from pipeline.explain import Explained, Explanation
    from pipeline.relevance import Method
    from pipeline.runfile import RunFile
    from pipeline.why import Why


_ROWS = 40


def explain(
    config: ConfigPath,
    workspace: Workspace = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--images", help="File name or pattern ('*.png'); repeat. Default: the least sure."
        ),
    ] = None,
    tags: Annotated[
        list[str] | None,
        typer.Option("--tags", help="Class, or any words; repeat. Default: all tags and objects."),
    ] = None,
    method: Annotated[
        str, typer.Option("--method", help="chefer, dense, occlusion or rollout.")
    ] = "chefer",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most images, by default.")] = 12,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="COCO file: score maps against its masks.")
    ] = None,
    fade: Annotated[
        bool, typer.Option("--fade", help="Score by deletion and insertion too; slow.")
    ] = False,
    publish: Annotated[
        bool, typer.Option("--publish", help="Show the maps as heatmaps in FiftyOne.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which pixels spoke for each tag and object: image | relevance | mask."""
    from pipeline.explain import Question
    from pipeline.explain import explain as explain_run

    run_file = read_run_file(config, workspace)
    asked = Question(tuple(images or ()), tuple(tags or ()), _method(method), limit, truth, fade)
    with reporter() as progress:
        made = explain_run(run_file, asked, progress)
    shown = _publish(run_file, made) if publish else None
    if as_json:
        rows = [_as_row(one) for one in made.maps]
        document = {"folder": str(made.folder), "maps": rows, "skipped": dict(made.skipped)}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    _print_maps(made)
    if shown is not None:
        out.print(f"{shown} samples show them in FiftyOne: fields relevance_…")
    out.print(f"next        autolabel report {escape(str(config))}")


def why(
    config: ConfigPath,
    label_id: Annotated[
        str, typer.Argument(help="Annotation id, tag:<digest>:<class>, or human:<id>.")
    ],
    workspace: Workspace = None,
    as_json: AsJson = False,
) -> None:
    """Say of one label: model, prompts, scores, thresholds, verdict, and what people did."""
    from pipeline.why import why as ask_why

    answer = ask_why(read_run_file(config, workspace).config.workspace, label_id)
    if as_json:
        typer.echo(json.dumps(asdict(answer), indent=2, ensure_ascii=False))
    else:
        _print_why(answer)


def report(
    config: ConfigPath,
    workspace: Workspace = None,
    run: Annotated[str | None, typer.Option("--run", help="Run id; default the latest.")] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", help="Run id to compare with; default the one before."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="File; default report.html in the run folder.")
    ] = None,
) -> None:
    """Write one HTML page that lets a stranger judge the run."""
    from pipeline.report import write_report

    run_file = read_run_file(config, workspace)
    with reporter() as progress:
        path = write_report(run_file.config.workspace, progress, run, against, to)
    out.print(f"[green]written[/] {escape(str(path))}")


def _method(name: str) -> Method:
    from pipeline.errors import ConfigError
    from pipeline.relevance import Method

    try:
        return Method(name)
    except ValueError:
        names = ", ".join(Method)
        raise ConfigError(f"--method {name!r}: expected one of {names}") from None


def _publish(run_file: RunFile, made: Explanation) -> int:
    from pipeline.review.heatmaps import show_heatmaps
    from pipeline.review.mongod import check_mongod

    check_mongod()
    return show_heatmaps(run_file, made.run_id, made.maps)


def _as_row(one: Explained) -> dict[str, object]:
    return {
        "file_name": one.file_name,
        "label_id": one.label_id,
        "kind": one.kind,
        "words": one.words,
        "score": one.score,
        "method": one.method.value,
        **asdict(one.scores),
        "panel": one.panel,
    }


def _print_maps(made: Explanation) -> None:
    rows = [_cells(one) for one in made.maps[:_ROWS]]
    names = [name for name in (rows[0] if rows else {}) if any(row[name] for row in rows)]
    table = Table(*names, box=None, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*(escape(row[name]) for name in names))
    out.print(table)
    if len(made.maps) > _ROWS:
        out.print(f"… and {len(made.maps) - _ROWS} more, all in the folder's index.json")
    for kind in dict.fromkeys(one.kind for one in made.maps):
        _print_mean([one for one in made.maps if one.kind == kind])
    for name, reason in made.skipped.items():
        out.print(f"skipped {name}: {reason}", markup=False)
    out.print(f"pictures    {escape(str(made.folder))}")


def _cells(one: Explained) -> dict[str, str]:
    scores = one.scores
    return {
        "image": one.file_name,
        "what": one.kind,
        "words": one.words,
        "score": _number(one.score),
        "mask": scores.held_against or "",
        "points": {True: "yes", False: "no", None: ""}[scores.points],
        "AUROC": _number(scores.auroc),
        "inside": _number(scores.inside),
        "del": _number(scores.deletion),
        "ins": _number(scores.insertion),
    }


def _print_mean(maps: list[Explained]) -> None:
    scores = [one.scores for one in maps]
    points = _mean(one.points for one in scores)
    n = sum(one.points is not None for one in scores)
    line = f"{maps[0].method.value}, {len(maps)} x {maps[0].kind}"
    if n:
        auroc, inside = _mean(s.auroc for s in scores), _mean(s.inside for s in scores)
        line += f": with a mask {n}, points at it {points}, pixel AUROC {auroc}, inside {inside}"
    if not maps[0].method.is_tag_specific:
        line += " (not tag-specific: the same map for every tag)"
    out.print(line, markup=False)


def _mean(values: Iterable[float | None]) -> str:
    known = [float(value) for value in values if value is not None]
    return f"{fmean(known):.2f}" if known else "-"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _print_why(answer: Why) -> None:
    rows = Table(show_header=False, box=None)
    rows.add_row("label", escape(f"{answer.label}{f': {answer.text}' if answer.text else ''}"))
    rows.add_row("", f"{answer.kind} in {escape(answer.file_name)}, sha256 {answer.sha256[:16]}…")
    rows.add_row("run", answer.run_id)
    rows.add_row("status", f"{answer.status}")
    rows.add_row("verdict", escape(f"{answer.decision or '-'}: {answer.reason or '-'}"))
    rows.add_row("score", f"{answer.score:.6f}" if answer.score is not None else "-")
    if answer.runner_up:
        rows.add_row("runner-up", escape(f"{answer.runner_up.name} {answer.runner_up.score:.6f}"))
    if answer.background is not None:
        rows.add_row("none of them", f"{answer.background:.6f}")
    for name, value in answer.thresholds.items():
        rows.add_row("threshold", f"{name} {value:g}")
    for name, value in answer.mask.items():
        rows.add_row("mask", f"{name} {value:g}")
    for prompt in answer.cosines:
        rows.add_row("prompt", escape(f"{prompt.score:+.4f}  {prompt.name}"))
    for model in answer.models:
        rows.add_row("model", escape(f"{model['model']} ({model['engine']}, {model['stage']})"))
        rows.add_row("", f"weights {model['weights']}")
    if answer.missing:
        rows.add_row("not known", escape(answer.missing))
    for event in answer.history:
        now = f" → {event.now}" if event.now else ""
        said = f"{event.at} {event.by}: {', '.join(event.what)}{now}"
        rows.add_row("history", escape(said))
    if not answer.history:
        rows.add_row("history", "nobody touched it")
    out.print(rows)


def register(app: typer.Typer) -> None:
    """Add the commands to the main command."""
    for command in (explain, why, report):
        app.command()(command)
