"""A run that Prefect has given up on must not write: somebody else may have its place."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runtime import flow_run

from pipeline.errors import WorkspaceLostError

_log = logging.getLogger("pipeline.flows")
_OVER = frozenset(
    {
        StateType.CANCELLED,
        StateType.CANCELLING,
        StateType.COMPLETED,
        StateType.CRASHED,
        StateType.FAILED,
    }
)


def fence() -> Callable[[], None]:
    """Give a check for the flow run that is current now.

    It is one of two walls. The workspace lock keeps two processes from writing at once whatever
    the server believes; this one makes a process that was suspended, cut off or taken for dead
    stop when it learns that its run is over. A server that cannot be asked stops nobody: the lock
    still holds.
    """
    runs = {UUID(id_) for id_ in (flow_run.id, flow_run.root_flow_run_id) if id_}
    return lambda: _check(runs)


def _check(runs: set[UUID]) -> None:
    """Ask the server.

    Raises:
        WorkspaceLostError: A run is over by its account.
    """
    for run in runs:
        try:
            with get_client(sync_client=True) as client:
                state = client.read_flow_run(run).state
        except (httpx.HTTPError, PrefectHTTPStatusError) as error:
            _log.warning("the Prefect server does not answer (%s); going on", error)
            return
        if state is not None and state.type in _OVER:
            why = state.message or "no reason given"
            raise WorkspaceLostError(
                f"flow run {run}: the server says it is {state.name} ({why}), so this process "
                "writes no more. Start it again; findings so far are kept."
            )
