"""The database behind the dataset: the user's server, or a mongod that belongs to the workspace.

FiftyOne attaches to any FiftyOne database of the same user and ignores the folder it was told; so
it is never allowed to choose. Its address is always given, and before the first write the server
there is asked which files it holds.

<workspace>/fiftyone/db          mongod's files
                     password    of the one database user, mode 0600
                     mongod.json pid and port while a mongod runs
                     mongod.log  what it said last
                     users.lock  held shared by every process that uses the database
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus

from filelock import FileLock, Timeout
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from pipeline.errors import DatabaseError
from pipeline.review.address import SELECTION_MS, URI_SETTING, fiftyone_uses, reachable
from pipeline.review.mongod import find_mongod

_OURS: Final = "AUTOLABEL_DATABASE_FOLDER"  # set beside an address that the user did not name
_SOCKET_MS: Final = 120_000  # a mongod that hangs ends the command; slow queries do not
_START_SECONDS: Final = 60.0
_LEAVE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_ATTEMPTS: Final = 3
_USER: Final = "autolabel"
_AUTHENTICATION_FAILED: Final = 18

_keepers: Final[list[subprocess.Popen[bytes]]] = []


@dataclass(frozen=True, slots=True)
class DatabaseHandle:
    """An open database; fiftyone uses it and no other.

    Attributes:
        uri: Its address, with the password; not for logs.
        folder: ``<workspace>/fiftyone``; None for a server that the user named.
        pid: Process of the mongod; None for a server that the user named.
    """

    uri: str
    folder: Path | None = None
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class _Home:
    """Where a workspace keeps its database."""

    folder: Path

    @property
    def data(self) -> Path:
        """Folder of mongod's data."""
        return self.folder / "db"

    @property
    def state(self) -> Path:
        """Where and as which process mongod is running (JSON)."""
        return self.folder / "mongod.json"

    @property
    def log(self) -> Path:
        """Log of mongod."""
        return self.folder / "mongod.log"

    @property
    def users(self) -> Path:
        """Lock file that all users of the mongod share."""
        return self.folder / "users.lock"


@contextmanager
def open_database(workspace: Path) -> Iterator[DatabaseHandle]:
    """Give fiftyone a database for the length of a ``with`` block.

    ``FIFTYONE_DATABASE_URI`` if it is set; else the workspace's own mongod, started unless another
    process has it running, and stopped when its last user is gone.

    Yields:
        The database; ``fiftyone`` may be imported from here on.

    Raises:
        DatabaseError: There is no mongod that works, it does not start, or no server answers.
    """
    named = os.environ.get(URI_SETTING)
    if named and _OURS not in os.environ:
        handle = DatabaseHandle(reachable(named))
        with fiftyone_uses({URI_SETTING: handle.uri}):
            yield handle
        return
    home = _Home((workspace / "fiftyone").resolve())
    with _present(home):
        handle = _running(home)
        with fiftyone_uses({URI_SETTING: handle.uri, _OURS: str(home.folder)}):
            yield handle
    _await_stop(home)


@contextmanager
def _present(home: _Home) -> Iterator[None]:
    """Be one of the database's users: it is kept running until the last one is gone.

    Raises:
        DatabaseError: The folder cannot be written, or the last mongod does not end.
    """
    try:
        home.folder.mkdir(parents=True, exist_ok=True)
        home.folder.chmod(0o700)
        handle = os.open(home.users, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DatabaseError(f"{home.folder}: cannot be written: {error}") from None
    try:
        if not _locked(handle, fcntl.LOCK_SH, _LEAVE_SECONDS):
            raise DatabaseError(
                f"{home.folder}: a mongod there has been stopping for {_LEAVE_SECONDS:.0f} s; wait "
                f"for it and try again (its log: {home.log})"
            )
        yield
    finally:
        os.close(handle)


def _locked(handle: int, kind: int, seconds: float) -> bool:
    limit = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= limit:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _running(home: _Home) -> DatabaseHandle:
    """Find the workspace's mongod, or start it; only one process at a time may try.

    Raises:
        DatabaseError: It cannot be found, started or reached.
    """
    try:
        with FileLock(home.folder / "start.lock", timeout=_START_SECONDS):
            password = _password(home)
            found = _recorded(home, password)
            return found or _started(home, password)
    except Timeout:
        message = f"{home.folder}: another process has been starting mongod there for too long"
        raise DatabaseError(f"{message}; see {home.log}") from None


def _password(home: _Home) -> str:
    path = home.folder / "password"
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    return path.read_text()


def _uri(port: int, password: str) -> str:
    return (
        f"mongodb://{_USER}:{quote_plus(password)}@127.0.0.1:{port}/?authSource=admin"
        f"&serverSelectionTimeoutMS={SELECTION_MS}&connectTimeoutMS={SELECTION_MS}"
        f"&socketTimeoutMS={_SOCKET_MS}&journal=true&uuidRepresentation=pythonLegacy"
    )


def _recorded(home: _Home, password: str) -> DatabaseHandle | None:
    """Give the mongod that another process started, if it still runs and is ours."""
    try:
        state = json.loads(home.state.read_text())
        pid, port, keeper = int(state["pid"]), int(state["port"]), int(state["keeper"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not _alive(pid) or not _alive(keeper):
        home.state.unlink(missing_ok=True)
        return None
    handle = DatabaseHandle(_uri(port, password), home.folder, pid)
    _assert_ours(home, handle)
    return handle


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(home: _Home, password: str) -> DatabaseHandle:
    mongod = find_mongod()
    for _ in range(_ATTEMPTS):
        port = _free_port()
        keeper = _start(home, mongod, port)
        if _await_start(home, keeper, port):
            handle = DatabaseHandle(_uri(port, password), home.folder, _state(home).get("pid"))
            _create_user(home, port, password)
            _assert_ours(home, handle)
            return handle
        if "Address already in use" not in _last_words(home):
            break
    raise DatabaseError(f"{mongod}: does not start on {home.data}: {_cause(home)}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(home: _Home, mongod: Path, port: int) -> subprocess.Popen[bytes]:
    home.data.mkdir(exist_ok=True)
    options: Mapping[str, object] = {
        "--dbpath": home.data,
        "--port": port,
        "--bind_ip": "127.0.0.1",
        "--wiredTigerCacheSizeGB": 1,
    }
    command = [str(mongod), "--auth", "--nounixsocket"]
    command += [str(word) for option in options.items() for word in option]
    places = [str(path) for path in (home.users, home.state, home.log)]
    module = [sys.executable, "-m", "pipeline.review.keeper"]
    # A session of its own: Ctrl-C ends the command, and the keeper then ends mongod in order.
    keeper = subprocess.Popen(  # noqa: S603  our own module
        [*module, *places, str(port), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=Path(__file__).parents[2],
    )
    _keepers.append(keeper)
    return keeper


def _await_start(home: _Home, keeper: subprocess.Popen[bytes], port: int) -> bool:
    limit = time.monotonic() + _START_SECONDS
    while time.monotonic() < limit and keeper.poll() is None:
        if _state(home).get("port") == port:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                return True
        time.sleep(_POLL_SECONDS)
    return False


def _state(home: _Home) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads(home.state.read_text())
    except (OSError, ValueError):
        return {}
    return state


def _create_user(home: _Home, port: int, password: str) -> None:
    """Make the one user; a fresh mongod lets a client on this machine do that, once.

    Raises:
        DatabaseError: mongod does not answer.
    """
    with _client(f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
        try:
            client.admin.command("createUser", _USER, pwd=password, roles=["root"])
        except OperationFailure:
            return  # it is there already; whether the password fits is seen next
        except PyMongoError as error:
            raise DatabaseError(f"{home.data}: mongod does not answer: {error}") from None


def _client(uri: str) -> MongoClient[Any]:
    # A mongod that has just started on a busy machine needs longer than one that has been up.
    return MongoClient(uri, serverSelectionTimeoutMS=10_000)


def _assert_ours(home: _Home, handle: DatabaseHandle) -> None:
    """Make sure that the server holds this workspace's files, before anything is written.

    Raises:
        DatabaseError: It holds others, or does not let us in.
    """
    try:
        with _client(handle.uri) as client:
            options = client.admin.command("getCmdLineOpts")
    except OperationFailure as error:
        if error.code != _AUTHENTICATION_FAILED:
            raise DatabaseError(f"{home.folder}: {error}") from None
        raise DatabaseError(
            f"{home.folder}/password is not this database's. Put the old file back; or delete "
            f"{home.folder} and publish again: pulled reviews are kept, those since the last pull "
            "would be lost"
        ) from None
    except PyMongoError as error:
        raise DatabaseError(f"{home.folder}: mongod does not answer: {error}") from None
    path = Path(options["parsed"].get("storage", {}).get("dbPath", ""))
    if path.resolve() != home.data.resolve():
        raise DatabaseError(
            f"expected a mongod that holds {home.data}, got one that holds {path}; delete "
            f"{home.state} and try again"
        )


def _cause(home: _Home) -> str:
    words = _last_words(home)
    known = {
        "Unable to lock the lock file": "another mongod holds these files; end it first",
        "IncompatibleFeatureCompatibilityVersion": "its files were written by another version",
        "UPGRADE PROBLEM": "its files were written by another version of mongod",
        "No space left": "the disk is full",
    }
    for sign, cause in known.items():
        if sign in words:
            return f"{cause} (log: {home.log})"
    return f"see {home.log}, which ends: {words[-400:].strip()}"


def _last_words(home: _Home) -> str:
    try:
        return home.log.read_text(errors="replace")[-20_000:]
    except OSError:
        return ""


def _await_stop(home: _Home) -> None:
    """Wait for our mongod to end, unless somebody else uses it."""
    handle = os.open(home.users, os.O_RDWR)
    try:
        # Nobody gets a shared lock while a keeper is stopping mongod; others' do not hinder it.
        time.sleep(_POLL_SECONDS)
        if not _locked(handle, fcntl.LOCK_SH, 0):
            _locked(handle, fcntl.LOCK_SH, _LEAVE_SECONDS)
    finally:
        os.close(handle)
    _keepers[:] = [keeper for keeper in _keepers if keeper.poll() is None]
