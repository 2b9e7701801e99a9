"""One App and one browser for all tests here; both are skipped with a reason where they lack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app.reviewer import Reviewer
from app.scenes import IMAGES, RUN_FILE, Session, make_image, wait_for

from pipeline.app import label
from pipeline.errors import DatabaseError
from pipeline.review.mongod import find_mongod
from pipeline.runfile import load_run_file


@pytest.fixture(scope="session")
def mongod() -> Path:
    try:
        return find_mongod()
    except DatabaseError as error:
        pytest.skip(f"no mongod: {str(error).splitlines()[0]}")


@pytest.fixture(scope="session")
def chromium() -> str:
    found = os.environ.get("AUTOLABEL_CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if not found:
        pytest.skip("no chromium: apt-get install chromium, or name one in AUTOLABEL_CHROMIUM")
    return str(found)


@pytest.fixture(scope="session")
def run_file(mongod: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run file with a finished run, its images labelled by fake engines."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "images").mkdir()
    for name, (colour, text) in IMAGES.items():
        make_image(colour, text).save(folder / "images" / name)
    (folder / "images" / "cut.png").write_bytes(
        (folder / "images" / "accept.png").read_bytes()[:-40]
    )
    path = folder / "run.yaml"
    path.write_text(RUN_FILE)
    label(load_run_file(path))
    return path


@pytest.fixture(scope="session")
def session(run_file: Path, chromium: str) -> Iterator[Session]:
    # The command as a reviewer starts it, and the App it opened.
    command = [sys.executable, "-u", "-m", "pipeline.cli", "review", str(run_file)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--no-browser", "--reviewer", "Ada"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    running = Session(process)
    assert process.stdout is not None
    reader = threading.Thread(
        target=lambda: running.lines.extend(line.rstrip() for line in process.stdout or ())
    )
    reader.start()
    try:
        wait_for(lambda: "Ctrl-C ends" in "\n".join(running.lines) or process.poll() is not None)
        assert process.poll() is None, "\n".join(running.lines)
        yield running
    finally:
        running.leave()
        reader.join()
        process.stdout.close()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    # Not longer: Playwright leaves a running event loop in this thread, in which others, such as
    # Prefect, take every call for an asynchronous one.
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install it")
    software = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic", *software, *quiet],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reviewer(session: Session, browser: Any) -> Reviewer:
    """Someone with the grid in front of them."""
    person = Reviewer(browser.new_page(viewport={"width": 1400, "height": 850}), session.url)
    person.open_grid()
    return person
