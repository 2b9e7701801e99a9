"""How a run ended, written into its workspace, and told to people who asked to be told.

``AUTOLABEL_NOTIFY`` names who is told of runs that did not complete: a URL, which gets the record
as JSON in a POST, or a Prefect notification block as ``slack-webhook/my-team``. It is no key of
the run file because such URLs are secrets.
"""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State

from pipeline.errors import AutolabelError
from pipeline.runfile import load_run_file
from pipeline.store import durable_write

NOTIFY: Final = "AUTOLABEL_NOTIFY"
FOLDER: Final = "flow-runs"
_SECONDS: Final = 10.0
_log = logging.getLogger("pipeline.flows")


# Prefect calls hooks by keyword: the names are part of the interface.
def record(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Write ``<workspace>/flow-runs/<id>.json``: what ended how, and what to do."""
    row = _row(flow, flow_run, state)
    try:
        folder = load_run_file(Path(row["config"])).config.workspace / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(row, indent=2, ensure_ascii=False) + "\n"
        durable_write(folder / f"{flow_run.id}.json", text.encode())
    except (AutolabelError, OSError) as error:
        _log.warning("the state of %s could not be written: %s", flow_run.name, error)


def tell(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Notify whom ``AUTOLABEL_NOTIFY`` names. A run fails for its own reasons, never for this."""
    target = os.environ.get(NOTIFY)
    if not target:
        return
    try:
        _send(target, _row(flow, flow_run, state))
    except Exception as error:  # noqa: BLE001  whatever a foreign service answers
        _log.warning("%s: nobody could be told: %s", NOTIFY, error)


def _row(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> dict[str, Any]:
    return {
        "flow": flow.name,
        "flow_run": flow_run.name,
        "flow_run_id": str(flow_run.id),
        # Cancelling is what it still is when its hook runs.
        "state": "Cancelled" if state.is_cancelling() else state.name,
        "message": state.message,
        "config": flow_run.parameters.get("config", ""),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "next": None
        if state.is_completed()
        else "Run it again: findings so far are kept, and it goes on from there.",
    }


def _send(target: str, row: dict[str, Any]) -> None:
    if target.startswith(("http://", "https://")):
        body = json.dumps(row).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(target, body, headers)  # noqa: S310  checked above
        urllib.request.urlopen(request, timeout=_SECONDS).close()  # noqa: S310
        return
    from prefect.blocks.core import Block  # noqa: PLC0415  rarely used

    # Only the base class takes the type from the name. Both calls are sync here, whatever their
    # types.
    block: Any = Block.load(target)
    block.notify(f"{row['message']}\n{row['config']}", f"{row['flow_run']}: {row['state']}")


HOOKS: Final[dict[str, Any]] = {
    "on_completion": [record],
    "on_failure": [record, tell],
    "on_crashed": [record, tell],
    "on_cancellation": [record, tell],
}
