"""``autolabel publish`` and ``autolabel pull``: labels to reviewers, and their decisions back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipeline.console import out, reporter

if TYPE_CHECKING:
    from pipeline.runfile import RunFile

ConfigPath = Annotated[Path, typer.Argument(help="Run file (YAML), see configs/.")]
Workspace = Annotated[
    Path | None, typer.Option("--workspace", help="Workspace instead of the run file's.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]


def publish(config: ConfigPath, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Show the latest run in FiftyOne; what people decided is taken up first and kept."""
    from pipeline.review.publish import publish as publish_run

    run_file = _run_file(config, workspace)
    with reporter() as progress:
        report = publish_run(run_file, progress)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
        return
    out.print(f"[green]published[/] run {report.run_id} as dataset {escape(report.dataset)}")
    out.print(
        f"  {report.images} images: {report.written} written, {report.unchanged} as before, "
        f"{report.removed} removed; {report.quarantined} files in quarantine"
    )
    out.print(
        f"  {report.decided} labels as people left them, {report.proposals} with a new proposal"
    )
    _print_events(report.pulled.events)
    if report.busy:
        out.print(f"[yellow]{report.busy} samples were being edited; publish again[/]")
    out.print(f"next: [bold]autolabel review {escape(str(config))}[/]")


def pull(config: ConfigPath, workspace: Workspace = None, as_json: AsJson = False) -> None:
    """Take what people did in FiftyOne into the workspace's review log."""
    from pipeline.review.pull import pull as pull_reviews

    run_file = _run_file(config, workspace)
    report = pull_reviews(run_file)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
        return
    out.print(f"[green]pulled[/] {report.images} images that people touched since the last time")
    _print_events(report.events)


def _print_events(events: dict[str, int]) -> None:
    if events:
        counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in sorted(events.items()))
        out.print(f"  people: {counts}", markup=False)


def _run_file(config: Path, workspace: Path | None) -> RunFile:
    from pipeline.runfile import Overrides, load_run_file

    return load_run_file(config, Overrides(workspace=workspace))


def register(app: typer.Typer) -> None:
    """Add the commands to the main command."""
    for command in (publish, pull):
        app.command()(command)
