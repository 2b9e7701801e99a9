"""The workspace's own mongod: started once, shared, asserted, stopped with its last user."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from pipeline.errors import DatabaseError
from pipeline.review.database import DatabaseHandle, _alive, open_database

pytestmark = pytest.mark.mongo

HOLD = """\
import sys
from pathlib import Path
from pipeline.review.database import open_database
with open_database(Path(sys.argv[1])) as handle:
    print(handle.pid, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_mongod(mongod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here opens databases of its own."""
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    monkeypatch.delenv("AUTOLABEL_DATABASE_FOLDER", raising=False)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    # Another process that holds the database of tmp_path open, and its mongod.
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        yield process, int(process.stdout.readline())
        process.kill()


def gone(pid: int) -> bool:
    for _ in range(400):
        if not _alive(pid):
            return True
        time.sleep(0.05)
    return False


def dbpath(handle: DatabaseHandle) -> str:
    with MongoClient[Any](handle.uri) as client:
        options = client.admin.command("getCmdLineOpts")
    return str(options["parsed"]["storage"]["dbPath"])


def test_it_is_ours_private_and_stopped(tmp_path: Path) -> None:
    with open_database(tmp_path) as handle:
        assert handle.folder == tmp_path / "fiftyone"
        assert handle.pid is not None
        assert dbpath(handle) == str(tmp_path / "fiftyone" / "db")
        assert os.environ["FIFTYONE_DATABASE_URI"] == handle.uri
        assert stat.S_IMODE((tmp_path / "fiftyone" / "password").stat().st_mode) == 0o600
        with open_database(tmp_path) as inner:
            assert inner.pid == handle.pid
    assert "FIFTYONE_DATABASE_URI" not in os.environ
    assert gone(handle.pid)
    with open_database(tmp_path) as again:  # the same files, the same password
        assert dbpath(again) == str(tmp_path / "fiftyone" / "db")


def test_nobody_gets_in_without_the_password(tmp_path: Path) -> None:
    with open_database(tmp_path) as handle:
        address = handle.uri.split("@")[1].split("/")[0]
        with (
            MongoClient[Any](f"mongodb://{address}/") as client,
            pytest.raises(OperationFailure, match="requires authentication"),
        ):
            client.list_database_names()


def test_a_second_process_shares_it_and_the_last_one_stops_it(
    tmp_path: Path, other: tuple[subprocess.Popen[str], int]
) -> None:
    process, pid = other
    with open_database(tmp_path) as handle:
        assert handle.pid == pid
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)
        assert dbpath(handle) == str(tmp_path / "fiftyone" / "db")
    assert gone(pid)


def test_a_killed_user_leaves_nothing_behind(
    tmp_path: Path, other: tuple[subprocess.Popen[str], int]
) -> None:
    process, pid = other
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert gone(pid)
    with open_database(tmp_path) as handle:
        assert handle.pid != pid


def test_a_killed_mongod_is_started_again(tmp_path: Path) -> None:
    with open_database(tmp_path) as handle:
        assert handle.pid is not None
        os.kill(handle.pid, signal.SIGKILL)
        assert gone(handle.pid)
    with open_database(tmp_path) as again:
        assert dbpath(again) == str(tmp_path / "fiftyone" / "db")


def test_another_workspace_s_mongod_is_refused(tmp_path: Path) -> None:
    mine, foreign = tmp_path / "mine", tmp_path / "foreign"
    with open_database(foreign):
        for name in ("mongod.json", "password"):
            (mine / "fiftyone").mkdir(parents=True, exist_ok=True)
            text = (foreign / "fiftyone" / name).read_text()
            (mine / "fiftyone" / name).write_text(text)
        with (
            pytest.raises(DatabaseError, match="expected a mongod that holds"),
            open_database(mine),
        ):
            raise AssertionError("opened")


def test_a_lost_password_is_explained(tmp_path: Path) -> None:
    with open_database(tmp_path):
        pass
    (tmp_path / "fiftyone" / "password").unlink()
    with pytest.raises(DatabaseError, match="is not this database's"), open_database(tmp_path):
        raise AssertionError("opened")


def test_files_that_mongod_cannot_read_are_explained(tmp_path: Path) -> None:
    data = tmp_path / "fiftyone" / "db"
    data.mkdir(parents=True)
    (data / "storage.bson").write_text("not a database")
    with (
        pytest.raises(DatabaseError, match=r"does not start on .*mongod\.log"),
        open_database(tmp_path),
    ):
        raise AssertionError("opened")
