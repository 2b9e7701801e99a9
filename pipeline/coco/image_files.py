"""Upright sizes of image files, from their headers alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

from PIL import Image, TiffImagePlugin

from pipeline.errors import ImageRejectedError
from pipeline.reasons import Reason

_ORIENTATION: Final = 0x0112
_LYING: Final = frozenset({5, 6, 7, 8})
"""EXIF orientations that swap width and height."""


def upright_size(folder: Path, name: str) -> tuple[int, int]:
    """Read width and height as ``pipeline.pixels`` gives them, without decoding pixels.

    Args:
        folder: Folder of images.
        name: Posix path in it.

    Raises:
        ImageRejectedError: There is no such file in that folder, or it is no image.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ImageRejectedError(Reason.OUTSIDE_ROOT, f"leads out of {folder}")
    if not path.is_file():  # a pipe would block for ever
        raise ImageRejectedError(Reason.VANISHED, f"there is no such file in {folder}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # sizes of bombs are sizes too
            with Image.open(path) as image:
                return _size(image)
    except Exception as error:  # parsers of hostile bytes raise anything
        raise ImageRejectedError(Reason.NOT_AN_IMAGE, f"cannot be read: {error}") from error


def _size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # Some versions of Pillow give a TIFF's size upright, some as stored: take it as stored.
        tags = image.tag_v2
        width, height = tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]
        orientation = tags.get(_ORIENTATION, 1)
    else:
        orientation = _exif_orientation(image)
    return (height, width) if orientation in _LYING else (width, height)


def _exif_orientation(image: Image.Image) -> object:
    """What EXIF says; an orientation in XMP, which ``getexif`` would give, turns no viewer."""
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif") or b"")
        return exif.get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001  a parser of hostile bytes; it must not cost the image
        return 1
