"""``autolabel models``: which weights there are, whether they are right, and how to get them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from pipeline.console import err, out
from pipeline.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from pipeline.config import ModelsConfig
    from pipeline.weights import LockEntry

app = typer.Typer(help="List, verify and fetch model weights.", no_args_is_help=True)

Directory = Annotated[
    Path | None,
    typer.Option(
        "--models-dir", help="Models directory; default AUTOLABEL_MODELS_DIR, else cache."
    ),
]


@app.command("list")
def list_models(
    directory: Directory = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the models of models.lock and say which are here."""
    from pipeline.config import ModelsConfig
    from pipeline.weights import entries, models_directory

    config = ModelsConfig(directory=directory)
    rows = [
        {
            **asdict(entry),
            "size": sum(file.size or 0 for file in entry.files),
            "present": _is_here(entry, config),
        }
        for entry in entries()
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
        return
    table = Table("name", "engine", "size", "licence", "here", box=None)
    table.columns[0].no_wrap = True
    for row in rows:
        here = "[green]yes[/]" if row["present"] else "no"
        size = f"{row['size'] / 1e6:.1f} MB"
        table.add_row(escape(row["name"]), row["kind"], size, row["licence"], here)
    out.print(table)
    out.print("fetch what is not here with: autolabel models pull NAME")
    out.print(f"models directory: {models_directory(config)}", markup=False)


@app.command("verify")
def verify_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models; all that are here if none is named.")
    ] = None,
    directory: Directory = None,
) -> None:
    """Hash every byte of the weights and compare with models.lock; exit 1 if any is wrong."""
    from pipeline.config import ModelsConfig
    from pipeline.weights import entries, verify

    config = ModelsConfig(directory=directory)
    wanted = [_entry(name) for name in names or ()]
    wrong = 0
    for entry in wanted or [entry for entry in entries() if _is_here(entry, config)]:
        problems = verify(entry, config)
        wrong += bool(problems)
        out.print(f"{entry.name}: {'; '.join(problems) or 'ok'}", markup=False)
    if wrong:
        raise typer.Exit(1)


@app.command("pull")
def pull_models(
    names: Annotated[
        list[str], typer.Argument(help="Models of models.lock, or ARCH/PRETRAINED_TAG.")
    ],
    directory: Directory = None,
) -> None:
    """Fetch weights into the models directory and check them; goes on where it was stopped."""
    from pipeline.config import ModelsConfig
    from pipeline.engines.registry import pull_model

    config = ModelsConfig(directory=directory)
    for name in names:
        if "/" not in name:  # with one it may be an ARCH/PRETRAINED_TAG that no lock names
            _entry(name)
    for name in names:
        with _DownloadBars() as bars:
            files = pull_model(name, config, bars.show)
        out.print(f"{name}: verified, in {files.folder}", markup=False)


class _DownloadBars(Progress):
    """One bar per file, made when its first bytes arrive."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
        super().__init__(*columns, TransferSpeedColumn(), console=err)
        self._bars: dict[str, TaskID] = {}

    def show(self, name: str, done: int, total: int | None) -> None:
        """Move the bar of a file."""
        if name not in self._bars:
            self._bars[name] = self.add_task(name, total=total)
        self.update(self._bars[name], completed=done, total=total)


def _entry(name: str) -> LockEntry:
    from pipeline.weights import entries, entry_named

    entry = entry_named(name)
    if entry is None:
        known = ", ".join(entry.name for entry in entries())
        raise ConfigError(f"{name}: no such model in models.lock; there are {known}")
    return entry


def _is_here(entry: LockEntry, config: ModelsConfig) -> bool:
    from pipeline.weights import locate

    try:
        locate(entry.name, config, Path.cwd())
    except WeightsError:
        return False
    return True
