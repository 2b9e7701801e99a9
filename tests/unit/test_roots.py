"""Opening below a folder never leads out of it and never waits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.errors import ImageRejectedError
from pipeline.reasons import Reason
from pipeline.roots import is_below, open_below, rejection_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/file").write_text("content")
    (root / "way").symlink_to("a/b")
    (root / "out").symlink_to("..")
    (root / "link").symlink_to("a/b/file")
    return root


def content(root: Path, path: str, *, follow_links: bool = False) -> str:
    with os.fdopen(open_below(os.fsencode(root), path.encode(), follow_links=follow_links)) as file:
        return file.read()


def reason(root: Path, path: str, *, follow_links: bool = False) -> Reason:
    try:
        content(root, path, follow_links=follow_links)
    except ImageRejectedError as error:
        return error.reason
    except OSError as error:
        return rejection_of(error).reason
    pytest.fail(f"{path} was opened")


@pytest.mark.parametrize("follow_links", [False, True])
def test_opens_a_file_below(root: Path, follow_links: bool) -> None:
    assert content(root, "a/b/file", follow_links=follow_links) == "content"


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "/etc/hostname", "a//b", ".", ""])
def test_takes_no_path_that_is_not_plain(root: Path, path: str) -> None:
    assert reason(root, path) is Reason.OUTSIDE_ROOT


@pytest.mark.parametrize("path", ["link", "way/file", "out/secret"])
def test_goes_through_no_link(root: Path, path: str) -> None:
    assert reason(root, path) in {Reason.LINK_NOT_FOLLOWED, Reason.VANISHED}


@pytest.mark.parametrize("path", ["link", "way/file"])
def test_goes_through_links_that_stay_below_if_told(root: Path, path: str) -> None:
    assert content(root, path, follow_links=True) == "content"


@pytest.mark.parametrize("path", ["out/secret", "../secret", "/etc/hostname"])
def test_leaves_through_no_link_even_then(root: Path, path: str) -> None:
    assert reason(root, path, follow_links=True) is Reason.OUTSIDE_ROOT


def test_does_not_wait_for_the_writer_of_a_pipe(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert reason(root, "pipe") is Reason.NOT_A_FILE


def test_leaves_no_descriptor_open(root: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("a/b/file", "link", "way/file", "a/b/none", "a/none/file", "a", "../x"):
        try:
            os.close(open_below(os.fsencode(root), path.encode(), follow_links=False))
        except (ImageRejectedError, OSError):
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_common_beginning_is_not_below() -> None:
    assert is_below(b"/a/b", b"/a/b/c")
    assert is_below(b"/a/b", b"/a/b")
    assert is_below(b"/", b"/a")
    assert not is_below(b"/a/b", b"/a/bc")
