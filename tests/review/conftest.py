"""One mongod and one import of fiftyone for all tests here; a workspace for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import DatabaseError
from pipeline.review.database import DatabaseHandle, open_database
from pipeline.review.mongod import find_mongod


@pytest.fixture(scope="session")
def mongod() -> Path:
    """A mongod that works."""
    try:
        return find_mongod()
    except DatabaseError as error:
        pytest.skip(f"no mongod: {str(error).splitlines()[0]}")


@pytest.fixture(scope="session")
def server(mongod: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseHandle]:
    # A database that stays open for the session.
    assert "FIFTYONE_DATABASE_URI" not in os.environ, "tests never touch a database of yours"
    with open_database(tmp_path_factory.mktemp("server")) as handle:
        yield handle


@pytest.fixture
def fo(server: DatabaseHandle, monkeypatch: pytest.MonkeyPatch) -> Any:
    """FiftyOne on that database, as a user's own server: all workspaces share it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its many dependencies, at import
        import fiftyone

    from pymongo import MongoClient

    monkeypatch.delenv("AUTOLABEL_DATABASE_FOLDER", raising=False)
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", server.uri)
    with MongoClient[Any](server.uri) as client:
        path = client.admin.command("getCmdLineOpts")["parsed"]["storage"]["dbPath"]
    assert server.folder is not None
    assert Path(path).is_relative_to(server.folder)
    return fiftyone
