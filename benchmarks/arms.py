"""Arms: several ways to do the same work, timed in turns in one process.

Turns change direction with every round, so that neither a machine that slows down nor one that
warms up favours an arm. Memory is another matter: a process keeps what the arms before have
touched, so each arm's peak is taken in a process of its own (``peak_mb``).
"""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

ROOT: Final = Path(__file__).parents[1]

AnswerT = TypeVar("AnswerT")


@dataclass
class Clock:
    """Wall and CPU seconds that do not count."""

    wall: float = 0.0
    cpu: float = 0.0
    _start: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    def __enter__(self) -> None:
        self._start = time.perf_counter(), cpu_seconds()

    def __exit__(self, *error: object) -> None:
        self.wall += time.perf_counter() - self._start[0]
        self.cpu += cpu_seconds() - self._start[1]


@dataclass
class Arm(Generic[AnswerT]):
    """One way to do the work.

    Attributes:
        name: Shown in tables.
        run: Does all of the work once.
        excluded: Seconds of it that do not count.
        floor: Seconds below which this machine cannot do it; None if nobody counted.
    """

    name: str
    run: Callable[[], AnswerT]
    excluded: Clock = field(default_factory=Clock)
    floor: float | None = None


@dataclass
class Taken(Generic[AnswerT]):
    """Seconds of an arm's turns, in their order, and the answer of its last one."""

    wall: list[float]
    cpu: list[float]
    answer: AnswerT


def in_turns(
    arms: Sequence[Arm[AnswerT]], repeats: int, *, warm_up: bool = False
) -> dict[str, Taken[AnswerT]]:
    """Run all arms ``repeats`` times.

    Args:
        arms: With different names.
        repeats: At least 1.
        warm_up: Run each once before, uncounted: for work that ends within seconds.
    """
    if warm_up:
        for arm in arms:
            arm.run()
    turns: dict[str, list[tuple[float, float, AnswerT]]] = {arm.name: [] for arm in arms}
    for number in range(repeats):
        for arm in arms if number % 2 == 0 else reversed(arms):
            turns[arm.name].append(_turn(arm))
    return {
        name: Taken([t[0] for t in taken], [t[1] for t in taken], taken[-1][2])
        for name, taken in turns.items()
    }


def _turn(arm: Arm[AnswerT]) -> tuple[float, float, AnswerT]:
    before = arm.excluded.wall, arm.excluded.cpu
    wall, cpu = time.perf_counter(), cpu_seconds()
    answer = arm.run()
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    return wall - (arm.excluded.wall - before[0]), cpu - (arm.excluded.cpu - before[1]), answer


def cpu_seconds() -> float:
    """CPU seconds of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_mb(work: str, *arguments: str) -> int:
    """Give the peak memory in MiB of a call in a process of its own.

    Args:
        work: ``module:function``; it takes strings.
        arguments: Of the call.
    """
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.arms", work, *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return int(json.loads(done.stdout.splitlines()[-1])["peak_mb"])


def _peak_here(work: str, *arguments: str) -> None:
    module, function = work.split(":")
    call: Callable[..., Any] = getattr(importlib.import_module(module), function)
    call(*arguments)
    # Not getrusage: its peak is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    print(json.dumps({"peak_mb": kilobytes // 1024}))


if __name__ == "__main__":
    _peak_here(*sys.argv[1:])
