"""``autolabel schedule``: a deployment that this process serves."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import httpx
from prefect import get_client, serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import PrefectException
from prefect.flows import Flow
from prefect.types.entrypoint import EntrypointType

from flows.label import label
from flows.nightly import nightly
from flows.tasks import TAG, read
from pipeline.errors import ConfigError

FlowName = Literal["label", "nightly"]
_log = logging.getLogger("pipeline.flows")
_FLOWS: dict[str, Flow[Any, Any]] = {"label": label, "nightly": nightly}


def deployment(
    config: Path, flow: FlowName, cron: str | None, seconds: float | None, options: dict[str, Any]
) -> RunnerDeployment:
    """Describe a schedule to the server.

    Args:
        cron: Five fields, in this machine's time zone; or None.
        seconds: Between the starts of runs; or None.
        options: Further parameters of the flow.

    Raises:
        ConfigError: The run file or the schedule is wrong.
    """
    name = read(str(config)).config.name  # a wrong file is an error now, not at night
    if (cron is None) == (seconds is None):
        raise ConfigError("Name a schedule: either --cron or --interval.")
    try:
        described: Any = _FLOWS[flow].to_deployment(
            name=name.replace("/", "-"),
            cron=cron,
            interval=None if seconds is None else timedelta(seconds=seconds),
            parameters={"config": str(config.absolute()), **options},
            tags=[TAG],
            # A run that is still at work when the next is due: that one is let go, not queued.
            concurrency_limit=ConcurrencyLimitConfig(
                limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
            ),
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
    except ValueError as error:
        raise ConfigError(f"schedule: {error}") from None
    served: RunnerDeployment = described
    return served


def serve_here(served: RunnerDeployment) -> None:
    """Start the runs of a deployment when they are due, until this process is stopped.

    Stopping it pauses the schedule, so that no runs pile up while nobody serves it.
    """
    try:
        serve(served, print_starting_message=False)
    finally:
        # Prefect pauses too, but forgets it when SIGTERM comes while a run is at work.
        _pause(f"{served.flow_name}/{served.name}")


def _pause(name: str) -> None:
    try:
        with get_client(sync_client=True) as client:
            client.pause_deployment(client.read_deployment_by_name(name).id)
    except (httpx.HTTPError, PrefectException) as error:
        _log.warning("%s could not be paused: %s", name, error)
