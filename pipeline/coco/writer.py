"""Labels into a COCO file, image by image; the file is there whole or not at all.

Images and annotations are spooled to files without a name beside the target, as COCO wants one
list after the other; so memory does not grow with the labels, but for 8 bytes per id. At the end
they are joined under a temporary name, synced, and renamed. A killed process leaves the old file,
or none, and at worst one ``.NAME.*.partial`` beside it, which the next writer removes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from pipeline.coco.document import (
    WrittenCounts,
    image_entry,
    lay_out,
    provenance_entry,
    source_key,
)
from pipeline.coco.naming import file_name_problem
from pipeline.coco.seen import SeenNumbers, text_number
from pipeline.errors import CocoError, WorkspaceError
from pipeline.records import ImageLabels, JsonObject

_COPY_BYTES: Final = 1 << 20
_ATTEMPTS: Final = 100
_PARTIAL: Final = ".partial"


class CocoWriter:
    """Writes one COCO file: ``with CocoWriter(...) as writer: writer.add(...)``.

    Images stand in the order they are added, and each line of the file is one image or one
    annotation. Ids that two contents share (once in 10**4 runs of a million annotations) are
    resolved: the image added later gets others, for itself and all its annotations.

    Args:
        path: File to write; its folder exists.
        categories: As ``document.categories`` gives them.
        info: The file's ``info``; ``provenance`` is added to it. No clock readings: the same
            labels must give the same bytes.

    Raises:
        CocoError: ``info`` has a ``provenance`` of its own, or is not JSON.
    """

    def __init__(self, path: Path, categories: Sequence[JsonObject], info: JsonObject) -> None:
        if "provenance" in info:
            raise CocoError(f"{path}: info.provenance is filled in here, pass info without it")
        for entry in (info, *categories):  # now, and not at the end of a long run
            _line(entry, str(path))
        self._path = path
        self._categories = list(categories)
        self._category_ids = {str(entry["name"]): int(entry["id"]) for entry in categories}
        self._info = info
        self._provenance: dict[str, JsonObject] = {}
        self._ids, self._texts = SeenNumbers(), SeenNumbers()
        self._torn = False
        self._open = ExitStack()
        self._images: _Lines
        self._annotations: _Lines

    def __enter__(self) -> Self:
        with _disk(self._path), ExitStack() as opened:
            for path in self._path.parent.iterdir():
                if path.name.startswith(f".{self._path.name}.") and path.suffix == _PARTIAL:
                    path.unlink(missing_ok=True)
            spools = [
                opened.enter_context(tempfile.TemporaryFile(dir=self._path.parent))
                for _ in range(2)
            ]
            self._images, self._annotations = (_Lines(spool) for spool in spools)
            self._open = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                with _disk(self._path):
                    self._finish()
        finally:
            # What was buffered for a full disk fails again on closing; it is not wanted any more.
            with contextlib.suppress(OSError):
                self._open.close()

    def add(self, labels: ImageLabels, file_name: str) -> WrittenCounts:
        """Write one image and its labels.

        Args:
            labels: All labels; those that are dropped are only counted.
            file_name: Posix path relative to the folder that readers will be given.

        Returns:
            What became of each label.

        Raises:
            CocoError: The image was added before, its name is taken or no relative posix path,
                or a label cannot be written as valid COCO.
            WorkspaceError: The disk is full, or cannot be written.
        """
        claims = self._claims(labels, file_name)
        image, annotations, counts = self._lay_out(labels, file_name)
        lines = [_line(entry, file_name) for entry in (image, *annotations)]
        for number in claims:
            self._texts.add(number)
        for entry in (image, *annotations):
            self._ids.add(entry["id"])
        for stage, provenance in labels.provenance.items():
            self._provenance[source_key(stage, provenance)] = provenance_entry(stage, provenance)
        self._torn = True
        with _disk(self._path):
            self._images.append(lines[:1])
            self._annotations.append(lines[1:])
        self._torn = False
        return counts

    def _claims(self, labels: ImageLabels, file_name: str) -> list[int]:
        """What no other image may have: the content and the name.

        Raises:
            CocoError: An image before this one has it, or the name is no relative posix path.
        """
        if problem := file_name_problem(file_name, labels.image.source.path):
            raise CocoError(f"file_name {file_name!r} {problem}; expected a relative posix path")
        claims = {f"sha256 {labels.image.digest}": "content", f"name {file_name}": "file_name"}
        for text, what in claims.items():
            if text_number(text) in self._texts:
                raise CocoError(
                    f"{file_name!r}: an image with this {what} is in the file already; "
                    "byte-equal files are one image with duplicates, and names must differ"
                )
        return [text_number(text) for text in claims]

    def _lay_out(
        self, labels: ImageLabels, file_name: str
    ) -> tuple[JsonObject, list[JsonObject], WrittenCounts]:
        for attempt in range(_ATTEMPTS):
            annotations, counts = lay_out(labels, self._category_ids, attempt)
            image = image_entry(labels, file_name, attempt)
            ids = {entry["id"] for entry in (image, *annotations)}
            if len(ids) == 1 + len(annotations) and not any(number in self._ids for number in ids):
                return image, annotations, counts
        raise CocoError(f"{file_name!r}: no free ids in {_ATTEMPTS} attempts; report this as a bug")

    def _finish(self) -> None:
        if self._torn:
            raise CocoError(f"{self._path}: an image was written in part only; write all again")
        name = f".{self._path.name}.{secrets.token_hex(4)}{_PARTIAL}"
        partial = self._path.with_name(name)
        try:
            with partial.open("xb") as file:
                self._join(file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self._path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(self._path.parent)

    def _join(self, file: IO[bytes]) -> None:
        provenance = {key: self._provenance[key] for key in sorted(self._provenance)}
        info = _line({**self._info, "provenance": provenance}, "info")
        categories = b",\n".join(_line(entry, "categories") for entry in self._categories)
        file.write(b'{"info":' + info + b',\n"licenses":[],\n"images":[')
        self._images.copy_to(file)
        file.write(b'],\n"annotations":[')
        self._annotations.copy_to(file)
        file.write(b'],\n"categories":[\n' + categories + b"\n]}\n")


class _Lines:
    """Entries of one JSON list, one per line, in a file without a name."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._separator = b"\n"

    def append(self, lines: Sequence[bytes]) -> None:
        """Add entries, one line each, without their separators."""
        for line in lines:
            self._file.write(self._separator + line)
            self._separator = b",\n"

    def copy_to(self, target: IO[bytes]) -> None:
        """Write all lines, with a line break at their end."""
        if self._separator != b"\n":
            self._file.write(b"\n")
        self._file.seek(0)
        shutil.copyfileobj(self._file, target, _COPY_BYTES)


def _line(entry: JsonObject, where: str) -> bytes:
    try:
        text = json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise CocoError(f"{where}: cannot be written as JSON: {error}") from error


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WorkspaceError(
            f"{path}: cannot be written ({error}); nothing was changed, "
            "make room or allow writing there and run again"
        ) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename durable: until its folder is synced, a crash can undo it."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
