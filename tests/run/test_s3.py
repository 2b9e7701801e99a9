"""The store in an S3 bucket, spoken to over HTTP: a local server of moto."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from projects import RUN_FILE, labels_of, make_project, run_here

from pipeline.records import StageName
from pipeline.store import FindingStore

s3fs: Any = pytest.importorskip("s3fs", reason="s3fs is not installed")
moto_server: Any = pytest.importorskip("moto.server", reason="moto is not installed")

DESCRIPTION = {"stage": "embed", "engine": "fake"}
ROWS = [(f"{n:064x}", np.full(4, n, np.float32)) for n in range(6)]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # As a person names a server that is not Amazon's; s3fs reads them like every client of S3.
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"labels-{uuid4()}"  # moto keeps buckets for as long as the process lives
    s3fs.S3FileSystem().mkdir(name)
    yield f"s3://{name}/store"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def opened(url: str) -> Any:
    return FindingStore(url).stage(StageName.EMBED, DESCRIPTION)


def test_a_reopened_bucket_knows_what_was_appended(bucket: str) -> None:
    first = opened(bucket)
    first.append(ROWS[:2])
    first.append(ROWS[2:4])
    again = opened(bucket)
    assert len(again) == 4
    found = again.read([key for key, _ in ROWS])
    assert {key: vector.tolist() for key, vector in found.items()} == {
        key: vector.tolist() for key, vector in ROWS[:4]
    }
    assert FindingStore(bucket).descriptions(StageName.EMBED) == [DESCRIPTION]


def test_what_another_machine_appended_is_seen(bucket: str) -> None:
    first = opened(bucket)
    first.append(ROWS[:2])
    assert len(opened(bucket)) == 2  # which has listed the bucket
    # Another machine has listings of its own.
    there = opened(bucket)
    there._fs = s3fs.S3FileSystem(skip_instance_cache=True)
    there.append(ROWS[2:4])
    again = opened(bucket)
    assert again._fs is first._fs is not there._fs
    assert len(again) == 4


def test_a_run_with_its_store_in_a_bucket_writes_the_same_labels(
    bucket: str, tmp_path: Path
) -> None:
    here = run_here(make_project(tmp_path / "here", 20))
    run_file = make_project(tmp_path / "there", 20, f"{RUN_FILE}store: {bucket}\n")
    first, second = run_here(run_file), run_here(run_file)
    assert labels_of(first) == labels_of(second) == labels_of(here)
    assert first["stages"]["segment"]["ran"] == second["stages"]["segment"]["cached"] == 20
    assert not (run_file.parent / "ws/store").exists()
    assert s3fs.S3FileSystem().find(bucket)
