"""The address of the database: a user's is tried before it is trusted, and fiftyone is told."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pymongo import MongoClient
from pymongo.errors import ConfigurationError, InvalidURI, PyMongoError

from pipeline.errors import DatabaseError

URI_SETTING: Final = "FIFTYONE_DATABASE_URI"
SELECTION_MS: Final = 2500
"""How long a client looks for a server before it gives up; a mongod on this machine answers in
milliseconds or is gone."""

_odm_log: Final = logging.getLogger("fiftyone.core.odm.database")


def reachable(uri: str) -> str:
    """Check a server that the user named; gives its address with a time limit in it.

    Raises:
        DatabaseError: It is no address, or nobody answers there.
    """
    shown = uri.rsplit("@", 1)[-1]
    mend = f"Correct or unset {URI_SETTING}: without it the workspace gets a mongod of its own."
    try:
        with MongoClient[Any](uri, serverSelectionTimeoutMS=SELECTION_MS, connect=False) as client:
            _knock(client)
            client.admin.command("ping")
    except (InvalidURI, ConfigurationError) as error:
        raise DatabaseError(f"{URI_SETTING}={shown}: not an address: {error}. {mend}") from None
    except (PyMongoError, ConnectionRefusedError) as error:
        why = str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0]
        raise DatabaseError(
            f"{URI_SETTING}={shown}: no database answered: {why[:300]}. {mend}"
        ) from None
    if "serverselectiontimeoutms" in uri.lower():
        return uri
    path = uri.split("://", 1)[1]
    separator = "&" if "?" in path else "?" if "/" in path else "/?"
    return f"{uri}{separator}serverSelectionTimeoutMS={SELECTION_MS}"


def _knock(client: MongoClient[Any]) -> None:
    """Find out at once that nobody listens; the driver would go on trying until its time is up.

    Raises:
        ConnectionRefusedError: All named hosts refuse.
    """
    refused = None
    for host, port in client.topology_description.server_descriptions():
        try:
            socket.create_connection((host, port), timeout=1).close()
        except ConnectionRefusedError as error:
            refused = ConnectionRefusedError(f"{host}:{port}: {error.strerror}")
        except OSError:
            return  # a socket file, a slow network: for the driver to find out
        else:
            return
    if refused is not None:
        raise refused


@contextmanager
def fiftyone_uses(address: Mapping[str, str]) -> Iterator[None]:
    """Tell fiftyone, imported or not yet, and the processes it starts.

    Args:
        address: The setting, and what goes with it.

    Yields:
        Nothing.
    """
    told = {**address, "FIFTYONE_DO_NOT_TRACK": "1"}
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    _odm_log.addFilter(_is_news)
    _reconnect(address[URI_SETTING])
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _reconnect(before[URI_SETTING])


def _is_news(record: logging.LogRecord) -> bool:
    return "oldest supported major version" not in record.getMessage()


def _reconnect(uri: str | None) -> None:
    if "fiftyone" not in sys.modules:
        return
    import fiftyone as fo
    from fiftyone.core.odm import database

    if fo.config.database_uri == uri:
        return  # datasets that are in use keep their connection
    # A process may open one workspace after another, and fiftyone keeps its first connection.
    fo.config.database_uri = uri
    database._disconnect()  # noqa: SLF001
    # Operators' results and panels' states have a connection of their own, kept elsewhere.
    if (factory := sys.modules.get("fiftyone.factory.repo_factory")) is not None:
        factory._db = None  # type: ignore[attr-defined]  # noqa: SLF001
        factory.RepositoryFactory.repos.clear()
