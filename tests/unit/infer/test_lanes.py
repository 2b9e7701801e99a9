"""Two threads ask the models: what they share, and what they count."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from projects import make_project

from pipeline.app import Job
from pipeline.errors import WeightsError
from pipeline.infer import questions
from pipeline.infer.clock import Clock
from pipeline.infer.engines import Engines
from pipeline.infer.lane import Lane
from pipeline.infer.questions import Asked
from pipeline.reasons import Reason
from pipeline.records import StageName
from pipeline.runfile import Overrides, load_run_file


class Seconds:
    """A clock that is moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_seconds_in_which_two_engines_work_count_once() -> None:
    seconds = Seconds()
    clock = Clock(seconds)
    with clock.loading():
        seconds.now = 2
        with clock.asking():
            seconds.now = 5
            with clock.asking():
                seconds.now = 6
        seconds.now = 7
    seconds.now = 100
    with clock.asking():
        seconds.now = 101
    assert clock.busy_seconds == 4 + 1
    assert clock.load_seconds == 2 + 1


def test_what_work_raises_comes_out_and_the_rest_is_dropped() -> None:
    lane = Lane("test")

    def fail() -> None:
        raise ValueError("broken")

    def hand_over() -> None:
        with lane:
            assert not lane.stopped
            lane.submit(fail).result()

    with pytest.raises(ValueError, match="broken"):
        hand_over()
    assert lane.stopped
    with pytest.raises(RuntimeError):
        lane.submit(fail)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path, 20)


def ask_all(run_file: Path) -> Any:
    with Job(load_run_file(run_file, Overrides())) as job:
        job.scan()
        return job.ask(0)


def test_text_is_read_beside_the_other_stages(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[StageName, set[str]] = {stage: set() for stage in questions.QUESTIONS}
    reading = threading.Event()

    def watched(stage: StageName, real: questions.Question) -> questions.Question:
        def question(engines: Engines, asked: Sequence[Asked]) -> list[Any]:
            threads[stage].add(threading.current_thread().name)
            if stage is StageName.READ:
                reading.set()
            else:
                assert reading.wait(60), "nothing is read while other engines work"
            return real(engines, asked)

        return question

    real = dict(questions.QUESTIONS)
    for stage, question in real.items():
        monkeypatch.setitem(questions.QUESTIONS, stage, watched(stage, question))
    report = ask_all(project)
    assert not report.failures
    assert all(name.startswith("text-reader") for name in threads[StageName.READ])
    others = {name for stage in threads if stage is not StageName.READ for name in threads[stage]}
    assert others == {threading.main_thread().name}
    assert report.busy_seconds > 0


def test_of_two_failures_that_of_the_first_stage_counts(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_first = threading.Event()

    def no_text(_engines: Engines, asked: Sequence[Asked]) -> list[Any]:
        read_first.set()
        raise RuntimeError(f"cannot read {len(asked)}")

    def no_numbers(_engines: Engines, asked: Sequence[Asked]) -> list[Any]:
        assert read_first.wait(60)
        return [np.full(4, np.nan, np.float32) for _ in asked]

    monkeypatch.setitem(questions.QUESTIONS, StageName.READ, no_text)
    monkeypatch.setitem(questions.QUESTIONS, StageName.EMBED, no_numbers)
    failures = ask_all(project).failures
    assert len(failures) == 20
    assert {failure.reason for failure in failures.values()} == {Reason.NAN_OUTPUT}


@pytest.mark.parametrize("stage", ["embedder", "reader"])
def test_a_model_that_cannot_be_loaded_ends_the_run(
    project: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def broken(_self: Engines) -> None:
        raise WeightsError("not a model")

    monkeypatch.setattr(Engines, stage, property(broken))
    with pytest.raises(WeightsError, match="not a model"):
        ask_all(project)
