"""Everything that a night is for: label what is new, take reviews in, export."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.direct import run_directly
from flows.export import export
from flows.hooks import HOOKS
from flows.label import label
from flows.pull_reviews import pull_reviews
from flows.tasks import RunFilePath, ShardImages, name_of_run


@flow(name="nightly", flow_run_name=name_of_run, **HOOKS)
def nightly(config: RunFilePath, shard_images: ShardImages | None = None) -> dict[str, Any]:
    """Label what is new, take in what people decided, and export the result."""
    labelled = label(config, shard_images=shard_images)
    pulled = pull_reviews(config)
    return {"labelled": labelled, "pulled": pulled, "exported": export(config)}


if __name__ == "__main__":
    run_directly(nightly, __doc__)
