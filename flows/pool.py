"""The work pool of ``prefect.yaml``: process workers take runs from it."""

from __future__ import annotations

from typing import Final

from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

POOL: Final = "autolabel"


def make_pool() -> None:
    """Create the pool on the current server; one that is there stays as it is."""
    template = ProcessWorker.get_default_base_job_template()
    pool = WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template)
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(pool)
        except ObjectAlreadyExists:
            return
