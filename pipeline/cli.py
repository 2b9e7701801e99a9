"""The ``autolabel`` command. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from rich.markup import escape
from rich.table import Table

from pipeline import cli_explain, cli_export, cli_models, cli_review
from pipeline.console import err, out, reporter
from pipeline.errors import AutolabelError, ConfigError

EXIT_QUARANTINED = 3
EXIT_INTERRUPTED = 130

app = typer.Typer(
    help="Image folders in, exact COCO labels out: CLIP tags, named SAM masks, OCR text.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)

app.add_typer(cli_models.app, name="models")

ConfigPath = Annotated[Path, typer.Argument(help="Run file (YAML), see configs/.")]
Images = Annotated[
    list[Path] | None,
    typer.Option("--images", help="Image folder instead of the run file's; may be repeated."),
]
Workspace = Annotated[
    Path | None, typer.Option("--workspace", help="Workspace instead of the run file's.")
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda or mps instead of the run file's.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder for the new project.")],
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder with your images, if you have one.")
    ] = None,
) -> None:
    """Make a folder with a commented run file to start from."""
    from pipeline.starter import start_project

    run_file = start_project(folder, images)
    out.print(f"[green]made[/] {escape(str(run_file))}")
    out.print(f"edit its classes, then: [bold]autolabel run {escape(str(run_file))}[/]")


@app.command()
def run(
    config: ConfigPath,
    images: Images = None,
    workspace: Workspace = None,
    device: Device = None,
    as_json: AsJson = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 if any file was quarantined.")
    ] = False,
) -> None:
    """Label what is new or changed, and write a run folder with COCO labels."""
    from pipeline.app import label
    from pipeline.overview import print_result

    run_file = _run_file(config, images, workspace, device)
    with reporter() as progress:
        result = label(run_file, progress)
    if as_json:
        _print_json({**result.summary, "folder": str(result.folder)})
    else:
        print_result(out, result)
    if strict and result.n_quarantined:
        raise typer.Exit(EXIT_QUARANTINED)


@app.command()
def plan(
    config: ConfigPath,
    images: Images = None,
    workspace: Workspace = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Say per stage what a run would do, and why. Loads no model, changes nothing."""
    from dataclasses import asdict

    from pipeline.app import plan as make_plan
    from pipeline.overview import print_plan

    run_file = _run_file(config, images, workspace, device)
    with reporter() as progress:
        planned = make_plan(run_file, progress)
    if as_json:
        _print_json(asdict(planned))
    else:
        print_plan(out, planned)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="COCO file.")],
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder the file names refer to.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check a COCO file against the conformance rules; exit 1 if any is broken."""
    from dataclasses import asdict

    from pipeline.coco import check_file

    violations = check_file(file, images)
    if as_json:
        _print_json({"file": str(file), "violations": [asdict(v) for v in violations]})
    else:
        for violation in violations:
            out.print(
                f"rule {violation.rule}: {violation.where}: {violation.message}", markup=False
            )
        verdict = f"{len(violations)} violations" if violations else "conforms"
        out.print(f"{file}: {verdict}", markup=False)
    if violations:
        raise typer.Exit(1)


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what works on this machine, and how to mend what does not."""
    from dataclasses import asdict

    from pipeline.doctor import examine

    findings = examine()
    if as_json:
        _print_json([asdict(finding) for finding in findings])
        return
    table = Table("", "what", "found", "how to mend it", box=None)
    marks = {"ok": "[green]ok[/]", "warn": "[yellow]!![/]", "bad": "[red]no[/]"}
    for f in findings:
        table.add_row(marks[f.state], escape(f.what), escape(f.found), escape(f.fix))
    out.print(table)


cli_review.register(app)
cli_export.register(app)
cli_explain.register(app)
# Commands of packages above this one (see flows.cli), which nothing here may know by name.
for _contributed in entry_points(group="autolabel.commands"):
    _contributed.load()(app)


def _run_file(
    config: Path, images: list[Path] | None, workspace: Path | None, device: str | None
) -> Any:  # noqa: ANN401  a RunFile; naming the type would import pydantic for --help
    from pipeline.runfile import Overrides, load_run_file

    return load_run_file(config, Overrides(tuple(images or ()), workspace, device))


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _stop(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def main() -> None:
    """Run the command; every error a person can mend is one message, not a traceback."""
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(_guarded(lambda: app(standalone_mode=False)))


def _guarded(command: Callable[[], object]) -> int:
    try:
        code = command()
    except (KeyboardInterrupt, typer.Abort):
        err.print("stopped. Findings so far are kept: the same command goes on from there.")
        return EXIT_INTERRUPTED
    except AutolabelError as error:
        err.print(f"[red]error:[/] {escape(str(error))}")
        return error.exit_code
    except Exception as error:
        # Usage errors of click, which newer releases of typer carry inside under another name.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return ConfigError.exit_code
        if os.environ.get("AUTOLABEL_DEBUG"):
            raise
        err.print(
            f"[red]internal error:[/] {escape(f'{type(error).__name__}: {error}')}\n"
            "This is a bug. Set AUTOLABEL_DEBUG=1 and run again for the traceback to report."
        )
        return AutolabelError.exit_code
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
