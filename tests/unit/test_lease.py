"""A workspace has one writer, and one that lost it knows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from projects import make_project

from pipeline.app import Job
from pipeline.errors import WorkspaceLockedError, WorkspaceLostError
from pipeline.lease import Lease, locked_workspace
from pipeline.runfile import load_run_file


def test_another_process_is_refused_until_the_holder_is_gone(tmp_path: Path) -> None:
    take = f"Lease(Path({str(tmp_path)!r}))"
    code = f"from pathlib import Path; from pipeline.lease import Lease; {take}"
    with locked_workspace(tmp_path) as lease:
        lease.check()
        refused = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert b"WorkspaceLockedError" in refused.stderr
        with pytest.raises(WorkspaceLockedError, match="another run"):
            Lease(tmp_path)
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("replaced", [False, True])
def test_a_lease_whose_file_was_taken_away_is_lost(tmp_path: Path, replaced: bool) -> None:
    lease = Lease(tmp_path)
    (tmp_path / ".lock").rename(tmp_path / "elsewhere")
    if replaced:
        other = Lease(tmp_path)
        other.check()
    with pytest.raises(WorkspaceLostError, match="lost the workspace"):
        lease.check()


def test_a_job_that_lost_its_workspace_leaves_no_run(tmp_path: Path) -> None:
    run = load_run_file(make_project(tmp_path, 3))
    with Job(run, shard_images=2) as job:
        assert job.scan().shards == 2
        assert [len(job.images(shard)) for shard in (0, 1)] == [2, 1]
        job.ask(0)
        job.ask(1)
        (tmp_path / "ws/.lock").unlink()
        with pytest.raises(WorkspaceLostError):
            job.ask(0)
        with pytest.raises(WorkspaceLostError):
            job.finish()
    assert not (tmp_path / "ws/runs").exists()


def test_a_fence_that_falls_while_labels_are_written_leaves_no_run(tmp_path: Path) -> None:
    calls = []

    def fence() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise WorkspaceLostError("taken")

    with Job(load_run_file(make_project(tmp_path, 3)), fence=fence) as job:
        job.scan()
        job.ask(0)
        with pytest.raises(WorkspaceLostError, match="taken"):
            job.finish()
    assert not list((tmp_path / "ws/runs").iterdir())
