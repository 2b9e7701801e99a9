"""Where a model's files are, and whether they are the ones that were pinned."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pydantic import TypeAdapter

from pipeline.config import ModelsConfig
from pipeline.errors import WeightsError
from pipeline.weights.digests import remembered_sha256, sha256_of
from pipeline.weights.lock import LOCK_PATH, Kind, LockEntry, LockFile, entries, entry_named

PINS_NAME: Final = "pins.json"
"""Digests recorded in a model's folder at its first pull, where the lock file has none."""

DIRECTORY_PREFIXES: Final = ("./", "../", "~", "/")

_NOT_WEIGHTS: Final = frozenset({".md", ".part", ".tmp"})


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file that was checked.

    Attributes:
        path: Absolute.
        sha256: 64 hexadecimal digits.
        size: Bytes.
    """

    path: Path
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model's files, all present and checked.

    Attributes:
        name: As the run file says it.
        kind: The engine it is for; None for a directory, which may suit any.
        folder: Where the files are.
        files: The files, in the order of their names.
        digest: sha256 over names and digests: the model's identity.
        licence: Licence of the weights, or ``unknown`` for a directory.
        defaults: Settings that suit this model.
    """

    name: str
    kind: Kind | None
    folder: Path
    files: tuple[WeightFile, ...]
    digest: str
    licence: str
    defaults: Mapping[str, Any]


def models_directory(config: ModelsConfig) -> Path:
    """Say where pulled models are kept; the folder need not exist yet.

    The run file's ``models.directory``, else ``AUTOLABEL_MODELS_DIR``, else
    ``~/.cache/autolabel/models``.
    """
    if config.directory is not None:
        return config.directory.expanduser()
    chosen = os.environ.get("AUTOLABEL_MODELS_DIR")
    home = Path.home() / ".cache" / "autolabel" / "models"
    return Path(chosen).expanduser() if chosen else home


def is_directory(name: str) -> bool:
    """Say whether a model's name is the path of a folder (``./dir``, ``../dir``, ``/dir``)."""
    return name.startswith(DIRECTORY_PREFIXES) or Path(name).is_absolute()


def locate(name: str, config: ModelsConfig, base: Path) -> ModelFiles:
    """Find and check a model's files. Opens no socket and no file with anything but sha256.

    Args:
        name: Name in ``models.lock``, a folder (``./dir``), or ``ARCH/TAG`` of a pulled model.
        config: Where models are kept.
        base: Folder that a relative folder name is relative to.

    Raises:
        WeightsError: A file is missing or its bytes are not those that were pinned, the folder has
            no files, or there is no model of that name.
    """
    if is_directory(name):
        return _directory(name, base / Path(name).expanduser())
    entry = entry_named(name) or pulled(name, config)
    if entry is None:
        raise WeightsError(_unknown(name, config))
    folder = folder_of(entry, config)
    pinned = with_recorded_pins(entry, folder)
    problems = _all_problems(pinned, folder, remembered_sha256)
    if problems:
        raise WeightsError(_explain(pinned, folder, problems))
    files = tuple(
        WeightFile(folder / file.path, str(file.sha256), int(file.size or 0))
        for file in sorted(pinned.files, key=lambda file: file.path)
    )
    return _model_files(pinned, folder, files)


def verify(entry: LockEntry, config: ModelsConfig) -> list[str]:
    """Hash every byte of a model's files again, whatever was remembered.

    Returns:
        One line per file that is missing or wrong; empty if all is as pinned.
    """
    folder = folder_of(entry, config)
    return _all_problems(with_recorded_pins(entry, folder), folder, sha256_of)


def folder_of(entry: LockEntry, config: ModelsConfig) -> Path:
    """Say where the files of a model are, or would be.

    Raises:
        WeightsError: The package that carries them is not installed.
    """
    match entry.place:
        case "store":
            return models_directory(config) / entry.name
        case "embedded":
            return embedded_folder() / entry.folder
        case "wheel":
            return _inside_package(entry)


def embedded_folder() -> Path:
    """Say where the embedded models are: inside the installed package, or in the checkout."""
    package = Path(__file__).parents[1]
    installed = package / "embedded_models"
    return installed if installed.is_dir() else package.parent / "data" / "models" / "tiny"


def _inside_package(entry: LockEntry) -> Path:
    package, _, below = entry.folder.partition("/")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise WeightsError(f"{entry.name}: its weights come with {package}; pip install {package}")
    return Path(found.origin).parent / below


def pulled(name: str, config: ModelsConfig) -> LockEntry | None:
    """Read what a pull recorded about a model outside the lock file; None if none did.

    Raises:
        WeightsError: The record cannot be read.
    """
    parts = PurePosixPath(name).parts
    if ".." in parts or not parts or "\\" in name:
        return None
    folder = models_directory(config) / name
    pins = recorded_pins(folder)
    if pins is None:
        return None
    return LockEntry(name, pins.kind, "store", pins.files, pins.licence, pins.source)


def with_recorded_pins(entry: LockEntry, folder: Path) -> LockEntry:
    """Fill pins that the lock file does not have with those of the first pull.

    Raises:
        WeightsError: The record cannot be read.
    """
    if all(file.sha256 for file in entry.files):
        return entry
    pins = recorded_pins(folder)
    known = {file.path: file for file in pins.files} if pins else {}
    files = tuple(
        file
        if file.sha256 or file.path not in known
        else replace(file, size=known[file.path].size, sha256=known[file.path].sha256)
        for file in entry.files
    )
    return replace(entry, files=files)


def recorded_pins(folder: Path) -> LockEntry | None:
    """Read the digests that the first pull into a folder recorded; None if there are none.

    Raises:
        WeightsError: The record cannot be read.
    """
    path = folder / PINS_NAME
    if not path.is_file():
        return None
    try:
        return TypeAdapter(LockEntry).validate_json(path.read_bytes())
    except ValueError as error:
        raise WeightsError(
            f"{path} is no record of digests: {error}\n"
            f"  way out: delete {folder} and run `autolabel models pull` for it again"
        ) from error


def _all_problems(entry: LockEntry, folder: Path, digest_of: Callable[[Path], str]) -> list[str]:
    if not entry.files:
        return [f"{LOCK_PATH} names no file of {entry.name}"]
    return [text for file in entry.files for text in _problems(file, folder, digest_of)]


def _problems(file: LockFile, folder: Path, digest_of: Callable[[Path], str]) -> list[str]:
    path = folder / file.path
    if not path.is_file():
        return [f"{path} is missing{_expected(file)}"]
    if file.sha256 is None:
        return [f"{path} has no pinned digest yet"]
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return [f"{path} has {size:,} bytes{_expected(file)}"]
    found = digest_of(path)
    return [] if found == file.sha256 else [f"{path} has sha256 {found}{_expected(file)}"]


def _expected(file: LockFile) -> str:
    size = "" if file.size is None else f", {file.size:,} bytes"
    return f"; expected sha256 {file.sha256 or 'as recorded at the first pull'}{size}"


def _explain(entry: LockEntry, folder: Path, problems: Sequence[str]) -> str:
    listed = "".join(f"\n  - {text}" for text in problems)
    return (
        f"model {entry.name!r} cannot be used:{listed}\n"
        f"  looked in: {folder}\n"
        f"  ways out: {_way_out(entry)},\n"
        "    or use the embedded tiny models (`tiny-synthetic-*`, as configs/demo.yaml does)"
    )


def _way_out(entry: LockEntry) -> str:
    match entry.place:
        case "store":
            return (
                f"`autolabel models pull {entry.name}` where there is a network (an air-gapped "
                "machine takes a copy of the folder)"
            )
        case "embedded":
            return "restore the file (`git checkout data/models`, or install the package again)"
        case "wheel":
            return f"install the version of {entry.folder.partition('/')[0]} in constraints.txt"


def _unknown(name: str, config: ModelsConfig) -> str:
    known = [entry.name for entry in entries()]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"no model {name!r}.{hint}\n"
        f"  looked in: models.lock ({', '.join(known)})\n"
        f"    and {models_directory(config) / name}\n"
        f"  ways out: `autolabel models pull {name}` fetches an open_clip ARCH/PRETRAINED_TAG,\n"
        "    `./dir` names a folder, `tiny-synthetic-*` are embedded (configs/demo.yaml)"
    )


def _directory(name: str, folder: Path) -> ModelFiles:
    found = weight_files(folder) if folder.is_dir() else []
    if not found:
        what = "has no weight files" if folder.is_dir() else "is not a folder"
        raise WeightsError(
            f"model {name!r}: {folder.absolute()} {what}; expected a folder with weights\n"
            "  ways out: correct the path (relative ones start at the run file's folder), or use "
            "the embedded tiny models (configs/demo.yaml)"
        )
    files = tuple(
        WeightFile(path.absolute(), remembered_sha256(path), path.stat().st_size) for path in found
    )
    # A folder carries no pins: its owner vouches for it, and any change makes it another model.
    entry = LockEntry(name, "open_clip", "store", (), "unknown", str(folder))
    return replace(_model_files(entry, folder.absolute(), files), kind=None)


def weight_files(folder: Path) -> list[Path]:
    """List the files of a folder that decide what a model answers, by name; notes do not."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not _is_note(path) and path.name != PINS_NAME
    )


def _is_note(path: Path) -> bool:
    return path.name.startswith(".") or path.suffix in _NOT_WEIGHTS or path.name == "metrics.json"


def _model_files(entry: LockEntry, folder: Path, files: tuple[WeightFile, ...]) -> ModelFiles:
    lines = "".join(f"{file.path.name}\0{file.sha256}\n" for file in files)
    digest = hashlib.sha256(lines.encode()).hexdigest()
    return ModelFiles(
        entry.name, entry.kind, folder, files, digest, entry.licence, dict(entry.defaults)
    )
