"""Prefect automations that a server of ours has."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture

from flows import HEARTBEAT_SECONDS
from flows.tasks import TAG

SILENCE: Final = timedelta(seconds=4 * HEARTBEAT_SECONDS)
"""How long a run may be silent before it is taken for dead. Never less than three heartbeats:
with less, live runs are declared dead."""

_NAME: Final = "Autolabel: runs without a heartbeat have crashed"
_ENDS: Final = ("Completed", "Failed", "Cancelled", "Crashed")


def stale_runs() -> Automation:
    """Say when a run whose process and worker are both gone is Crashed, and no longer Running."""
    heartbeat = "prefect.flow-run.heartbeat"
    trigger = EventTrigger(
        posture=Posture.Proactive,
        after={heartbeat},
        expect={heartbeat, *(f"prefect.flow-run.{end}" for end in _ENDS)},
        match={"prefect.resource.id": "prefect.flow-run.*"},
        # Runs of others may have other heartbeats.
        match_related={"prefect.resource.id": f"prefect.tag.{TAG}"},
        for_each={"prefect.resource.id"},
        threshold=1,
        within=SILENCE,
    )
    message = f"no heartbeat for {SILENCE.seconds} s: its process is gone; the next run goes on"
    action = ChangeFlowRunState(state=StateType.CRASHED, name="Crashed", message=message)
    return Automation(name=_NAME, description=message, trigger=trigger, actions=[action])


def install(automation: Automation) -> None:
    """Create an automation, or bring the one of its name up to date."""
    try:
        known: Any = Automation.read(name=automation.name)
    except ValueError:
        automation.create()
        return
    changed = known.model_copy(
        update={"trigger": automation.trigger, "actions": automation.actions}
    )
    changed.update()
