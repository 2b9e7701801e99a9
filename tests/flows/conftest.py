"""One server for all tests here, and gone afterwards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from served import Server, stop


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("prefect"))
    yield running
    stop(running.process)
    running.log.close()


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
