"""One server for all tests here, and gone afterwards."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from projects import labels_of, make_project, run_here
from served import N_IMAGES, Server, stop

# Prefect reads its home when it is imported; the one of whoever runs the tests is not ours.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="autolabel-prefect-")
atexit.register(shutil.rmtree, os.environ["PREFECT_HOME"], ignore_errors=True)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("prefect"))
    yield running
    stop(running.process)
    running.log.close()


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "flows" and "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
