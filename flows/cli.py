"""The commands that need Prefect: ``autolabel server``, ``schedule`` and ``watch``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from pipeline.console import out

ConfigPath = Annotated[Path, typer.Argument(help="Run file (YAML), see configs/.")]
Publish = Annotated[
    bool, typer.Option("--publish/--no-publish", help="Show every run in FiftyOne.")
]
ShardImages = Annotated[int | None, typer.Option("--shard-images", help="Images per task.", min=1)]


def server(
    port: Annotated[int, typer.Option("--port", help="Port on 127.0.0.1.")] = 4200,
) -> None:
    """Start a Prefect server on this machine, with its own home and without telemetry."""
    from flows.server import running_server

    out.print("starting the Prefect server; the first start takes a while")
    with running_server(port) as process:
        url = f"http://127.0.0.1:{port}"
        out.print(f"Prefect is at [bold]{url}[/]; Ctrl-C stops it")
        if port != 4200:  # noqa: PLR2004
            out.print(f"elsewhere: [bold]export PREFECT_API_URL={url}/api[/]")
        out.print("next: [bold]autolabel schedule CONFIG --interval 60[/] in another terminal")
        process.wait()


def schedule(
    config: ConfigPath,
    cron: Annotated[
        str | None, typer.Option("--cron", help='When, for example "0 2 * * *": at two at night.')
    ] = None,
    interval: Annotated[
        float | None, typer.Option("--interval", help="Seconds between starts.", min=1)
    ] = None,
    flow: Annotated[
        Literal["label", "nightly"],
        typer.Option("--flow", help="nightly: label, take reviews in, export."),
    ] = "label",
    publish: Publish = True,
    shard_images: ShardImages = None,
) -> None:
    """Run a flow when it is due, until Ctrl-C; which pauses the schedule."""
    from flows.server import connect

    url = connect()
    from flows.schedule import deployment, serve_here

    options: dict[str, object] = {} if shard_images is None else {"shard_images": shard_images}
    if flow == "label":
        options["publish"] = publish
    served = deployment(config, flow, cron, interval, options)
    when = f"at {cron}" if cron else f"every {interval:g} s"
    out.print(f"{flow} of {escape(str(config))} runs {when}; see {url.removesuffix('/api')}")
    serve_here(served)


def watch(
    config: ConfigPath,
    quiet: Annotated[
        float, typer.Option("--quiet", help="Seconds without a change before a run.", min=0)
    ] = 30.0,
    every: Annotated[float, typer.Option("--every", help="Seconds between looks.", min=0.1)] = 5.0,
    publish: Publish = True,
    deployment: Annotated[
        str | None,
        typer.Option("--deployment", help="Run this one (FLOW/NAME) instead of running here."),
    ] = None,
) -> None:
    """Label when images have arrived and the folders have been quiet for a while."""
    from flows.server import connect

    connect()
    from flows.watch import Watch, find, run_here, run_there
    from flows.watch import watch as watch_folders

    if deployment:
        find(deployment)
    words = () if publish else ("--no-publish",)
    out.print(f"watching the image folders of {escape(str(config))}; Ctrl-C ends it")

    def start(path: Path) -> bool:
        """Run the flow for new images; tells whether it completed."""
        return run_there(path, deployment) if deployment else run_here(path, words)

    watch_folders(config.absolute(), Watch(quiet), every, start)


def register(app: typer.Typer) -> None:
    """Add the commands to the main command."""
    for command in (server, schedule, watch):
        app.command()(command)
