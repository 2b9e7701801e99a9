"""What stands between the App's server and whoever can reach its port.

FiftyOne's server has no login, answers any host name, and serves any file its user can read. The
guard lets through what the App needs and nothing else:

* requests whose ``Host`` is one the server was opened for: a page that points its own name at this
  machine (DNS rebinding) gets 403;
* requests from the App's own pages: another site's form or script gets 403, so no operator runs
  because of a page that happens to be open elsewhere;
* media below the folders given: other files are 404, whether they exist or not;
* pages that may not load or send anything anywhere else: the App's fonts from a foreign server are
  not even asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qs, urlsplit

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Asgi: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

POLICY: Final = (
    "default-src 'self' data: blob:; "
    "script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; "
    "worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""The App's bundle uses inline scripts and eval, so these stay; its way out does not."""

_HEADERS: Final = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_FILE_QUERIES: Final = frozenset({"/media"})


@dataclass(frozen=True, slots=True)
class Guard:
    """An ASGI application around the App's server.

    Attributes:
        inner: The App's server.
        hosts: Names and addresses it may be asked by, without port; empty for any.
        folders: Resolved folders whose files may be shown.
    """

    inner: Asgi
    hosts: frozenset[str]
    folders: tuple[Path, ...]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self.inner(scope, receive, send)
            return
        fault = self._fault(scope)
        if fault is None:
            await self.inner(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _refuse(send, *fault)

    def _fault(self, scope: Message) -> tuple[int, str] | None:
        headers = {name.lower(): value for name, value in scope["headers"]}
        host = _host(headers.get(b"host", b"").decode("latin-1"))
        if self.hosts and host not in self.hosts:
            return 403, f"this server does not answer to {host!r}; open the address it printed"
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).hostname != host:
            return 403, "requests from other sites are refused"
        if scope["path"] in _FILE_QUERIES and not self._may_show(scope["query_string"]):
            return 404, "Not found"
        return None

    def _may_show(self, query: bytes) -> bool:
        asked = parse_qs(query.decode("latin-1")).get("filepath", [])
        return all(self._inside(path) for path in asked)

    def _inside(self, path: str) -> bool:
        try:
            real = Path(path).resolve()
        except (OSError, ValueError):
            return False
        return any(real.is_relative_to(folder) for folder in self.folders)


def folders_of(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Resolve folders, as links in them are resolved before a file is compared."""
    return tuple(path.resolve() for path in paths)


def _host(value: str) -> str:
    return urlsplit(f"//{value}").hostname or ""


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        """Pass a message on; where an answer starts, with our headers."""
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
        await send(message)

    return sending


async def _refuse(send: Send, status: int, why: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": why.encode()})
