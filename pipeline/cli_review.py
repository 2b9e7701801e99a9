"""``autolabel publish``, ``review`` and ``pull``: labels to people, their decisions back."""

from __future__ import annotations

import getpass
import json
import os
import socket
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from pipeline.cli_options import AsJson, ConfigPath, Workspace, read_run_file
from pipeline.console import out, reporter

if TYPE_CHECKING:
    from pipeline.review.app import Opened
    from pipeline.runfile import RunFile


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


def review(
    config: ConfigPath,
    workspace: Workspace = None,
    port: Annotated[
        int, typer.Option("--port", help="Port of the App; 0 takes a free one.")
    ] = 5151,
    address: Annotated[str, typer.Option("--address", help="Address to listen on.")] = "127.0.0.1",
    any_address: Annotated[
        bool,
        typer.Option(
            "--allow-any-address", help="Let --address be one that other machines can reach."
        ),
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser window.")
    ] = True,
    remote: Annotated[
        bool, typer.Option("--remote", help="You sit at another machine: say how to get here.")
    ] = False,
    reviewer: Annotated[
        str | None, typer.Option("--reviewer", help="Name on decisions; default the account's.")
    ] = None,
) -> None:
    """Publish, open the FiftyOne App, and take decisions in when Ctrl-C ends it."""
    from pipeline.review.app import Door
    from pipeline.review.app import review as open_app

    run_file = _run_file(config, workspace)
    if reviewer:
        os.environ["AUTOLABEL_REVIEWER"] = reviewer

    def opened(here: Opened) -> None:
        """Say where the App is, once it answers."""
        _print_opened(here, remote=remote)

    door = Door(address, port, browser and not remote, any_address)
    report = open_app(run_file, door, opened)
    out.print(f"[green]pulled[/] {report.images} images that people touched")
    _print_events(report.events)


def _print_opened(here: Opened, *, remote: bool) -> None:
    n = here.published.images
    out.print(f"{n} images of run {here.published.run_id} are open for review at")
    out.print(f"  [bold]{here.url}[/]")
    if remote:
        user, host = getpass.getuser(), socket.gethostname()
        out.print(f"from your machine: ssh -N -L {here.port}:127.0.0.1:{here.port} {user}@{host}")
    out.print("Ctrl-C ends the review and takes all decisions in")


def _print_events(events: dict[str, int]) -> None:
    if events:
        counts = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in sorted(events.items()))
        out.print(f"  people: {counts}", markup=False)


def _run_file(config: Path, workspace: Path | None) -> RunFile:
    from pipeline.review.mongod import check_mongod

    run_file = read_run_file(config, workspace)
    check_mongod()  # before anything heavy is loaded
    return run_file


def register(app: typer.Typer) -> None:
    """Add the commands to the main command."""
    for command in (publish, review, pull):
        app.command()(command)
