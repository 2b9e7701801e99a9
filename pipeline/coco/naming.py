"""Names and other text as a COCO file can hold them. Pure; writing and checking share it."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

SURROGATES: Final = re.compile("[\ud800-\udfff]")
"""Halves of surrogate pairs: Python strings can hold them, UTF-8 cannot."""

_DRIVE: Final = re.compile(r"[A-Za-z]:[/\\]")


def name_key(name: str) -> str:
    """What must differ between two category names, so that people and file systems see two."""
    return unicodedata.normalize("NFC", name).casefold()


def file_name_problem(file_name: str, path: str | None = None) -> str | None:
    r"""Say why a ``file_name`` does not mean the same file everywhere; None if it does.

    Args:
        file_name: Name in the COCO file: posix, relative to the folder of images.
        path: The file's path on disk, if known. A ``\`` or ``C:`` that is part of the file's own
            name is kept; anywhere else it is a path of another system.
    """
    own = path if path and file_name.endswith(path) else ""
    given = file_name.removesuffix(own)
    if not file_name or "\0" in file_name or SURROGATES.search(file_name):
        return "is empty or not text"
    if file_name.startswith("/") or _DRIVE.match(given):
        return "is absolute"
    if "\\" in given:
        return r"has a '\', which is no separator here"
    if {"", ".", ".."} & set(file_name.split("/")):
        return "has an empty, '.' or '..' part"
    return None


def clean(text: str) -> str:
    """Replace halves of surrogate pairs, which no UTF-8 file can hold, by U+FFFD."""
    return SURROGATES.sub("\ufffd", text)
