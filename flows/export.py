"""Labels as they stand → training sets."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from pydantic import Field

from flows.direct import run_directly
from flows.hooks import HOOKS
from flows.tasks import OPTIONS, RunFilePath, name_of_run, read
from pipeline.export import FORMATS, Choice, ExportRequest
from pipeline.export import export as write_export

Format = Annotated[
    str,
    Field(pattern=f"^({'|'.join(FORMATS)})$", description=f"One of {', '.join(FORMATS)}."),
]
Split = Annotated[
    tuple[int, ...], Field(max_length=3, description="Percent of train, val and test; or none.")
]


@task(name="export", task_run_name="export as {format_name}", **OPTIONS)
def export_labels(
    config: str, format_name: str, split: tuple[int, ...], status: Choice
) -> dict[str, Any]:
    """Write one training set into the workspace."""
    run = read(config)
    folder = run.config.workspace / "exports" / format_name
    report = write_export(run, ExportRequest(format_name, folder, tuple(split), status))
    get_run_logger().info("%s: %s images, %s", report.out, report.images, report.labels)
    return {"folder": str(report.out), "images": dict(report.images), "labels": dict(report.labels)}


@flow(name="export", flow_run_name=name_of_run, **HOOKS)
def export(
    config: RunFilePath,
    format_name: Format = "coco",
    split: Split = (),
    status: Choice = Choice.ACCEPTED,
) -> dict[str, Any]:
    """Write a training set from the labels as they stand."""
    return export_labels(config, format_name, split, status)


if __name__ == "__main__":
    run_directly(export, __doc__)
