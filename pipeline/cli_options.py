"""Arguments and options that commands share; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pipeline.runfile import RunFile

ConfigPath = Annotated[Path, typer.Argument(help="Run file (YAML), see configs/.")]
Workspace = Annotated[
    Path | None, typer.Option("--workspace", help="Workspace instead of the run file's.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines.")]


def read_run_file(config: Path, workspace: Path | None) -> RunFile:
    """Read the run file that a command names.

    Raises:
        ConfigError: It does not fit.
    """
    from pipeline.runfile import Overrides, load_run_file

    return load_run_file(config, Overrides(workspace=workspace))
