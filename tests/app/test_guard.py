"""The guard around the App's server, without server and browser."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.review.app import Door, _check_address, _url
from pipeline.review.guard import LOOPBACK, Guard, Message, Receive, Send, folders_of
from pipeline.review.server import AppError, listen


async def inner(scope: Message, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-app", b"yes")]})
    await send({"type": "http.response.body", "body": b"app"})


def ask(guard: Guard, path: str, query: str = "", kind: str = "http", **headers: str) -> Any:
    """First message of the answer."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nothing to receive")

    async def send(message: Message) -> None:
        sent.append(message)

    named = {"host": "127.0.0.1:5151", **headers}
    scope = {
        "type": kind,
        "path": path,
        "query_string": query.encode("latin-1"),
        "headers": [(k.encode(), v.encode("latin-1")) for k, v in named.items()],
    }
    asyncio.run(guard(scope, receive, send))
    return sent[0]


@pytest.fixture
def guard(tmp_path: Path) -> Guard:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"a")
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "secret")
    return Guard(inner, LOOPBACK, folders_of([tmp_path / "images"]))


def test_answers_carry_the_policy_beside_the_app_s_own_headers(guard: Guard) -> None:
    answer = ask(guard, "/")
    headers = dict(answer["headers"])
    assert answer["status"] == 200
    assert headers[b"x-app"] == b"yes"
    assert b"default-src 'self'" in headers[b"content-security-policy"]


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:5151", "LOCALHOST"])
def test_own_names_are_answered(guard: Guard, host: str) -> None:
    assert ask(guard, "/", host=host)["status"] == 200


@pytest.mark.parametrize(
    "host", ["", "example.com", "127.0.0.1.example.com", "localhost@example.com", "[::2]", "a b"]
)
def test_other_names_are_refused(guard: Guard, host: str) -> None:
    assert ask(guard, "/", host=host)["status"] == 403


@pytest.mark.parametrize("origin", ["http://example.com", "null", "", "http://127.0.0.2"])
def test_other_sites_are_refused(guard: Guard, origin: str) -> None:
    assert ask(guard, "/operators/execute", origin=origin)["status"] == 403
    assert ask(guard, "/events", kind="websocket", origin=origin)["type"] == "websocket.close"


def test_the_app_s_own_pages_are_answered(guard: Guard) -> None:
    assert ask(guard, "/", origin="http://127.0.0.1:5151")["status"] == 200


def test_any_name_is_answered_where_that_was_asked_for(guard: Guard) -> None:
    opened = Guard(inner, frozenset(), guard.folders)
    assert ask(opened, "/", host="box.example:5151")["status"] == 200
    refused = ask(opened, "/", host="box.example:5151", origin="http://other.example")
    assert refused["status"] == 403


def test_files_below_the_folders_are_shown(guard: Guard, tmp_path: Path) -> None:
    image = tmp_path / "images" / "a.png"
    assert ask(guard, "/media", urlencode({"filepath": image}))["status"] == 200


@pytest.mark.parametrize("path", ["secret", "images/../secret", "images/link.png", "images\0"])
def test_other_files_are_not(guard: Guard, tmp_path: Path, path: str) -> None:
    query = urlencode({"filepath": f"{tmp_path}/{path}"})
    assert ask(guard, "/media", query)["status"] == 404


@given(st.text(max_size=40))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_no_path_leads_out(path: str) -> None:
    guard = Guard(inner, LOOPBACK, folders_of([Path("/nowhere/at/all")]))
    query = urlencode({"filepath": path.encode("utf-8", "surrogatepass")})
    assert ask(guard, "/media", query)["status"] == 404 or not path


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.168.1.2", "box.example"])
def test_addresses_others_can_reach_need_a_word(address: str) -> None:
    with pytest.raises(ConfigError, match="--allow-any-address"):
        _check_address(Door(address))
    _check_address(Door(address, any_address=True))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.3.2.1", "localhost", "::1"])
def test_loopback_needs_none(address: str) -> None:
    _check_address(Door(address))


def test_a_taken_port_is_said_at_once() -> None:
    with (
        listen("127.0.0.1", 0) as first,
        pytest.raises(AppError, match="--port"),
    ):
        listen("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9/datasets/d"),
        ("0.0.0.0", "http://127.0.0.1:9/datasets/d"),
        ("::1", "http://[::1]:9/datasets/d"),
    ],
)
def test_the_printed_url_can_be_opened(address: str, url: str) -> None:
    assert _url(address, 9, "d") == url
