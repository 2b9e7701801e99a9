"""Codes in ``ImageInfo.notes``: what the decoder did that a person may want to know."""

from __future__ import annotations

from enum import StrEnum


class Note(StrEnum):
    """One thing that happened on the way from the bytes to the pixels."""

    WRONG_EXTENSION = "wrong_extension"
    """The name says another format than the bytes."""
    TRUNCATED = "truncated"
    """The file ends early and the run file says to tolerate it."""
    ICC_APPLIED = "icc_applied"
    """The embedded profile changed the pixels on the way to sRGB."""
    ICC_IGNORED = "icc_ignored"
    """The embedded profile is broken or is for another kind of pixels."""
    COMPOSITED = "composited"
    """Something is transparent; ``input.background`` shows through it."""
    FULLY_TRANSPARENT = "fully_transparent"
    """Nothing of the image can be seen, only the background."""
    PERCENTILE_SCALED = "percentile_scaled"
    """16-bit or float pixels were stretched between their percentiles."""
    NARROW_RANGE = "narrow_range"
    """High-depth pixels use under an eighth of the declared range: the image is very dark."""
    EXTRA_BAND_IGNORED = "extra_band_ignored"
    """A band without a declared meaning was left out."""
    EXIF_IGNORED = "exif_ignored"
    """EXIF is broken or its orientation is not 1-8; the image was taken as upright."""
