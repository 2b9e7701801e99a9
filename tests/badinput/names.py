"""Rows about names, and about what is found in a folder but is no file."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from drawn import encoded, scene

from badinput.case import Case, row, write
from pipeline.pixels import Note
from pipeline.reasons import Reason

ODD_NAMES: Sequence[str] = (
    "no extension",
    ".hidden",
    ".hidden.png",
    "..png",
    "trailing.png ",
    "line\nbreak.png",
    "tab\tand\\backslash.png",
    "日本語.png",
    "😀.png",
    "عربي.png",
    "caf\u00e9.png",
    "cafe\u0301.png",
    "UPPER.png",
    "upper.png",
    "quote'\"$(x);.png",
    "-rf.png",
    "%2e%2e.png",
    "n" * 250 + ".png",
)


@row
def odd_names(folder: Path) -> Iterator[Case]:
    like = scene()
    data = encoded(like, "PNG")
    for name in ODD_NAMES:
        notes = (Note.WRONG_EXTENSION.value,) if name.endswith(" ") else ()
        yield Case(write(folder, f"odd/{name}", data), None, notes, like)


@row
def names_not_utf8(folder: Path) -> Iterator[Case]:
    data = encoded(scene(), "PNG")
    for name in (b"latin/caf\xe9.png", b"latin/fol\xe9der/a.png", b"latin/half\xed\xa0\x80.png"):
        write(folder, os.fsdecode(name), data)
        yield Case(name.decode(errors="backslashreplace"), Reason.NAME_NOT_UTF8)


@row
def links(folder: Path) -> Iterator[Case]:
    # As they end with the default, which is not to follow them.
    (folder / "links/inner").mkdir(parents=True)
    write(folder, "links/inner/real.png", encoded(scene(), "PNG"))
    yield Case("links/inner/real.png", None, (), scene())
    targets = {
        "to_file.png": "inner/real.png",
        "to_folder": "inner",
        "dangling.png": "nothing.png",
        "self.png": "self.png",
        "up": "..",
        "outside.png": "/etc/hostname",
        "outside": "/etc",
    }
    for name, target in targets.items():
        (folder / "links" / name).symlink_to(target)
        yield Case(f"links/{name}", Reason.LINK_NOT_FOLLOWED)


@row
def not_files(folder: Path) -> Iterator[Case]:
    (folder / "special").mkdir()
    os.mkfifo(folder / "special/pipe.png")
    yield Case("special/pipe.png", Reason.NOT_A_FILE)
    here = Path.cwd()
    os.chdir(folder / "special")  # a socket's path may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket.png")
    finally:
        os.chdir(here)
    yield Case("special/socket.png", Reason.NOT_A_FILE)


@row
def duplicates(folder: Path) -> Iterator[Case]:
    data = encoded(scene(), "PNG")
    for name in ("same/a.png", "same/b/a.png"):
        yield Case(write(folder, name, data), None, (), scene())
