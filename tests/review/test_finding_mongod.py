"""Which mongod is taken, and what a person is told when none works."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import DatabaseError
from pipeline.review import mongod
from pipeline.review.database import open_database


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_setting_comes_first(tmp_path: Path) -> None:
    fake = script(tmp_path / "mongod", "echo db version v7.0.0")
    assert mongod.find_mongod({"AUTOLABEL_MONGOD": str(fake), "PATH": ""}) == fake


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "echo 'mongod: error while loading shared libraries: libcrypto.so.1.1' >&2; exit 127",
            r"exit 127: .*libcrypto\.so\.1\.1",
        ),
        ("kill -ILL $$", "AVX"),
        ("echo something else", "exit 0: something else"),
        ("exit 3", "exit 3: no message"),
    ],
)
def test_a_broken_one_says_why_and_how_to_mend_it(tmp_path: Path, text: str, told: str) -> None:
    fake = script(tmp_path / "mongod", text)
    with pytest.raises(DatabaseError, match=told) as error:
        mongod.find_mongod({"AUTOLABEL_MONGOD": str(fake)})
    assert "autolabel-pipeline[mongod]" in str(error.value)
    assert "FIFTYONE_DATABASE_URI" in str(error.value)


def test_one_that_does_not_answer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongod, "_PROBE_SECONDS", 0.2)
    fake = script(tmp_path / "mongod", "exec sleep 30")
    with pytest.raises(DatabaseError, match=r"did not answer --version within 0\.2 s"):
        mongod.find_mongod({"AUTOLABEL_MONGOD": str(fake)})


def test_a_missing_one_names_every_place_and_the_failed_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = tmp_path / "fiftyone" / "db" / "bin" / "mongod"
    bundled.parent.mkdir(parents=True)
    (bundled.parent / "exception.txt").write_text("Traceback\nURLError: no route to host\n")
    places = [
        mongod.Candidate("FiftyOne's own", bundled),
        mongod.Candidate("PATH", tmp_path / "no"),
    ]
    monkeypatch.setattr(mongod, "_candidates", lambda _env: iter(places))
    with pytest.raises(DatabaseError) as error:
        mongod.find_mongod({})
    assert "URLError: no route to host" in str(error.value)
    assert f"PATH: {tmp_path / 'no'}: not there" in str(error.value)


def test_what_cannot_be_run_is_said(tmp_path: Path) -> None:
    plain = tmp_path / "mongod"
    plain.write_text("text")
    with pytest.raises(DatabaseError, match="cannot be run: Permission denied"):
        mongod.find_mongod({"AUTOLABEL_MONGOD": str(plain)})


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("mongodb://me:secret@127.0.0.1:9/", "no database answered: 127.0.0.1:9: Connection"),
        ("http://127.0.0.1", "not an address"),
    ],
)
def test_a_dead_address_is_told_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, told: str
) -> None:
    monkeypatch.setattr("pipeline.review.address.SELECTION_MS", 200)
    monkeypatch.delenv("AUTOLABEL_DATABASE_FOLDER", raising=False)
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", uri)
    with pytest.raises(DatabaseError, match=told) as error, open_database(tmp_path):
        raise AssertionError("opened")
    assert "secret" not in str(error.value)
    assert "unset FIFTYONE_DATABASE_URI" in str(error.value)


def test_a_missing_mongod_ends_open_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    monkeypatch.setenv("AUTOLABEL_MONGOD", str(tmp_path / "nowhere"))
    with pytest.raises(DatabaseError, match="no mongod works here"), open_database(tmp_path):
        raise AssertionError("opened")
