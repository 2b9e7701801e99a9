"""The bad-input matrix as files: every row drawn by code, with the end it is promised.

``make_all(folder)`` draws everything; each case says which file it is and what becomes of it.
"""

from __future__ import annotations

from pathlib import Path

from badinput import colours, contents, names
from badinput.case import MAKERS, Case, Maker

__all__ = ["MAKERS", "Case", "Maker", "colours", "contents", "make_all", "names"]


def make_all(folder: Path) -> list[Case]:
    """Draw every row."""
    return [case for maker in MAKERS for case in maker(folder)]
