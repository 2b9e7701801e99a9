"""The lock file pins everything, and the models that come with the packages are as it says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pipeline.config import ModelsConfig
from pipeline.weights import embedded as embedded_module
from pipeline.weights import entries, entry_named, verify

WEIGHTS = bytes(range(256)) * 4
SHA = hashlib.sha256(WEIGHTS).hexdigest()


def test_every_pin_of_the_lock_is_whole() -> None:
    names = [entry.name for entry in entries()]
    assert len(set(names)) == len(names)
    for entry in entries():
        assert entry.files, entry.name
        for file in entry.files:
            assert file.size, (entry.name, file.path)
            assert len(bytes.fromhex(file.sha256 or "")) == 32, (entry.name, file.path)
            assert entry.place != "store" or file.content or (file.url or "").startswith("https://")
            assert Path(file.path).name == file.path


def test_written_content_is_what_its_pin_says() -> None:
    written = [f for entry in entries() for f in entry.files if f.content is not None]
    assert written
    for file in written:
        content = (file.content or "").encode()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)


@pytest.mark.parametrize("name", [e.name for e in entries() if e.place != "store"])
def test_what_comes_with_the_packages_is_what_the_lock_says(name: str) -> None:
    entry = entry_named(name)
    assert entry is not None
    assert verify(entry, ModelsConfig()) == [], "run `python -m pipeline.weights lock-embedded`"


def test_lock_embedded_writes_digests_and_the_models_own_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sam"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    (folder / "sam_config.json").write_text('{"automatic": {"points_per_side": 7}}')
    (folder / "notes.md").write_text("no weights")
    lock = tmp_path / "models.lock"
    model = {"name": "m", "place": "embedded", "folder": "sam", "files": []}
    other = {"name": "n", "place": "store", "files": []}
    lock.write_text(json.dumps({"models": [model, other]}))
    monkeypatch.setattr(embedded_module, "embedded_folder", lambda: tmp_path)
    assert len(embedded_module.lock_embedded(lock)) == 2
    first, second = json.loads(lock.read_text())["models"]
    assert first["files"][0] == {"path": "model.safetensors", "size": len(WEIGHTS), "sha256": SHA}
    assert first["defaults"] == {"points_per_side": 7}
    assert second == other
