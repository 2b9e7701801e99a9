"""Label what is new: scan → one task per shard of images → fuse and write → publish.

    python -m flows.label CONFIG        runs it here and now, with or without a server

The steps are those of ``autolabel run``, so the labels are the same, byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.runtime import task_run

from flows import jobs, shown
from flows.direct import run_directly
from flows.hooks import HOOKS
from flows.tasks import OPTIONS, RunFilePath, ShardImages, ShardMinutes, name_of_run, read


@dataclass(frozen=True)
class Labelled:
    """What a run of the flow did.

    Attributes:
        folder: The run folder.
        found: Files that were found; all are labelled or quarantined.
    """

    folder: str
    found: int
    labelled: int
    quarantined: int


def _shard_name() -> str:
    given = task_run.parameters
    return f"shard {given['shard'] + 1} of {given['shards']}"


@task(name="take workspace", task_run_name="take the workspace", **OPTIONS)
def take(config: str, shard_images: int | None) -> str:
    """Wait for the workspace and take it."""
    return jobs.begin(read(config), shard_images)


@task(name="scan", task_run_name="scan and plan", **OPTIONS)
def scan(job: str) -> int:
    """Look at the image folders; gives the number of shards."""
    scanned = jobs.job(job).scan()
    line = "%d files, %d distinct images, %d unreadable, %d shards"
    sizes = scanned.found, scanned.images, scanned.unreadable, scanned.shards
    get_run_logger().info(line, *sizes)
    return scanned.shards


@task(name="label shard", task_run_name=_shard_name, **OPTIONS)
def ask(job: str, shard: int, shards: int) -> int:  # noqa: ARG001  in its name
    """Ask the models about the images of one shard; gives how many could not be answered for."""
    images, report = jobs.job(job).images(shard), jobs.job(job).ask(shard)
    shown.log_failures(images, report.failures)
    ran = {name.value: did.ran for name, did in report.stages.items() if did.ran}
    get_run_logger().info("%d images, asked: %s", len(images), ran or "nothing, all was known")
    return len(report.failures)


@task(name="fuse and write", task_run_name="fuse and write", **OPTIONS)
def write(job: str) -> Labelled:
    """Turn all findings into labels and write the run folder."""
    result = jobs.job(job).finish()
    counts = (int(result.summary[key]) for key in ("found", "labelled", "quarantined"))
    return Labelled(str(result.folder), *counts)


@task(name="publish", task_run_name="publish to FiftyOne", **OPTIONS)
def publish_run(config: str) -> dict[str, Any]:
    """Show the run in FiftyOne; what people decided is taken up first and kept."""
    from pipeline.review.publish import publish  # noqa: PLC0415  loads fiftyone

    report = publish(read(config), jobs.RunLog())
    get_run_logger().info("dataset %s: %d images", report.dataset, report.images)
    return {"dataset": report.dataset, "images": report.images, "written": report.written}


@flow(name="label", flow_run_name=name_of_run, **HOOKS)
def label(
    config: RunFilePath,
    publish: bool = True,
    shard_images: ShardImages | None = None,
    shard_minutes: ShardMinutes = 240,
) -> Labelled:
    """Label the images of a run file and show them for review."""
    job = take(config, shard_images)
    try:
        shards = scan(job)
        progress = shown.Progress(shards)
        for shard in range(shards):
            ask.with_options(timeout_seconds=60 * shard_minutes)(job, shard, shards)
            progress.done(shard + 1)
        labelled = write(job)
    finally:
        jobs.end(job)
    published = publish_run(config) if publish else {}
    shown.show(config, labelled.folder, published.get("dataset"))
    return labelled


if __name__ == "__main__":
    run_directly(label, __doc__)
