"""Every entry of a folder gets one end, in one order, whatever it is called."""

from __future__ import annotations

import errno
import hashlib
import inspect
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import roots
from pipeline import scan as scanning
from pipeline.config import InputConfig
from pipeline.errors import ConfigError
from pipeline.reasons import Reason
from pipeline.records import Quarantined, SourceFile
from pipeline.scan import scan

FOLLOW = InputConfig(follow_links=True)
SETTINGS = settings(deadline=None, max_examples=40, derandomize=True)

names = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40
).filter(lambda name: name not in {".", ".."} and len(name.encode()) < 200)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=5), max_size=12
)


def found(root: Path, config: InputConfig | None = None) -> dict[str, SourceFile | Quarantined]:
    entries = list(scan([root], config or InputConfig()))
    ends = {entry.path: entry for entry in entries}
    assert len(ends) == len(entries)
    return ends


def reasons(root: Path, config: InputConfig | None = None) -> dict[str, Reason | None]:
    return {
        path: entry.reason if isinstance(entry, Quarantined) else None
        for path, entry in found(root, config).items()
    }


def fill(root: Path, *paths: str) -> None:
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)


@SETTINGS
@given(trees)
def test_any_tree_is_listed_whole_and_in_the_order_of_its_paths(tree: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, expected = Path(folder), {}
        for path, data in tree.items():
            file = root / path
            if any((root / path).parents[i].is_file() for i in range(path.count("/"))):
                continue
            if file.is_dir():
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            expected[path] = data
        entries = list(scan([root], InputConfig()))
    assert [entry.path for entry in entries] == sorted(expected, key=str.encode)
    for entry in entries:
        assert entry.digest == hashlib.sha256(expected[entry.path]).hexdigest()
        if isinstance(entry, SourceFile):
            assert entry.n_bytes == len(expected[entry.path]) > 0
        else:
            assert entry.reason is Reason.EMPTY
            assert not expected[entry.path]


def test_order_is_that_of_whole_paths_not_of_names(tmp_path: Path) -> None:
    fill(tmp_path, "a/b", "a-b", "a.png", "a0", "A", "a/b.c/d", "é")
    assert list(found(tmp_path)) == ["A", "a-b", "a.png", "a/b", "a/b.c/d", "a0", "é"]


def test_roots_follow_each_other_and_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, "z/1", "a/2")
    entries = list(scan([tmp_path / "z", tmp_path / "a"], InputConfig()))
    assert [(entry.root, entry.path) for entry in entries] == [(0, "1"), (1, "2")]


def test_nests_deeper_than_python_calls(tmp_path: Path) -> None:
    path = "d/" * 200 + "f"
    fill(tmp_path, path)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert list(found(tmp_path)) == [path]
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_root_that_is_no_folder_is_named(name: str, tmp_path: Path) -> None:
    fill(tmp_path, "file")
    with pytest.raises(ConfigError, match=f"expected a folder at .*{name}"):
        scan([tmp_path / name], InputConfig())


@pytest.mark.parametrize(("one", "other"), [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "link")])
def test_roots_that_share_files_are_refused(one: str, other: str, tmp_path: Path) -> None:
    fill(tmp_path, "a/b/c")
    (tmp_path / "link").symlink_to("a/b")
    with pytest.raises(ConfigError, match="found twice"):
        scan([tmp_path / one, tmp_path / other], InputConfig())


def test_roots_with_a_common_beginning_of_their_names_share_nothing(tmp_path: Path) -> None:
    fill(tmp_path, "a/1", "ab/2")
    assert len(list(scan([tmp_path / "a", tmp_path / "ab"], InputConfig()))) == 2


class TestLinksFollowed:
    def test_to_a_file_inside_is_a_further_path(self, tmp_path: Path) -> None:
        fill(tmp_path, "real/a")
        (tmp_path / "link").symlink_to("real/a")
        ends = found(tmp_path, FOLLOW)
        assert list(ends) == ["link", "real/a"]
        assert ends["link"].digest == ends["real/a"].digest

    def test_to_a_folder_inside_is_entered_in_the_order_of_paths(self, tmp_path: Path) -> None:
        fill(tmp_path, "real/a", "link-b")
        (tmp_path / "link").symlink_to("real")
        assert list(found(tmp_path, FOLLOW)) == ["link-b", "link/a", "real/a"]

    def test_inside_a_linked_folder_paths_are_read(self, tmp_path: Path) -> None:
        fill(tmp_path, "real/deep/a")
        (tmp_path / "link").symlink_to("real")
        (tmp_path / "real/up").symlink_to("deep")
        ends = found(tmp_path, FOLLOW)
        assert {p for p, e in ends.items() if isinstance(e, SourceFile)} >= {
            "link/deep/a",
            "real/deep/a",
            "link/up/a",
        }

    def test_to_outside_is_refused(self, tmp_path: Path) -> None:
        fill(tmp_path, "root/a", "outside/secret", "root-sibling/b")
        root = tmp_path / "root"
        (root / "file").symlink_to("../outside/secret")
        (root / "folder").symlink_to("../outside")
        (root / "sibling").symlink_to("../root-sibling")
        (root / "via").symlink_to("folder/secret")
        assert reasons(root, FOLLOW) == {
            "a": None,
            "file": Reason.OUTSIDE_ROOT,
            "folder": Reason.OUTSIDE_ROOT,
            "sibling": Reason.OUTSIDE_ROOT,
            "via": Reason.OUTSIDE_ROOT,
        }

    def test_that_lead_back_or_nowhere_end_there(self, tmp_path: Path) -> None:
        fill(tmp_path, "a/b/c")
        (tmp_path / "a/b/up").symlink_to("..")
        (tmp_path / "a/here").symlink_to(".")
        (tmp_path / "a/root").symlink_to(tmp_path)
        (tmp_path / "self").symlink_to("self")
        (tmp_path / "dangling").symlink_to("nothing")
        ends = reasons(tmp_path, FOLLOW)
        assert ends.pop("a/b/c") is None
        assert set(ends) == {"a/b/up", "a/here", "a/root", "self", "dangling"}
        assert set(ends.values()) == {Reason.LINK_NOT_FOLLOWED}

    def test_between_folders_cannot_multiply_what_is_found(self, tmp_path: Path) -> None:
        folders = [f"f{i}" for i in range(8)]
        for folder in folders:
            fill(tmp_path, f"{folder}/file")
        for folder in folders:
            for other in folders:
                if other != folder:
                    (tmp_path / folder / f"to_{other}").symlink_to(f"../{other}")
        ends = reasons(tmp_path, FOLLOW)
        labelled = [path for path, reason in ends.items() if reason is None]
        assert {f"{folder}/file" for folder in folders} <= set(labelled)
        assert len(labelled) <= 2 * len(folders)
        assert set(ends.values()) == {None, Reason.LINK_NOT_FOLLOWED}

    def test_to_a_pipe_is_not_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "link").symlink_to("pipe")
        assert set(reasons(tmp_path, FOLLOW).values()) == {Reason.NOT_A_FILE}


class TestFilesThatCannotBeRead:
    def test_too_large_is_not_opened(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with (tmp_path / "large").open("wb") as file:
            file.truncate(1 << 40)
        monkeypatch.setattr(scanning, "open_below", None)
        assert reasons(tmp_path) == {"large": Reason.FILE_TOO_LARGE}

    def test_growing_past_the_limit_ends_the_reading(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(tmp_path, "a")
        endless = os.open("/dev/zero", os.O_RDONLY)
        monkeypatch.setattr(scanning, "open_below", lambda *_, **__: endless)
        config = InputConfig(max_file_bytes=3 << 20)
        assert reasons(tmp_path, config) == {"a": Reason.FILE_TOO_LARGE}

    def test_vanished_since_it_was_listed(self, tmp_path: Path) -> None:
        fill(tmp_path, "a", "b", "c/d")
        entries = scan([tmp_path], InputConfig())
        assert isinstance(next(entries), SourceFile)
        (tmp_path / "b").unlink()
        (tmp_path / "c/d").unlink()
        (tmp_path / "c").rmdir()
        rest = {entry.path: entry for entry in entries}
        assert set(rest) == {"b", "c"}
        assert all(
            isinstance(entry, Quarantined) and entry.reason is Reason.VANISHED
            for entry in rest.values()
        )

    @pytest.mark.parametrize(
        ("code", "times", "reason", "calls"),
        [
            (errno.EACCES, 9, Reason.UNREADABLE, 1),
            (errno.EIO, 2, None, 3),
            (errno.ESTALE, 3, None, 4),
            (errno.EIO, 9, Reason.UNREADABLE, 4),
        ],
    )
    def test_errors_that_may_pass_are_tried_again(
        self,
        code: int,
        times: int,
        reason: Reason | None,
        calls: int,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        fill(tmp_path, "a")
        monkeypatch.setattr(roots, "_PAUSES", (0.0, 0.0, 0.0))
        opener = failing(roots.open_below, code, times)
        monkeypatch.setattr(scanning, "open_below", opener)
        assert reasons(tmp_path) == {"a": reason}
        assert len(opener.calls) == calls  # type: ignore[attr-defined]

    def test_a_folder_that_cannot_be_listed_is_reported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fill(tmp_path, "a", "closed/b", "z")
        scandir = os.scandir

        def guarded(path: bytes) -> object:
            if path.rstrip(b"/").endswith(b"closed"):
                raise PermissionError(errno.EACCES, "Permission denied")
            return scandir(path)

        monkeypatch.setattr(os, "scandir", guarded)
        assert reasons(tmp_path) == {"a": None, "closed": Reason.UNREADABLE, "z": None}


def failing(action: Callable[..., int], code: int, times: int) -> Callable[..., int]:
    """Let a function fail a number of times; its ``calls`` counts all."""
    calls: list[int] = []

    def wrapped(*args: object, **kwargs: object) -> int:
        calls.append(code)
        if len(calls) <= times:
            raise OSError(code, os.strerror(code))
        return action(*args, **kwargs)

    wrapped.calls = calls  # type: ignore[attr-defined]
    return wrapped


def test_duplicates_are_listed_each(tmp_path: Path) -> None:
    for name in ("a", "b/c"):
        fill(tmp_path, name)
        (tmp_path / name).write_bytes(b"the same")
    assert len({entry.digest for entry in found(tmp_path).values()}) == 1
    assert list(found(tmp_path)) == ["a", "b/c"]
