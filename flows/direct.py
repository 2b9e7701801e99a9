"""A flow from a shell: ``python -m flows.label CONFIG``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from prefect import Flow, tags

from flows.tasks import TAG
from pipeline.errors import AutolabelError


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


_KINDS: Final[dict[Any, Callable[[str], Any]]] = {"integer": int, "array": _numbers}
"""JSON schema type → how a word of the shell becomes a value; any other stays text."""


def run_directly(flow: Flow[Any, Any], about: str | None) -> None:
    """Run a flow once with the arguments of this process; exit as ``autolabel`` does."""
    parser = argparse.ArgumentParser(
        f"python -m flows.{flow.name}", description=(about or "").splitlines()[0]
    )
    parser.add_argument("config", type=Path, help="run file (YAML)")
    schema = flow.parameters.properties
    for name, field in schema.items():
        if name == "config":
            continue
        flag = f"--{name.replace('_', '-')}"
        if field.get("type") == "boolean":
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None)
        else:
            kind = _KINDS.get(field.get("type"), str)
            parser.add_argument(flag, type=kind, help=field.get("description"))
    given = {k: v for k, v in vars(parser.parse_args()).items() if v is not None}
    try:
        with tags(TAG):
            result = flow(**{**given, "config": str(given["config"].absolute())})
    except AutolabelError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    sys.stdout.write(f"{result}\n")
