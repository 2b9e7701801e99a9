"""Fetch weights: the only code in the house that opens a socket, and only when asked to."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path
from typing import IO, Final, Protocol, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from pydantic import TypeAdapter

from pipeline.config import ModelsConfig
from pipeline.errors import WeightsError
from pipeline.weights.digests import sha256_of
from pipeline.weights.locate import (
    PINS_NAME,
    ModelFiles,
    folder_of,
    locate,
    weight_files,
    with_recorded_pins,
)
from pipeline.weights.lock import LockEntry, LockFile

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with the file's name, bytes so far, and bytes in all if known."""

_CHUNK: Final = 2**20
_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An open download.

    Attributes:
        stream: The bytes that remain.
        start: Offset of the first of them; 0 if the server cannot resume.
        total: Bytes of the whole file, or None if the server does not say.
    """

    stream: IO[bytes]
    start: int
    total: int | None


class Fetch(Protocol):
    """Opens an address, if possible from a byte offset on."""

    def __call__(self, url: str, start: int) -> AbstractContextManager[Reply]:
        """Open ``url``; raises OSError if that fails."""


def pull(
    entry: LockEntry,
    config: ModelsConfig,
    progress: Progress = lambda _name, _done, _total: None,
    *,
    fetch: Fetch | None = None,
) -> ModelFiles:
    """Bring a model's files into the models directory and check them.

    Files that are there and right are kept; an interrupted download goes on where it stopped. A
    file appears under its name only when its digest is right. Files without a pin are trusted the
    first time and pinned in the folder from then on.

    Args:
        entry: The model.
        config: Where models are kept.
        progress: Told about every piece that arrives.
        fetch: Opens addresses; https by default.

    Raises:
        WeightsError: A file cannot be fetched or written, or has other bytes than were pinned.
    """
    if entry.place == "store":
        folder = folder_of(entry, config)
        pinned = with_recorded_pins(entry, folder)
        for file in pinned.files:
            try:
                _bring(file, folder, progress, fetch or _https)
            except OSError as error:
                raise WeightsError(_not_fetched(entry, file, folder, error)) from error
        if not all(file.sha256 for file in pinned.files):
            adopt(folder, entry)
    return locate(entry.name, config, Path())


def adopt(folder: Path, entry: LockEntry) -> None:
    """Record the digests of a folder's files, trusting them from now on.

    Args:
        folder: The model's folder in the models directory.
        entry: Name, kind, licence and source; its files are those in the folder.

    Raises:
        OSError: The record cannot be written.
    """
    files = tuple(
        LockFile(path.name, path.stat().st_size, sha256_of(path)) for path in weight_files(folder)
    )
    text = TypeAdapter(LockEntry).dump_json(replace(entry, files=files), indent=2)
    _write_whole(folder / PINS_NAME, text)


def _bring(file: LockFile, folder: Path, progress: Progress, fetch: Fetch) -> None:
    target = folder / file.path
    if target.is_file() and (file.sha256 is None or sha256_of(target) == file.sha256):
        return
    folder.mkdir(parents=True, exist_ok=True)
    if file.content is not None:
        _write_whole(target, file.content.encode())
        return
    if file.url is None:
        raise FileNotFoundError(f"models.lock has no address for {file.path}")
    part = target.with_name(f"{target.name}.part")
    _download(file, file.url, part, progress, fetch)
    if file.member is not None:
        part = _unpack(part, file)
    _check(part, file)
    _publish(part, target)


def _download(file: LockFile, url: str, part: Path, progress: Progress, fetch: Fetch) -> None:
    start = part.stat().st_size if part.is_file() else 0
    with fetch(url, start) as reply:
        total = file.size if reply.total is None and file.member is None else reply.total
        _check_room(part.parent, (total or 0) - reply.start)
        with part.open("ab") as out:
            out.truncate(reply.start)
            done = reply.start
            progress(file.path, done, total)
            for chunk in _chunks(reply.stream):
                done += out.write(chunk)
                progress(file.path, done, total)
                if file.size is not None and file.member is None and done > file.size:
                    return  # more than there can be: the digest will say so
    if total is not None and done < total:
        raise ConnectionError(f"the connection ended after {done:,} of {total:,} bytes")


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _unpack(archive: Path, file: LockFile) -> Path:
    # No more than the pinned size is read: an archive can claim any.
    out = archive.with_name(f"{file.path}.member.part")
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(str(file.member)) as member:
            _write_chunks(out, [member.read((file.size or 0) + 1)])
    except (zipfile.BadZipFile, KeyError) as error:
        raise OSError(f"no archive with {file.member} arrived ({error}). It was deleted") from error
    finally:
        archive.unlink()
    return out


def _check(part: Path, file: LockFile) -> None:
    if file.sha256 is None:
        return
    size, digest = part.stat().st_size, hashlib.sha256()
    with part.open("rb") as stream:
        for chunk in _chunks(stream):
            digest.update(chunk)
    if digest.hexdigest() == file.sha256:
        return
    part.unlink()
    raise OSError(
        f"what arrived has {size:,} bytes with sha256 {digest.hexdigest()}; "
        f"expected {file.size:,} bytes with {file.sha256}. It was deleted"
    )


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(f"needs {needed:,} bytes in {folder}, where {free:,} are free")


def _write_whole(target: Path, content: bytes) -> None:
    part = target.with_name(f"{target.name}.part")
    _write_chunks(part, [content])
    _publish(part, target)


def _write_chunks(path: Path, chunks: Iterable[bytes]) -> None:
    with path.open("wb") as out:
        out.writelines(chunks)


def _publish(part: Path, target: Path) -> None:
    """Make a whole file appear under its name, also after a power cut."""
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    part.replace(target)
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _not_fetched(entry: LockEntry, file: LockFile, folder: Path, error: Exception) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    return (
        f"{entry.name}: {file.path} could not be fetched: {reason}\n"
        f"  from: {file.url}\n"
        f"  ways out: run the command again (it goes on where it stopped), or put the file into\n"
        f"    {folder} by hand and run it again: the file is checked, not fetched"
    )


@contextmanager
def _https(url: str, start: int) -> Iterator[Reply]:
    if not url.startswith("https://"):
        raise OSError(f"only https addresses are fetched, not {url}")
    with _open(url, start) as response:
        begin = start if response.status == HTTPStatus.PARTIAL_CONTENT else 0
        length = response.headers.get("Content-Length")
        yield Reply(response, begin, None if length is None else begin + int(length))


def _open(url: str, start: int) -> HTTPResponse:
    headers = {"User-Agent": "autolabel", **({"Range": f"bytes={start}-"} if start else {})}
    request = Request(url, headers=headers)  # noqa: S310  its caller took https only
    try:
        response = urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310  as above
    except HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or start == 0:
            raise
        # What is here is longer than the file there, or all of it: begin again.
        return _open(url, 0)
    assert isinstance(response, HTTPResponse)
    return response
