"""A lock file with one toy model, and a models directory, both in a temporary folder."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pipeline.config import ModelsConfig
from pipeline.errors import WeightsError
from pipeline.weights import LockEntry, entries, entry_named, locate
from pipeline.weights import lock as lock_module

HERE = Path(__file__).parent
WEIGHTS = bytes(range(256)) * 4
SHA = hashlib.sha256(WEIGHTS).hexdigest()
URL = "https://models.invalid/toy.bin"


class Toy:
    """A lock file with one model, and a models directory."""

    def __init__(self, folder: Path, **file: Any) -> None:
        self.config = ModelsConfig(directory=folder / "models")
        self.lock = folder / "models.lock"
        pinned = {"path": "toy.bin", "size": len(WEIGHTS), "sha256": SHA, "url": URL}
        self.write({**pinned, **file})
        self.target = folder / "models" / "toy/v1" / "toy.bin"

    def write(self, *files: dict[str, Any]) -> None:
        model = {
            "name": "toy/v1",
            "kind": "open_clip",
            "place": "store",
            "files": list(files),
            "licence": "MIT",
            "source": "nowhere",
            "defaults": {"batch_size": 3},
        }
        self.lock.write_text(json.dumps({"models": [model]}))
        entries.cache_clear()

    @property
    def entry(self) -> LockEntry:
        entry = entry_named("toy/v1")
        assert entry is not None
        return entry

    def put(self, content: bytes = WEIGHTS) -> Path:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        self.target.write_bytes(content)
        return self.target

    def find(self) -> Any:
        return locate("toy/v1", self.config, HERE)

    def problem(self) -> str:
        with pytest.raises(WeightsError) as caught:
            self.find()
        return str(caught.value)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(lock_module, "LOCK_PATH", tmp_path / "models.lock")
    yield Toy(tmp_path)
    entries.cache_clear()


@pytest.fixture
def no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> NoReturn:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
