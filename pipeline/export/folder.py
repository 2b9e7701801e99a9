"""The export folder: there whole or not at all, replaced in one step, and resumed after a kill.

An export grows in ``.NAME.partial`` beside its place. Image files that a killed export left there
are put aside (``.NAME.left``) and taken over, as each is complete under its name; everything else
is written anew. At the end ``manifest.json`` lists every file with its sha256, all is synced, and
the folder takes its place: exchanged with the old one in a single step where the system can
(Linux), else moved after it.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from pipeline.errors import ConfigError, ExportError
from pipeline.records import JsonObject
from pipeline.store.parts import durable_write, sync_folder

MANIFEST: Final = "manifest.json"
_STAMP: Final = ".stamp"
_KIND: Final = "autolabel export"
_EXCHANGE: Final = 2
_AT_CWD: Final = -100
_READ: Final = 1 << 20


class ExportFolder:
    """An export in the making.

    Args:
        out: Where it shall be.

    Attributes:
        path: Where it is written until then.

    Raises:
        ConfigError: Something lies at ``out`` that is no export.
    """

    def __init__(self, out: Path) -> None:
        self.out: Final = out
        self.path: Final = out.parent / f".{out.name}.partial"
        self._left: Final = out.parent / f".{out.name}.left"
        if out.is_symlink() or (out.exists() and not _is_ours(out)):
            raise ConfigError(
                f"--out {out}: something lies there that is no export of autolabel; "
                "name another folder, or empty that one"
            )

    def place(self, name: str) -> Path:
        """Give the path of a file to be written, its folder made.

        Raises:
            ExportError: The name would lead out of the export.
        """
        path = self.path / name
        inside = path.resolve().is_relative_to(self.path.resolve())
        if not inside or {"", ".", ".."} & set(name.split("/")):
            raise ExportError(f"{name!r}: leads out of the export folder; report this as a bug")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def begin(self, stamp: JsonObject) -> None:
        """Make the folder; what a killed export with the same stamp left is put aside.

        Args:
            stamp: What image files depend on.
        """
        text = json.dumps(stamp, sort_keys=True)
        for folder in (self._left, self.path):
            stamped = folder / _STAMP
            if not stamped.is_file() or stamped.read_text() != text:
                shutil.rmtree(folder, ignore_errors=True)
        for path in list(_files(self.path)):
            aside = self._left / path.relative_to(self.path)
            aside.parent.mkdir(parents=True, exist_ok=True)
            path.replace(aside)
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        (self.path / _STAMP).write_text(text)

    def left(self, name: str) -> Path | None:
        """Give the file of this name that a killed export left, if it did."""
        path = self._left / name
        return path if path.is_file() and not path.is_symlink() else None

    def finish(self, manifest: JsonObject) -> tuple[int, bool]:
        """Write the manifest and put the folder in its place.

        Args:
            manifest: ``files`` is added to it.

        Returns:
            Size of all files, and whether the export that lay there was the same already.

        Raises:
            ExportError: The disk is full, or cannot be written.
        """
        try:
            (self.path / _STAMP).unlink(missing_ok=True)
            shutil.rmtree(self._left, ignore_errors=True)
            files = [_entry(self.path, path) for path in _files(self.path)]
            document = {"kind": _KIND, **manifest, "files": files}
            text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
            size = sum(entry["bytes"] for entry in files) + len(text.encode())
            if self.out.exists() and _same(self.out, text):
                shutil.rmtree(self.path)
                return size, True
            durable_write(self.path / MANIFEST, text.encode())
            _sync_all(self.path)
            _swap(self.path, self.out)
        except OSError as error:
            raise ExportError(
                f"{self.out}: cannot be written: {error}; what lay there before is untouched"
            ) from error
        return size, False


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Let one process at a time write an export.

    Yields:
        Nothing.

    Raises:
        ExportError: Another process is at it, or the folder above cannot be written.
    """
    lock = FileLock(out.parent / f".{out.name}.lock", timeout=0)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ExportError(f"{out}: another export is writing there; wait for it to end") from None
    except OSError as error:
        raise ExportError(
            f"--out {out}: no folder can be made there: {_obstacle(out) or error.strerror}; "
            "name another one, or see to it that this one can be written"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _obstacle(out: Path) -> str | None:
    """What lies where a folder above should be, in words; None if nothing does."""
    there = next((folder for folder in out.parents if folder.exists()), None)
    return None if there is None or there.is_dir() else f"{there} is no folder"


def _is_ours(out: Path) -> bool:
    if not out.is_dir():
        return False
    if not any(out.iterdir()):
        return True
    try:
        document = json.loads((out / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("kind") == _KIND


def _same(out: Path, manifest: str) -> bool:
    """Whether an export has this manifest, and its files are still what it says."""
    path = out / MANIFEST
    if not path.is_file() or path.read_bytes() != manifest.encode():
        return False
    files = {entry["path"]: entry for entry in json.loads(manifest)["files"]}
    there = [_entry(out, file) for file in _files(out) if file != path]
    return files == {entry["path"]: entry for entry in there}


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ):
            digest.update(part)
    name = path.relative_to(folder).as_posix()
    return {"path": name, "sha256": digest.hexdigest(), "bytes": path.stat().st_size}


def _sync_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir() and not path.is_symlink():
            sync_folder(path)
        elif path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


def _swap(new: Path, out: Path) -> None:
    if not out.exists():
        new.rename(out)
    elif _exchange(new, out):
        shutil.rmtree(new)
    else:
        old = out.parent / f".{out.name}.old"
        shutil.rmtree(old, ignore_errors=True)
        out.rename(old)
        new.rename(out)
        shutil.rmtree(old)
    sync_folder(out.parent)


def _exchange(a: Path, b: Path) -> bool:
    """Exchange two folders in one step; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(a), os.fsencode(b)
    return bool(rename(_AT_CWD, names[0], _AT_CWD, names[1], _EXCHANGE) == 0)
