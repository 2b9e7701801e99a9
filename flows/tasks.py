"""What all tasks and flows share: parameters, which errors are tried again, names."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run
from pydantic import Field, StringConstraints

from pipeline.errors import AutolabelError
from pipeline.runfile import RunFile, load_run_file

TAG: Final = "autolabel"
"""On every run of ours, so that automations leave those of others alone."""

RunFilePath = Annotated[
    str,
    StringConstraints(min_length=5, pattern=r"\.ya?ml$"),
    Field(description="Run file (YAML), as seen by the process that runs the flow."),
]
ShardImages = Annotated[
    int, Field(ge=1, le=100_000, description="Images per task; a few hundred tasks at most.")
]
ShardMinutes = Annotated[
    int, Field(ge=1, le=10_080, description="A shard that takes longer is stopped and tried again.")
]


def may_help(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Tell whether trying again can help: only errors that say so, and time limits."""
    try:
        state.result()
    except AutolabelError as error:
        return error.retry_can_help
    except TimeoutError:
        return True
    except BaseException:  # noqa: BLE001  a fault that nobody foresaw will be there again
        return False
    return False


WAITS: Final = [5, 10, 30, 60, 120, 240]
"""Seconds before another try, each up to half longer: eight minutes for a run to end before us."""

OPTIONS: Final[dict[str, Any]] = {
    # Findings are kept in the store, by content: Prefect's cache would only know old answers.
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": len(WAITS),
    "retry_delay_seconds": WAITS,
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": may_help,
}


def name_of_run() -> str:
    """Name a flow run after its job and the time: ``label demo, 24 Nov 10:03``."""
    config = str(flow_run.parameters.get("config", ""))
    try:
        job = read(config).config.name
    except AutolabelError:  # the run will say so
        job = Path(config).stem
    now = datetime.now().astimezone()
    return f"{flow_run.flow_name} {job}, {now:%-d %b %H:%M}"


def read(config: str) -> RunFile:
    """Read a run file.

    Raises:
        ConfigError: It does not fit.
    """
    return load_run_file(Path(config))
