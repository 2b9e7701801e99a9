"""What the tiny CLIP model is told about scenes, and a vocabulary just large enough to say it."""

from __future__ import annotations

import gzip
import io
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from open_clip.tokenizer import default_bpe

from pipeline.synthetic.vocabulary import BACKGROUNDS, COLORS, SHAPES, TEXTURES

TEMPLATES: Final = (
    "{}",
    "a {}",
    "a photo of a {}",
    "an image of a {}",
    "there is a {} in the scene",
    "a picture with a {}",
    "the {}",
    "a photo containing a {}",
)
CONTEXT: Final = 16
SIGN: Final = "sign"
_EXTRA_WORDS: Final = "and on no word moon plus object dots stripes colored"
_CLIP_MERGES: Final = 49152 - 256 - 2
_KEPT_MERGES: Final = 300


@dataclass(frozen=True)
class Tag:
    """One thing that can be said about an image.

    Attributes:
        group: shape, color, texture, background, sign, color-shape or texture-shape.
        key: The words that identify it in its group.
        text: How it is said, without a template.
    """

    group: str
    key: tuple[str, ...]
    text: str


def _simple(group: str, names: tuple[str, ...], form: str) -> list[Tag]:
    return [Tag(group, (name,), form.format(name)) for name in names]


def _tags() -> tuple[Tag, ...]:
    base = [
        *_simple("shape", SHAPES, "{}"),
        *_simple("color", tuple(COLORS), "{} shape"),
        *_simple("texture", TEXTURES, "{} shape"),
        *_simple("background", BACKGROUNDS, "{} background"),
        Tag("sign", (SIGN,), "sign with text"),
    ]
    colored = [Tag("color-shape", (c, s), f"{c} {s}") for c, s in itertools.product(COLORS, SHAPES)]
    textured = [
        Tag("texture-shape", (t, s), f"{t} {s}") for t, s in itertools.product(TEXTURES[1:], SHAPES)
    ]
    return (*base, *colored, *textured)


TAGS: Final = _tags()
"""Every tag; the simple ones first, then the compounds."""
SIMPLE: Final = sum(len(tag.key) == 1 for tag in TAGS)
"""Number of simple tags at the start of ``TAGS``."""
INDEX: Final = {(tag.group, *tag.key): index for index, tag in enumerate(TAGS)}


def group_indices(group: str) -> list[int]:
    """Positions of a group in ``TAGS``.

    Args:
        group: A value of ``Tag.group``.

    Returns:
        The positions, in the order of the vocabulary.
    """
    return [index for index, tag in enumerate(TAGS) if tag.group == group]


def _used_merges(word: str, ranks: dict[tuple[str, ...], int]) -> set[int]:
    parts, used = [*word[:-1], word[-1] + "</w>"], set[int]()
    while len(parts) > 1:
        known = [
            (ranks[pair], at) for at, pair in enumerate(itertools.pairwise(parts)) if pair in ranks
        ]
        if not known:
            break
        rank, at = min(known)
        used.add(rank)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return used


def _words() -> set[str]:
    said = " ".join([*(tag.text for tag in TAGS), *TEMPLATES, _EXTRA_WORDS])
    return set(re.findall("[a-z]+", said.lower()))


def small_vocabulary() -> bytes:
    """Cut CLIP's merge list down to the merges our words need, plus its first 300.

    A merge list keeps its order, so every word of ours is split exactly as by CLIP itself; other
    words fall apart into smaller pieces.

    Returns:
        A gzipped merge list for ``SimpleTokenizer(bpe_path=...)``, always the same bytes.

    Source: mlfoundations/open_clip, ``bpe_simple_vocab_16e6.txt.gz``.
    """
    lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode().split("\n")
    merges = lines[1 : _CLIP_MERGES + 1]
    ranks = {tuple(merge.split()): rank for rank, merge in enumerate(merges)}
    needed = set(range(_KEPT_MERGES)).union(*(_used_merges(word, ranks) for word in _words()))
    text = "\n".join(["#subset of CLIP merges", *(merges[rank] for rank in sorted(needed))])
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as packed:
        packed.write(text.encode())
    return buffer.getvalue()
