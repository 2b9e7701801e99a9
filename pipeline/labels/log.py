"""The log of what people decided: ``<workspace>/reviews/``, append-only, the durable copy.

One JSON document per line. Every pull that found something begins a file of its own, numbered;
lines are synced before the dataset learns that they were taken. A crash can tear the last line of
a file, which was then never reported as kept; it is left out. Any other broken line is damage, and
an error. The state of a label is its last line.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from pipeline.errors import ReviewError
from pipeline.labels.values import (
    NOTHING,
    Event,
    ImageReviews,
    What,
    reviewed_from_json,
    reviewed_to_json,
)
from pipeline.records import JsonObject
from pipeline.store.parts import sync_folder

_VERSION: Final = 1
_LOCK_SECONDS: Final = 5.0


class ReviewLog:
    """The log of one workspace, read once and kept up to date by ``append``.

    Args:
        workspace: Where ``reviews`` lies.

    Raises:
        ReviewError: A file is damaged or cannot be read.
    """

    def __init__(self, workspace: Path) -> None:
        self.folder: Final = workspace / "reviews"
        self._state: dict[str, ImageReviews] = {}
        self._file: Path | None = None
        for event in read_events(self.folder):
            self._apply(event)

    def __getitem__(self, sha256: str) -> ImageReviews:
        return self._state.get(sha256, NOTHING)

    @property
    def classes(self) -> frozenset[str]:
        """Class names that people used, whether the vocabulary has them or not."""
        return frozenset(
            label.content.label
            for image in self._state.values()
            for label in image.labels.values()
            if label.content is not None
        )

    def append(self, events: Iterable[Event]) -> int:
        """Write events durably, then count them in; gives their number.

        Raises:
            ReviewError: The disk is full or the folder cannot be written; nothing counts then.
        """
        taken = list(events)
        if not taken:
            return 0
        text = "".join(json.dumps(_to_json(event), ensure_ascii=True) + "\n" for event in taken)
        try:
            self._write(text.encode("ascii"))
        except OSError as error:
            self._file = None  # what follows a torn line needs a file of its own
            raise ReviewError(f"{self.folder}: reviews cannot be kept: {error}") from None
        for event in taken:
            self._apply(event)
        return len(taken)

    def _write(self, data: bytes) -> None:
        is_new = self._file is None
        if self._file is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            numbers = [int(path.stem) for path in _files(self.folder)]
            self._file = self.folder / f"{max(numbers, default=0) + 1:08}.jsonl"
        with self._file.open("xb" if is_new else "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            sync_folder(self.folder)
            sync_folder(self.folder.parent)

    def _apply(self, event: Event) -> None:
        image = self[event.image]
        if event.label is not None:
            image = replace(image, labels={**image.labels, event.label.id: event.label})
        if What.IMAGE_DONE in event.what or What.IMAGE_REOPENED in event.what:
            image = replace(image, done=What.IMAGE_DONE in event.what)
        if event.tags is not None:
            image = replace(image, tags=event.tags)
        self._state[event.image] = image


@contextmanager
def locked_reviews(workspace: Path) -> Iterator[None]:
    """Let one process at a time publish or pull.

    Yields:
        Nothing.

    Raises:
        ReviewError: Another one is at it, or the folder cannot be written.
    """
    lock = FileLock(workspace / ".reviews.lock", timeout=_LOCK_SECONDS)
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ReviewError(
            f"{workspace}: another publish or pull is at work; wait for it and try again"
        ) from None
    except OSError as error:
        raise ReviewError(f"{workspace}: cannot be written: {error}") from None
    try:
        yield
    finally:
        lock.release()


def read_events(folder: Path) -> Iterator[Event]:
    """Read the whole log, oldest first.

    Yields:
        Every event that was written whole.

    Raises:
        ReviewError: A line other than a file's last is damaged.
    """
    for path in _files(folder):
        lines = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, start=1):
            if number == len(lines):
                break  # empty, or torn by a crash before it was kept
            yield _parsed(path, number, line)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdecimal())


def _parsed(path: Path, number: int, line: bytes) -> Event:
    try:
        return _from_json(json.loads(line))
    except (ValueError, KeyError, TypeError) as error:
        raise ReviewError(
            f"{path}:{number}: this line of the review log is damaged "
            f"({type(error).__name__}: {error}). Restore the file from a backup, or delete the line"
        ) from None


def _to_json(event: Event) -> JsonObject:
    return {
        "v": _VERSION,
        "at": event.at,
        "by": event.by,
        "what": [what.value for what in event.what],
        "image": event.image,
        "file_name": event.file_name,
        "label": event.label and reviewed_to_json(event.label),
        **({} if event.tags is None else {"tags": list(event.tags)}),
    }


def _from_json(value: JsonObject) -> Event:
    if value["v"] != _VERSION:
        raise ValueError(f"version {value['v']}, written by a newer autolabel; expected {_VERSION}")
    by, at, label = value["by"], value["at"], value["label"]
    return Event(
        tuple(What(what) for what in value["what"]),
        value["image"],
        value["file_name"],
        None if label is None else reviewed_from_json(label, by, at),
        by,
        at,
        tuple(value["tags"]) if "tags" in value else None,
    )
