"""Why a file has no labels: one code for each reason."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a file is in quarantine. Every file found is either labelled or has one of these."""

    # The file cannot be taken at all.
    NAME_NOT_UTF8 = "name_not_utf8"
    LINK_NOT_FOLLOWED = "link_not_followed"
    OUTSIDE_ROOT = "outside_root"
    NOT_A_FILE = "not_a_file"
    UNREADABLE = "unreadable"
    VANISHED = "vanished"
    CHANGED_DURING_RUN = "changed_during_run"
    FILE_TOO_LARGE = "file_too_large"
    # Its bytes are not an image that we promise to decode.
    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    UNSUPPORTED_BANDS = "unsupported_bands"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    MULTI_FRAME = "multi_frame"
    TOO_SMALL = "too_small"
    TOO_ELONGATED = "too_elongated"
    TOO_MANY_PIXELS = "too_many_pixels"
    # Decoding went wrong around the bytes; another try may end differently.
    DECODE_TIMEOUT = "decode_timeout"
    DECODE_OUT_OF_MEMORY = "decode_out_of_memory"
    DECODER_CRASHED = "decoder_crashed"
    # A model could not answer for this image.
    NAN_OUTPUT = "nan_output"
    ENGINE_ERROR = "engine_error"
    ENGINE_OUT_OF_MEMORY = "engine_out_of_memory"


REASONS_OF_THE_BYTES = frozenset(
    {
        Reason.EMPTY,
        Reason.NOT_AN_IMAGE,
        Reason.UNSUPPORTED_FORMAT,
        Reason.UNSUPPORTED_BANDS,
        Reason.TRUNCATED,
        Reason.CORRUPT,
        Reason.MULTI_FRAME,
        Reason.TOO_SMALL,
        Reason.TOO_ELONGATED,
        Reason.TOO_MANY_PIXELS,
    }
)
"""Reasons that follow from the bytes and the input settings alone: they may be remembered."""
