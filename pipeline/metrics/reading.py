"""How well text was read: edit distances by characters and by words."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rapidfuzz.distance import Levenshtein

_SPOTTED: Final = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """Transcriptions against truth.

    Attributes:
        pairs: Lines compared.
        exact: Share that is the same.
        cer: Character errors per true character; can exceed 1.
        wer: Word errors per true word.
    """

    pairs: int
    exact: float | None
    cer: float | None
    wer: float | None


def plain(text: str) -> str:
    """What counts of a text: composed characters, words one blank apart; case counts."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def read(pairs: Iterable[tuple[str, str]]) -> Reading:
    """Compare transcriptions with the truth.

    Args:
        pairs: Found and true text of each line.

    Source: Levenshtein distance by rapidfuzz, summed over all lines before dividing, so that
    short lines do not weigh more than long ones.
    """
    n = same = characters = words = wrong_characters = wrong_words = 0
    for found, true in pairs:
        a, b = plain(found), plain(true)
        n, same = n + 1, same + (a == b)
        characters, words = characters + len(b), words + len(b.split())
        wrong_characters += Levenshtein.distance(a, b)
        wrong_words += Levenshtein.distance(a.split(), b.split())
    return Reading(
        n,
        same / n if n else None,
        wrong_characters / characters if characters else None,
        wrong_words / words if words else None,
    )


def spotted(text: str) -> str | None:
    """What word spotting compares of a word; None for one that it does not ask for.

    Source: ICDAR 2015 Robust Reading, task 4.4 (word spotting): no case, no signs around the
    word, nothing shorter than three characters and nothing with other signs in it. Hyphens are
    such signs here.
    """
    word = plain(text).casefold()
    while word and not word[0].isalnum():
        word = word[1:]
    while word and not word[-1].isalnum():
        word = word[:-1]
    return word if len(word) >= _SPOTTED and word.replace(" ", "").isalnum() else None
