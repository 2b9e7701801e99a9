"""A review session: publish, open the App, and take the decisions in when it is left."""

from __future__ import annotations

import ipaddress
import os
import sys
import tempfile
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.app import SILENT, Listener
from pipeline.errors import ConfigError
from pipeline.review.database import open_database
from pipeline.review.publish import PublishReport, publish
from pipeline.review.pull import PullReport, pull
from pipeline.review.server import listen, serve
from pipeline.runfile import RunFile

PORT: Final = 5151
_PLUGIN: Final = Path(__file__).parent / "plugin"


@dataclass(frozen=True, slots=True)
class Door:
    """How the App is opened.

    Attributes:
        address: Address to listen on.
        port: Port to listen on; 0 for a free one.
        browser: Whether to open a browser window, where there is a screen.
        any_address: Whether an address that other machines can reach is meant.
    """

    address: str = "127.0.0.1"
    port: int = PORT
    browser: bool = True
    any_address: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """The App answers.

    Attributes:
        url: Where.
        port: The port in it.
        published: What was published before.
    """

    url: str
    port: int
    published: PublishReport


def review(
    run: RunFile,
    door: Door,
    opened: Callable[[Opened], None],
    listener: Listener = SILENT,
) -> PullReport:
    """Publish the latest run and serve the App until Ctrl-C; then pull.

    Args:
        run: The run file.
        door: Where to listen.
        opened: Called once, when the App answers.
        listener: Hears of the publish.

    Returns:
        What people did in the session.

    Raises:
        ConfigError: The address can be reached from elsewhere and nobody said that this is meant.
        AppError: The port or the address cannot be used.
        ReviewError: See ``publish`` and ``pull``.
        DatabaseError: See ``publish`` and ``pull``.
    """
    _check_address(door)
    with listen(door.address, door.port) as socket, open_database(run.config.workspace):
        port = int(socket.getsockname()[1])
        report = publish(run, listener)
        here = Opened(_url(door.address, port, report.dataset), port, report)

        def ready() -> None:
            """Tell the caller, and open a browser where there is a screen."""
            opened(here)
            if door.browser and _has_screen():
                webbrowser.open(here.url)

        with _plugins():
            serve(socket, door.address, run.config.images, ready)
        return pull(run)


def _check_address(door: Door) -> None:
    if door.any_address or _is_loopback(door.address):
        return
    raise ConfigError(
        f"--address {door.address}: other machines could reach the App there, which has no login: "
        "whoever opens it can see the images and change labels. Keep 127.0.0.1 and forward the "
        "port (ssh -L), or say --allow-any-address if that is what you want"
    )


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _url(address: str, port: int, dataset: str) -> str:
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104
    host = f"[{named}]" if ":" in named else named
    return f"http://{host}:{port}/datasets/{dataset}"


def _has_screen() -> bool:
    """Tell whether a window can open; without one, a browser for terminals would take ours."""
    if sys.platform in {"darwin", "win32"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def _plugins() -> Iterator[None]:
    """Let FiftyOne see our plugin beside the user's own: a folder with links to all of them."""
    import fiftyone as fo

    users = fo.config.plugins_dir
    with tempfile.TemporaryDirectory(prefix="autolabel-plugins-") as name:
        folder = Path(name)
        (folder / "autolabel-review").symlink_to(_PLUGIN, target_is_directory=True)
        if users and Path(users).is_dir():
            for entry in sorted(Path(users).iterdir()):
                if not (folder / entry.name).exists():
                    (folder / entry.name).symlink_to(entry.resolve())
        fo.config.plugins_dir = str(folder)
        try:
            yield
        finally:
            fo.config.plugins_dir = users
