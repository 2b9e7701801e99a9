"""File names that are safe on every system, in every archive and in every list."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from typing import Final

_UNSAFE: Final = re.compile(r"[^\w-]+")
_MAX_BYTES: Final = 100
_DIGEST: Final = 12

_SUFFIXES: Final = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/bmp": ".bmp",
}
"""Kinds that trainers read; anything else goes out as PNG."""


def safe_stem(name: str, sha256: str) -> str:
    """Make a file name without suffix out of any name: letters, digits, ``-`` and ``_`` only.

    The digest at its end makes it unique whatever the other names are, so adding images never
    renames one, and no name is one that a system reserves. There is no dot in it, as WebDataset
    takes what follows the first one for the suffix.

    Args:
        name: Posix path or name of the source file.
        sha256: Of its bytes.
    """
    stem = unicodedata.normalize("NFC", PurePosixPath(name).stem)
    words = _UNSAFE.sub("_", stem).strip("_-")
    cut = words.encode()[:_MAX_BYTES].decode(errors="ignore")
    return f"{cut or 'image'}-{sha256[:_DIGEST]}"


def folder_name(class_name: str, number: int) -> str:
    """Make a folder name out of a class name, unique by its number."""
    words = _UNSAFE.sub("_", unicodedata.normalize("NFC", class_name)).strip("_-")
    cut = words.encode()[:_MAX_BYTES].decode(errors="ignore")
    return f"{number:03}-{cut or 'class'}"


def plain_suffix(mime: str) -> str | None:
    """Suffix of a file that goes out as it is; None if trainers may not read its kind."""
    return _SUFFIXES.get(mime)
