"""Reviewed labels → training sets."""

from __future__ import annotations

from typing import Any

from prefect import flow, get_run_logger, task

from flows.direct import run_directly
from flows.hooks import HOOKS
from flows.tasks import OPTIONS, RunFilePath, name_of_run, read


@task(name="export", task_run_name="export", **OPTIONS)
def export_labels(config: str) -> dict[str, Any]:
    """Write the training sets that the run file asks for."""
    # Only this task needs it.
    from pipeline.export import export as export_run  # type: ignore[import-untyped]  # noqa: PLC0415

    report = export_run(read(config))
    get_run_logger().info("%s", report)
    return {"report": str(report)}


@flow(name="export", flow_run_name=name_of_run, **HOOKS)
def export(config: RunFilePath) -> dict[str, Any]:
    """Write training sets from the labels as they stand."""
    return export_labels(config)


if __name__ == "__main__":
    run_directly(export, __doc__)
