"""Weights are the ones that were pinned, or the message says what to do; hashing is remembered."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ModelsConfig
from pipeline.errors import WeightsError
from pipeline.weights import digests as digests_module
from pipeline.weights import entries, is_directory, locate, models_directory, verify

HERE = Path(__file__).parent
WEIGHTS = bytes(range(256)) * 4
SHA = hashlib.sha256(WEIGHTS).hexdigest()


def test_the_run_file_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOLABEL_MODELS_DIR", raising=False)
    assert models_directory(ModelsConfig()) == Path.home() / ".cache" / "autolabel" / "models"
    monkeypatch.setenv("AUTOLABEL_MODELS_DIR", "/from/environment")
    assert models_directory(ModelsConfig()) == Path("/from/environment")
    assert models_directory(ModelsConfig(directory=Path("/own"))) == Path("/own")


def test_right_files_are_found(toy: Any, no_socket: None) -> None:
    toy.put()
    found = toy.find()
    assert [(f.path, f.sha256, f.size) for f in found.files] == [(toy.target, SHA, len(WEIGHTS))]
    assert (found.kind, found.licence, found.defaults) == ("open_clip", "MIT", {"batch_size": 3})
    assert len(bytes.fromhex(found.digest)) == 32


def test_the_digest_depends_on_names_and_bytes_only(toy: Any, tmp_path: Path) -> None:
    toy.put()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "toy.bin").write_bytes(WEIGHTS)
    (tmp_path / "b" / "toy.bin").rename(tmp_path / "b" / "other.bin")
    (tmp_path / "a" / "README.md").write_text("no weights")
    of_a, of_b = (locate(f"./{n}", toy.config, tmp_path).digest for n in "ab")
    assert of_a == toy.find().digest != of_b


def test_missing_file_is_explained(toy: Any, no_socket: None) -> None:
    text = toy.problem()
    for part in (str(toy.target), "missing", SHA, "1,024", str(toy.target.parent)):
        assert part in text
    assert "autolabel models pull toy/v1" in text
    assert "tiny-synthetic" in text


def test_truncated_file_is_explained(toy: Any) -> None:
    toy.put(WEIGHTS[:-1])
    assert "1,023 bytes" in toy.problem()
    assert SHA in toy.problem()


@pytest.mark.parametrize("at", [0, 511, 1023])
def test_one_flipped_bit_is_explained(toy: Any, at: int) -> None:
    flipped = bytearray(WEIGHTS)
    flipped[at] ^= 1
    toy.put(bytes(flipped))
    text = toy.problem()
    assert SHA in text
    assert hashlib.sha256(flipped).hexdigest() in text
    assert verify(toy.entry, toy.config)


def test_a_model_without_files_is_no_model(toy: Any) -> None:
    toy.write()
    assert "names no file" in toy.problem()


def test_all_wrong_files_are_named_at_once(toy: Any) -> None:
    toy.write(*({"path": name, "size": 1, "sha256": "0" * 64} for name in ("a.bin", "b.bin")))
    assert "a.bin" in toy.problem()
    assert "b.bin" in toy.problem()


@pytest.mark.parametrize("name", ["toy/v2", "toy/../toy/v1", "..", "no-such-model"])
def test_unknown_names_are_explained(toy: Any, name: str) -> None:
    toy.put()
    with pytest.raises(WeightsError, match="no model") as caught:
        locate(name, toy.config, HERE)
    assert "toy/v1" in str(caught.value)


def test_a_slip_of_the_finger_is_recognised() -> None:
    with pytest.raises(WeightsError, match="Did you mean 'tiny-synthetic-clip'"):
        locate("tiny-sythetic-clip", ModelsConfig(), HERE)


def test_a_wheel_that_is_not_installed_is_explained(toy: Any) -> None:
    model = json.loads(toy.lock.read_text())["models"][0]
    model |= {"place": "wheel", "folder": "no_such_package_x/models"}
    toy.lock.write_text(json.dumps({"models": [model]}))
    entries.cache_clear()
    assert "pip install no_such_package_x" in toy.problem()


@pytest.mark.parametrize("name", ["./here", "../here", "/here", "~/here"])
def test_paths_are_directories(name: str) -> None:
    assert is_directory(name)


@pytest.mark.parametrize("name", ["toy", "ViT-B-32/openai", ".hidden"])
def test_names_are_no_directories(name: str) -> None:
    assert not is_directory(name)


def test_a_directory_is_relative_to_the_run_file(toy: Any, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "model.safetensors").write_bytes(WEIGHTS)
    (tmp_path / "own" / "metrics.json").write_text("{}")
    found = locate("./own", toy.config, tmp_path)
    assert [f.path for f in found.files] == [tmp_path / "own" / "model.safetensors"]
    assert (found.kind, found.licence) == (None, "unknown")


@pytest.mark.parametrize("name", ["./absent", "./empty"])
def test_a_directory_without_weights_is_explained(toy: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=str(tmp_path)):
        locate(name, toy.config, tmp_path)


@pytest.fixture
def hashed(toy: Any, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were really hashed, with the cache on for small and new files too."""
    seen: list[Path] = []
    plain = digests_module.sha256_of

    def spy(path: Path) -> str:
        seen.append(path)
        return plain(path)

    monkeypatch.setattr(digests_module, "REMEMBER_FROM", 0)
    monkeypatch.setattr(digests_module, "SETTLED_NS", 0)
    monkeypatch.setattr(digests_module, "sha256_of", spy)
    return seen


def test_a_file_is_hashed_once(toy: Any, hashed: list[Path]) -> None:
    toy.put()
    toy.find()
    toy.find()
    assert len(hashed) == 1


def test_a_change_is_seen_though_size_and_time_are_forged(toy: Any, hashed: list[Path]) -> None:
    before = toy.put().stat()
    toy.find()
    toy.put(WEIGHTS[::-1])
    os.utime(toy.target, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert SHA in toy.problem()
    assert len(hashed) == 2


def test_verify_hashes_again_whatever_is_remembered(
    toy: Any, hashed: list[Path], tmp_path: Path
) -> None:
    toy.put()
    toy.find()
    cache = tmp_path / "cache" / "autolabel" / "digests.json"
    toy.put(WEIGHTS[::-1])
    stamp = digests_module._stamp(toy.target)
    cache.write_text(json.dumps({str(toy.target): [*stamp, SHA]}))
    assert verify(toy.entry, toy.config)


@pytest.mark.parametrize("content", ["", "[]", "{not json", '{"other": 1}'])
def test_a_broken_cache_costs_time_only(
    toy: Any, hashed: list[Path], tmp_path: Path, content: str
) -> None:
    cache = tmp_path / "cache" / "autolabel" / "digests.json"
    cache.parent.mkdir(parents=True)
    cache.write_text(content)
    toy.put()
    assert toy.find().files[0].sha256 == SHA


def test_a_file_that_just_changed_is_not_remembered(
    toy: Any, hashed: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests_module, "SETTLED_NS", 10**18)
    toy.put()
    toy.find()
    toy.find()
    assert len(hashed) == 2
