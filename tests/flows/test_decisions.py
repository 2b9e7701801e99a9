"""Small decisions of flows, without a server."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.states import Failed
from prefect.task_engine import TaskRunTimeoutError

from flows.fence import _check
from flows.schedule import deployment
from flows.tasks import may_help
from flows.watch import Watch, fingerprint
from pipeline.errors import (
    ConfigError,
    DatabaseError,
    OutOfMemoryError,
    StoreError,
    WeightsError,
    WorkspaceLockedError,
    WorkspaceLostError,
)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (WorkspaceLockedError("in use"), True),
        (DatabaseError("away"), True),
        (OutOfMemoryError("too large"), True),
        (TaskRunTimeoutError("too long"), True),
        (WorkspaceLostError("taken"), False),
        (StoreError("disk full"), False),
        (WeightsError("missing"), False),
        (ConfigError("wrong"), False),
        (ZeroDivisionError("a bug"), False),
    ],
)
def test_only_errors_that_say_so_are_tried_again(error: Exception, again: bool) -> None:
    assert may_help(None, None, Failed(data=error)) is again  # type: ignore[arg-type]


def test_a_server_that_cannot_be_asked_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    nobody = {PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(nobody):
        _check({uuid4()})
    assert "does not answer" in caplog.text


def test_a_folder_is_due_once_it_has_changed_and_is_quiet() -> None:
    watch = Watch(quiet=10, done="old")
    seen = [(0, "old"), (5, "a"), (9, "b"), (15, "b"), (18.9, "b"), (19, "b")]
    assert [watch.is_due(there, now) for now, there in seen] == [False] * 5 + [True]
    watch.done = "b"
    assert not watch.is_due("b", 100)
    assert not watch.is_due("c", 101)
    assert watch.is_due("c", 111)


def test_every_change_of_files_is_seen(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    file = tmp_path / "below" / "a.png"
    prints = [fingerprint([tmp_path])]
    file.write_bytes(b"1")
    prints.append(fingerprint([tmp_path]))
    file.write_bytes(b"12")
    prints.append(fingerprint([tmp_path]))
    os.utime(file, (1, 1))
    prints.append(fingerprint([tmp_path]))
    file.rename(file.with_name("b.png"))
    prints.append(fingerprint([tmp_path]))
    assert len(set(prints)) == 5
    assert fingerprint([tmp_path]) == prints[-1]


@pytest.mark.parametrize(
    ("cron", "seconds", "said"),
    [(None, None, "either"), ("* * * * *", 5.0, "either"), ("every night", None, "schedule:")],
)
def test_a_wrong_schedule_is_told_at_once(
    cron: str | None, seconds: float | None, said: str
) -> None:
    demo = Path(__file__).parents[2] / "configs" / "demo.yaml"
    with pytest.raises(ConfigError, match=said):
        deployment(demo, "label", cron, seconds, {})
