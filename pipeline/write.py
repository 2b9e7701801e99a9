"""The run folder: what a run leaves behind, there whole or not at all.

<workspace>/runs/<run-id>/labels.coco.json    the labels
                          summary.json        counts that balance, seconds, versions
                          quarantine.jsonl    every file without labels, and why
                          manifest.jsonl      every image, its digest, all its paths
                          config.json         the run file with all defaults filled in
<workspace>/runs/latest → <run-id>
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TextIO

from pipeline.records import ImageRecord, JsonObject, Quarantined, SourceFile
from pipeline.store.parts import sync_folder

LABELS: Final = "labels.coco.json"
SUMMARY: Final = "summary.json"
QUARANTINE: Final = "quarantine.jsonl"
MANIFEST: Final = "manifest.jsonl"
CONFIG: Final = "config.json"


class RunFolder:
    """A run folder in the making; on a clean exit it gets its name, on an error it goes.

    Attributes:
        run_id: UTC time of the start, e.g. ``20261123T142044Z``, unique in the workspace.
        path: Where the files are written until then.
        final: Where they will be.
    """

    def __init__(self, workspace: Path) -> None:
        runs = workspace / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        for leftover in runs.glob(".*.tmp"):  # of runs that were killed; the lock is ours
            shutil.rmtree(leftover, ignore_errors=True)
        self.run_id = _new_id(runs)
        self.path = runs / f".{self.run_id}.tmp"
        self.final = runs / self.run_id
        self.path.mkdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            shutil.rmtree(self.path, ignore_errors=True)
            return
        for file in self.path.iterdir():
            _sync(file)
        sync_folder(self.path)
        self.path.rename(self.final)
        _point_latest(self.final)
        sync_folder(self.final.parent)

    def write_json(self, name: str, value: JsonObject) -> None:
        """Write one JSON document, indented for people."""
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
        (self.path / name).write_text(text + "\n", encoding="utf-8")

    @contextmanager
    def lines(self, name: str) -> Iterator[Callable[[JsonObject], None]]:
        """Open a file with one JSON document per line.

        Yields:
            A function that appends one document.
        """
        with (self.path / name).open("w", encoding="utf-8") as file:
            yield lambda row: _write_line(file, row)


def _write_line(file: TextIO, row: JsonObject) -> None:
    file.write(json.dumps(row, ensure_ascii=True, allow_nan=False) + "\n")


def _new_id(runs: Path) -> str:
    stem = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    taken = {path.name for path in runs.iterdir()}
    names = (stem if n == 1 else f"{stem}-{n}" for n in range(1, len(taken) + 2))
    return next(name for name in names if name not in taken)


def _sync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _point_latest(run: Path) -> None:
    temporary = run.parent / ".latest.tmp"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(run.name)
    temporary.replace(run.parent / "latest")


def quarantine_row(row: Quarantined, roots: Sequence[Path]) -> JsonObject:
    """Lay a file out for ``quarantine.jsonl``."""
    out = {"root": str(roots[row.root]), "path": row.path, "reason": row.reason.value}
    return {**out, "detail": row.detail, "stage": row.stage, "sha256": row.digest}


def manifest_row(image: ImageRecord, roots: Sequence[Path]) -> JsonObject:
    """Lay an image out for ``manifest.jsonl``: all its paths and what it looks like."""
    paths = [_path(file, roots) for file in (image.source, *image.duplicates)]
    info: dict[str, Any] = asdict(image.info)
    return {"sha256": image.digest, "bytes": image.source.n_bytes, "paths": paths, **info}


def _path(file: SourceFile, roots: Sequence[Path]) -> JsonObject:
    return {"root": str(roots[file.root]), "path": file.path}
