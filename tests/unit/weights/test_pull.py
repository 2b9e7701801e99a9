"""What is fetched gets its name only when it is what was pinned."""

from __future__ import annotations

import hashlib
import io
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.error import HTTPError

import pytest

from pipeline.config import ModelsConfig
from pipeline.errors import WeightsError
from pipeline.weights import entries, pull
from pipeline.weights.pull import Reply, _https, _open

WEIGHTS = bytes(range(256)) * 4
SHA = hashlib.sha256(WEIGHTS).hexdigest()
URL = "https://models.invalid/toy.bin"


class Server:
    """Stands in for a model hub."""

    def __init__(
        self, content: bytes, *, resumes: bool = True, breaks_at: int | None = None
    ) -> None:
        self.content, self.resumes, self.breaks_at = content, resumes, breaks_at
        self.asked: list[tuple[str, int]] = []

    @contextmanager
    def __call__(self, url: str, start: int) -> Iterator[Reply]:
        self.asked.append((url, start))
        start = start if self.resumes else 0
        yield Reply(io.BytesIO(self.content[start : self.breaks_at]), start, len(self.content))


def test_pull_brings_files_and_tells_of_it(toy: Any) -> None:
    told: list[tuple[str, int, int | None]] = []
    found = pull(toy.entry, toy.config, lambda *step: told.append(step), fetch=Server(WEIGHTS))
    assert found.files[0].path.read_bytes() == WEIGHTS
    assert told[-1] == ("toy.bin", len(WEIGHTS), len(WEIGHTS))
    assert [path.name for path in toy.target.parent.iterdir()] == ["toy.bin"]


def test_pull_keeps_what_is_right(toy: Any) -> None:
    toy.put()
    server = Server(b"")
    assert pull(toy.entry, toy.config, fetch=server).files[0].sha256 == SHA
    assert server.asked == []


def test_pull_replaces_what_is_wrong(toy: Any) -> None:
    toy.put(WEIGHTS[::-1])
    assert pull(toy.entry, toy.config, fetch=Server(WEIGHTS)).files[0].sha256 == SHA


@pytest.mark.parametrize("resumes", [True, False])
def test_pull_goes_on_where_it_stopped(toy: Any, resumes: bool) -> None:
    with pytest.raises(WeightsError, match="100 of 1,024 bytes"):
        pull(toy.entry, toy.config, fetch=Server(WEIGHTS, breaks_at=100))
    assert not toy.target.exists()
    server = Server(WEIGHTS, resumes=resumes)
    assert pull(toy.entry, toy.config, fetch=server).files[0].sha256 == SHA
    assert server.asked == [(URL, 100)]


@pytest.mark.parametrize("content", [WEIGHTS[::-1], WEIGHTS + b"more", WEIGHTS[:-1], b""])
def test_wrong_bytes_never_get_their_name(toy: Any, content: bytes) -> None:
    with pytest.raises(WeightsError) as caught:
        pull(toy.entry, toy.config, fetch=Server(content))
    assert SHA in str(caught.value)
    assert list(toy.target.parent.iterdir()) == []


def _archive(name: str, content: bytes = WEIGHTS) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


@pytest.fixture
def zipped(toy: Any) -> Any:
    file = {"path": "toy.bin", "size": len(WEIGHTS), "sha256": SHA, "url": URL}
    toy.write({**file, "member": "inner.bin"})
    return toy


def test_pull_takes_one_member_of_an_archive(zipped: Any) -> None:
    found = pull(zipped.entry, zipped.config, fetch=Server(_archive("inner.bin")))
    assert found.files[0].path.read_bytes() == WEIGHTS
    assert len(list(zipped.target.parent.iterdir())) == 1


@pytest.mark.parametrize(
    "content", [b"no archive", _archive("other.bin"), _archive("inner.bin", bytes(10**6))]
)
def test_a_wrong_archive_is_explained_and_deleted(zipped: Any, content: bytes) -> None:
    with pytest.raises(WeightsError, match="deleted"):
        pull(zipped.entry, zipped.config, fetch=Server(content))
    assert list(zipped.target.parent.iterdir()) == []


def test_pull_writes_content_without_asking_anyone(toy: Any) -> None:
    text = WEIGHTS[:128].decode()
    digest = hashlib.sha256(text.encode()).hexdigest()
    toy.write({"path": "c.json", "size": 128, "sha256": digest, "content": text})
    server = Server(b"")
    assert pull(toy.entry, toy.config, fetch=server).files[0].sha256 == digest
    assert server.asked == []


def test_a_file_without_pin_is_trusted_once(toy: Any) -> None:
    toy.write({"path": "toy.bin", "url": URL})
    toy.put()
    assert "no pinned digest" in toy.problem()
    pull(toy.entry, toy.config, fetch=Server(WEIGHTS))
    assert toy.find().files[0].sha256 == SHA
    toy.put(WEIGHTS[::-1])
    assert SHA in toy.problem()


def test_a_broken_record_of_pins_is_explained(toy: Any) -> None:
    toy.write({"path": "toy.bin", "url": URL})
    toy.put()
    (toy.target.parent / "pins.json").write_text("{}")
    assert "no record of digests" in toy.problem()


def test_no_room_is_said_before_the_download(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 1000

    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Full)
    with pytest.raises(WeightsError, match="1,000 are free"):
        pull(toy.entry, toy.config, fetch=Server(WEIGHTS))


def test_a_network_that_is_not_there_is_explained(toy: Any) -> None:
    @contextmanager
    def unplugged(url: str, start: int) -> Iterator[Reply]:
        raise OSError("Name or service not known")
        yield

    with pytest.raises(WeightsError, match="Name or service not known") as caught:
        pull(toy.entry, toy.config, fetch=unplugged)
    assert URL in str(caught.value)
    assert str(toy.target.parent) in str(caught.value)


def test_models_inside_packages_need_no_pull(no_socket: None) -> None:
    entry = next(e for e in entries() if e.place == "wheel")
    assert pull(entry, ModelsConfig()).name == entry.name


def test_only_https_is_fetched(no_socket: None) -> None:
    with pytest.raises(OSError, match="only https"), _https("http://models.invalid/x", 0):
        pass


# The real downloader, against a server on this machine


class _Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        status = 416 if start >= len(WEIGHTS) else 206 if start else 200
        body = b"" if status == 416 else WEIGHTS[start:]
        self.send_response(404 if self.path == "/none" else status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        pass


@pytest.fixture
def hub() -> Iterator[Callable[[str], str]]:
    with HTTPServer(("127.0.0.1", 0), _Hub) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield lambda path: f"http://127.0.0.1:{server.server_port}{path}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("start", "status"), [(0, 200), (1000, 206), (1024, 200)])
def test_downloads_resume_or_begin_again(
    hub: Callable[[str], str], start: int, status: int
) -> None:
    with _open(hub("/toy.bin"), start) as response:
        assert response.status == status
        assert response.read() == (WEIGHTS[start:] or WEIGHTS)


def test_a_file_that_is_not_there_is_an_error(hub: Callable[[str], str]) -> None:
    with pytest.raises(HTTPError, match="404") as caught:
        _open(hub("/none"), 0)
    caught.value.close()
