"""The address of the database: a user's is tried before it is trusted, and fiftyone is told."""

from __future__ import annotations

import logging
import os
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
        with MongoClient[Any](uri, serverSelectionTimeoutMS=SELECTION_MS) as client:
            client.admin.command("ping")
    except (InvalidURI, ConfigurationError) as error:
        raise DatabaseError(f"{URI_SETTING}={shown}: not an address: {error}. {mend}") from None
    except PyMongoError as error:
        seconds = SELECTION_MS / 1000
        raise DatabaseError(
            f"{URI_SETTING}={shown}: no database answered within {seconds} s: "
            f"{str(error)[:300]}. {mend}"
        ) from None
    if "serverselectiontimeoutms" in uri.lower():
        return uri
    path = uri.split("://", 1)[1]
    separator = "&" if "?" in path else "?" if "/" in path else "/?"
    return f"{uri}{separator}serverSelectionTimeoutMS={SELECTION_MS}"


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
