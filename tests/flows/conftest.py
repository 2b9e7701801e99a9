"""One server for all tests here, in however many processes they run, and gone afterwards."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from projects import labels_of, make_project, run_here
from served import N_IMAGES, Server, stop, wait_for

# Prefect reads its home when it is imported; the one of whoever runs the tests is not ours.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="autolabel-prefect-")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)

# pytest-xdist gives all processes of a run the same id.
RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
HOME = Path(tempfile.gettempdir()) / f"autolabel-server-{RUN}"
USER = HOME / f"{os.getpid()}.user"
started: list[Server] = []


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    # The first process that needs it starts it, the others find it.
    with FileLock(HOME / "lock"):
        server = Server(HOME)
    if server.process:
        started.append(server)
    yield server
    server.client.close()


def others() -> list[Path]:
    """Processes of this run of pytest that have tests left, or may have."""
    users = set(HOME.glob("*.user")) - {USER}
    return [user for user in users if psutil.pid_exists(int(user.stem))]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = [n for n, item in enumerate(items) if item.path.parent.name == "flows"]
    ordered = sorted((items[n] for n in here), key=longest_first)
    for n, item in zip(here, ordered, strict=True):
        items[n] = item
    served = [item for item in ordered if "server" in getattr(item, "fixturenames", ())]
    for item in served:
        item.add_marker(pytest.mark.slow)
    if served:
        HOME.mkdir(exist_ok=True)
        USER.touch()  # before any test runs, as all processes collect first


def longest_first(item: pytest.Item) -> int:
    """Two processes are done together when the long files do not come last."""
    long = ("test_worker", "test_schedules", "test_label_flow", "test_disturbed_flows")
    return long.index(item.path.stem) if item.path.stem in long else len(long)


def pytest_sessionfinish() -> None:
    """Whoever has started the server stops it, when the others are done too."""
    USER.unlink(missing_ok=True)
    for server in started:
        wait_for(lambda: not others(), 1800)
        assert server.process
        stop(server.process)
    if not others():
        shutil.rmtree(HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The labels of a project that nobody disturbs."""
    return labels_of(run_here(make_project(tmp_path_factory.mktemp("undisturbed"), N_IMAGES)))


@pytest.fixture(scope="session")
def chromium() -> str:
    found = os.environ.get("AUTOLABEL_CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.skip("no chromium: apt-get install chromium, or name one in AUTOLABEL_CHROMIUM")
    return found
