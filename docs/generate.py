"""Write the generated parts of the docs: `python docs/generate.py`, or check them with --check.

``docs/run-file.md`` comes from the descriptions in ``pipeline.config``, ``docs/commands.md`` from
the ``--help`` of every command.
"""

from __future__ import annotations

import os
import sys
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipeline.config import RunConfig

DOCS = Path(__file__).parent

RUN_FILE_HEAD = """\
# The run file

One YAML file says what a job does. It is read strictly: unknown keys, wrong types, values out of
range and keys that stand twice are errors, all told at once with file and line, before any model
is loaded. YAML 1.2: `no`, `on`, `012` and `12:30` are strings. Paths are relative to the file.

Changing anything under `policy` runs no model on any image; changing a stage runs that stage
again, and what builds upon it. `autolabel plan` says which, and why.

*This page is generated from `pipeline/config/` by `python docs/generate.py`.*
"""

COMMANDS_HEAD = """\
# Commands

Progress goes to stderr, results to stdout. Exit codes: 0 done, 1 failed, 2 wrong usage or run
file, 3 done with quarantined files (`run --strict` only), 130 stopped by Ctrl-C or SIGTERM.

*This page is generated from `--help` by `python docs/generate.py`.*
"""


def run_file_page() -> str:
    """Lay out every key of the run file with its type, default and meaning."""
    sections = [RUN_FILE_HEAD]
    seen: set[type[BaseModel]] = set()
    _section("", RunConfig, sections, seen)
    return "\n".join(sections)


def _section(
    prefix: str, model: type[BaseModel], out: list[str], seen: set[type[BaseModel]]
) -> None:
    if model in seen:
        return
    seen.add(model)
    title = prefix.rstrip(".") or "Top level"
    summary = (model.__doc__ or "").strip().splitlines()[0]
    out.append(f"## {title}\n\n{summary}\n\n| key | type | default | meaning |\n|---|---|---|---|")
    rows, children = [], []
    for name, field in model.model_fields.items():
        rows.append(
            f"| `{name}` | {_type(field.annotation)} | {_default(field)} | {_text(field)} |"
        )
        children += [(f"{prefix}{name}", child) for child in _models_in(field.annotation)]
    out.append("\n".join(rows) + "\n")
    for path, child in children:
        engine = child.model_fields.get("engine")
        suffix = f" ({get_args(engine.annotation)[0]})" if engine else ""
        _section(f"{path}{suffix}.", child, out, seen)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in get_args(annotation) for model in _models_in(arg)]


def _type(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(args[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in args)
    if origin in {types.UnionType, typing.Union}:
        names = [_type(arg) for arg in args if arg is not types.NoneType]
        return " or ".join(dict.fromkeys(names))
    if origin is tuple:
        listed = args[:1] if args[-1] is Ellipsis else args
        return "list of " + " or ".join(dict.fromkeys(_type(arg) for arg in listed))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    plain = {"str": "text", "float": "number", "int": "whole number", "bool": "true or false"}
    name = str(annotation.__name__)
    return plain.get(name, name.lower())


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "**required**"
    if isinstance(field.default, BaseModel):
        return ""
    if field.default is None:
        return "none"
    if isinstance(field.default, tuple):
        return f"`{list(field.default)}`"
    value = field.default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _text(field: FieldInfo) -> str:
    return (field.description or "").replace("|", "\\|")


def commands_page() -> str:
    """Lay out the help of every command."""
    os.environ.update(COLUMNS="100", TERM="dumb", NO_COLOR="1")
    from typer.main import get_command

    from pipeline.cli import app

    pages = [COMMANDS_HEAD]
    _command_pages("autolabel", get_command(app), pages)
    return "\n".join(pages)


def _command_pages(path: str, command: Any, out: list[str]) -> None:
    from typer.testing import CliRunner

    from pipeline.cli import app

    words = path.split()[1:]
    text = CliRunner().invoke(app, [*words, "--help"], prog_name="autolabel").stdout
    lines = [line.rstrip() for line in text.strip().splitlines()]
    out.append(f"## `{path}`\n\n```text\n" + "\n".join(lines) + "\n```\n")
    for name, child in sorted(getattr(command, "commands", {}).items()):
        _command_pages(f"{path} {name}", child, out)


PAGES = {"run-file.md": run_file_page, "commands.md": commands_page}


def main() -> None:
    """Write the pages, or with --check say which are stale and exit 1."""
    stale = []
    for name, build in PAGES.items():
        path, text = DOCS / name, build()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"stale: {', '.join(stale)}; run python docs/generate.py")


if __name__ == "__main__":
    main()
