"""What Prefect costs: a flow run against the plain run of the same images."""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Outcome
from benchmarks.memory import small_project
from benchmarks.options import Options
from flows.server import running_server
from pipeline.app import label
from pipeline.runfile import load_run_file

N_IMAGES: Final = 1000
SHARDS: Final = (125, 40)
"""Images per shard: 8 and 25 shard tasks, so that cost per task and per run can be told apart."""


def measure_flows(options: Options) -> Outcome:
    """Label tiny images with fake engines, plainly and as a flow on a server of its own, in turns.

    Returns:
        Medians; ``per_task_N`` is what a flow run took longer than the plain run beside it, over
        its N shard tasks: all else that a flow does (scan, write, artifacts) is in it.
    """
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
        free.close()
        os.environ["PREFECT_HOME"] = str(Path(folder) / "prefect")
        run_file = small_project(Path(folder), N_IMAGES)
        with running_server(port):
            return Outcome(figures=_in_turns(run_file, options.repeats))


def _in_turns(run_file: Path, repeats: int) -> dict[str, Any]:
    plain: list[float] = []
    more: dict[int, list[float]] = {size: [] for size in SHARDS}
    _flow(run_file, "warm-up", SHARDS[0])
    for n in range(repeats):
        plain.append(_plain(run_file, f"plain{n}"))
        for size in SHARDS:
            more[size].append(_flow(run_file, f"flow{n}-{size}", size) - plain[-1])
    figures: dict[str, Any] = {"images": N_IMAGES, "plain_seconds": _median(plain)}
    for size in SHARDS:
        tasks = -(-N_IMAGES // size)
        figures[f"more_{tasks}_tasks"] = _median(more[size])
        figures[f"per_task_{tasks}"] = round(_median(more[size]) / tasks, 3)
    return figures


def _plain(run_file: Path, workspace: str) -> float:
    start = time.perf_counter()
    label(load_run_file(_beside(run_file, workspace)))
    return time.perf_counter() - start


def _flow(run_file: Path, workspace: str, size: int) -> float:
    from flows.label import label as flow  # noqa: PLC0415  once the server's address is known

    start = time.perf_counter()
    flow(str(_beside(run_file, workspace)), publish=False, shard_images=size)
    return time.perf_counter() - start


def _beside(run_file: Path, workspace: str) -> Path:
    """Give a copy of a run file with a workspace of its own, where nothing is known yet."""
    copy = run_file.with_name(f"{workspace}.yaml")
    text = run_file.read_text(encoding="utf-8").replace("workspace: ws", f"workspace: {workspace}")
    copy.write_text(text, encoding="utf-8")
    return copy


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 2)
