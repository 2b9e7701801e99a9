"""What all parts of the run file are made of."""

from __future__ import annotations

import unicodedata
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints


def _as_name(value: object) -> object:
    """Normalise names; a whole number that was meant as a name (class 7) is one."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return unicodedata.normalize("NFC", value) if isinstance(value, str) else value


Name: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    BeforeValidator(_as_name),
]
Unit: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of the run file."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", validate_default=True, protected_namespaces=()
    )
