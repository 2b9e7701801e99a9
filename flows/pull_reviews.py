"""Take what people decided in FiftyOne into the workspace's review log."""

from __future__ import annotations

from dataclasses import dataclass

from prefect import flow, get_run_logger, task

from flows.direct import run_directly
from flows.hooks import HOOKS
from flows.tasks import OPTIONS, RunFilePath, name_of_run, read


@dataclass(frozen=True)
class Pulled:
    """What a pull found.

    Attributes:
        images: Images that people touched since the last time.
        events: What they did → how often.
    """

    images: int
    events: dict[str, int]


@task(name="pull", task_run_name="pull from FiftyOne", **OPTIONS)
def pull(config: str) -> Pulled:
    """Compare the dataset with the log and append what is new."""
    from pipeline.review.pull import pull as pull_reviews_of  # noqa: PLC0415  loads fiftyone

    report = pull_reviews_of(read(config))
    get_run_logger().info("%d images touched: %s", report.images, dict(report.events))
    return Pulled(report.images, dict(report.events))


@flow(name="pull_reviews", flow_run_name=name_of_run, **HOOKS)
def pull_reviews(config: RunFilePath) -> Pulled:
    """Take decisions out of FiftyOne, durably."""
    return pull(config)


if __name__ == "__main__":
    run_directly(pull_reviews, __doc__)
