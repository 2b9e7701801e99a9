"""What a person sees on the page of a run: progress, reasons in the log, tables, pictures, links.

Artifacts of one job share their keys, so that the Artifacts page shows how it went over time.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.tasks import read
from pipeline.app import SILENT
from pipeline.contact_sheet import contact_sheet
from pipeline.errors import AutolabelError
from pipeline.labels.runs import FinishedRun
from pipeline.records import Failure, JsonObject, SourceFile
from pipeline.report import REPORT, write_report
from pipeline.runfile import RunFile
from pipeline.write import LABELS, QUARANTINE, SUMMARY

_MOST_LINES: Final = 50
"""Log lines per task about images that failed; the run folder has them all."""


class Progress:
    """A bar on the run's page, in shards."""

    def __init__(self, shards: int) -> None:
        self._shards = shards
        text = f"0 of {shards} shards labelled"
        self._bar = cast("UUID", create_progress_artifact(0.0, description=text))

    def done(self, n: int) -> None:
        """Move the bar; n shards are done."""
        text = f"{n} of {self._shards} shards labelled"
        update_progress_artifact(self._bar, 100.0 * n / self._shards, description=text)


def log_failures(images: Sequence[SourceFile], failures: Mapping[str, Failure]) -> None:
    """Say which images got no labels, and why."""
    log = get_run_logger()
    failed = [(image, failures[image.digest]) for image in images if image.digest in failures]
    for image, failure in failed[:_MOST_LINES]:
        log.warning("%s: %s at %s: %s", image.path, failure.reason, failure.stage, failure.detail)
    if len(failed) > _MOST_LINES:
        log.warning("... and %d more; see %s", len(failed) - _MOST_LINES, QUARANTINE)


def show(config: str, folder: str, dataset: str | None) -> None:
    """Put tables, pictures and links of a finished run on the page of the current one."""
    run, path = read(config), Path(folder)
    _write_report(run, path)
    summary: JsonObject = json.loads((path / SUMMARY).read_text(encoding="utf-8"))
    job = _slug(run.config.name)
    create_table_artifact(_classes(summary), f"{job}-classes", "Labels per class")
    reasons = [{"reason": k, "files": n} for k, n in summary["quarantined_by_reason"].items()]
    create_table_artifact(
        reasons or [{"reason": "none: every file has labels", "files": 0}],
        f"{job}-quarantine",
        "Files without labels, by reason",
    )
    _log_quarantine(path)
    create_markdown_artifact(
        _page(run, path, summary, dataset), f"{job}-run", "The run at a glance"
    )


def _write_report(run: RunFile, folder: Path) -> None:
    try:
        write_report(run.config.workspace, SILENT, folder.name)
    except AutolabelError as error:  # the labels are there; a page about them can be had later
        get_run_logger().warning("no report: %s", error)


def _classes(summary: JsonObject) -> list[dict[str, object]]:
    return [
        {"kind": kind, "class": name, "labels": n}
        for kind, counts in summary["classes"].items()
        for name, n in counts.items()
    ] or [{"kind": "none", "class": "no labels", "labels": 0}]


def _log_quarantine(folder: Path) -> None:
    log = get_run_logger()
    with (folder / QUARANTINE).open(encoding="utf-8") as lines:
        for n, line in enumerate(lines):
            if n >= _MOST_LINES:
                log.warning("... and more; see %s", folder / QUARANTINE)
                return
            row = json.loads(line)
            log.warning("quarantined %s: %s: %s", row["path"], row["reason"], row["detail"])


def _page(run: RunFile, folder: Path, summary: JsonObject, dataset: str | None) -> str:
    found, labelled, missing = (summary[key] for key in ("found", "labelled", "quarantined"))
    seconds, model = summary["wall_seconds"], summary["model_seconds"]
    lines = [
        f"# {run.config.name}: {labelled} of {found} files labelled",
        "",
        f"{found} found = {labelled} labelled + {missing} quarantined.",
        f"{seconds:.0f} s, of them {model:.0f} s in models.",
        "",
        "| what | where |",
        "|---|---|",
        *_rows(run, folder, dataset),
        "",
        _pictures(run, folder),
    ]
    return "\n".join(lines)


def _rows(run: RunFile, folder: Path, dataset: str | None) -> list[str]:
    files = {"labels": folder / LABELS, "quarantine": folder / QUARANTINE, "run folder": folder}
    if (report := folder / REPORT).exists():
        files["report"] = report
    # No links: a browser opens no file from a page that came over http.
    rows = [f"| {what} | `{path}` |" for what, path in files.items()]
    if dataset:
        link = f"[{dataset}](http://127.0.0.1:5151/datasets/{dataset})"
        rows.append(f"| FiftyOne | {link}, while `autolabel review {run.path}` is running |")
    return rows


def _pictures(run: RunFile, folder: Path) -> str:
    picture = contact_sheet(run, FinishedRun(folder))
    if picture is None:
        return "No image can be shown."
    return f"![labelled examples](data:image/jpeg;base64,{base64.b64encode(picture).decode()})"


def _slug(name: str) -> str:
    """Lower case letters, digits and dashes, as artifact keys must be."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "job"
