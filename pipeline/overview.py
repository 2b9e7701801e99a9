"""A run and a plan as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.app import Plan, RunResult
from pipeline.write import LABELS, QUARANTINE

TOY_PREFIX = "tiny-synthetic"


def print_plan(console: Console, plan: Plan) -> None:
    """Show what a run would ask, stage by stage."""
    table = Table("stage", "cached", "to run", "why", box=None)
    for stage in plan.stages:
        table.add_row(stage.stage.value, str(stage.cached), str(stage.to_run), escape(stage.why))
    console.print(f"{plan.found} files, {plan.images} distinct images")
    if plan.unreadable:
        console.print(f"{plan.unreadable} files would be quarantined unread")
    console.print(table)


def print_result(console: Console, result: RunResult) -> None:
    """Show what a run did, where it is, and what to do next."""
    summary = result.summary
    console.print(
        f"[bold]{summary['found']}[/] files = [bold]{summary['labelled']}[/] labelled "
        f"({summary['duplicates']} of them duplicates) + "
        f"[bold]{summary['quarantined']}[/] quarantined"
    )
    for reason, count in summary["quarantined_by_reason"].items():
        console.print(f"  {count} x {reason}", markup=False)
    console.print(_stages(summary["stages"]))
    console.print(_labels(summary))
    _print_toy_note(console, summary["stages"])
    folder = escape(str(result.folder))
    console.print(f"labels      {folder}/{LABELS}")
    if summary["quarantined"]:
        console.print(f"quarantine  {folder}/{QUARANTINE}")
    console.print(f"next        [bold]autolabel check {folder}/{LABELS}[/]")


def _stages(stages: Mapping[str, Any]) -> Table:
    table = Table("stage", "model", "ran", "cached", "failed", "seconds", box=None)
    for name, row in stages.items():
        model = row["engine"]["model"] if row["engine"] else ""
        counts = (str(row[key]) for key in ("ran", "cached", "failed"))
        table.add_row(name, escape(model), *counts, f"{row['seconds']:.1f}")
    return table


def _labels(summary: Mapping[str, Any]) -> Table:
    table = Table("labels", "accept", "review", "drop", "classes kept", box=None)
    for kind, counts in summary["labels"].items():
        kept = summary["classes"].get(kind, {})
        names = ", ".join(f"{name} {n}" for name, n in kept.items())
        decisions = (str(counts.get(key, 0)) for key in ("accept", "review", "drop"))
        table.add_row(kind, *decisions, escape(names))
    return table


def _print_toy_note(console: Console, stages: Mapping[str, Any]) -> None:
    models = {row["engine"]["model"] for row in stages.values() if row["engine"]}
    toys = sorted(model for model in models if model.startswith(TOY_PREFIX))
    if toys:
        console.print(
            f"[yellow]toy models[/] {', '.join(toys)} know synthetic scenes only; "
            "configs/default.yaml names real ones"
        )
