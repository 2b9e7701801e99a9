"""Near duplicates: groups of images that must not be torn apart by a split.

Where the run has image vectors, they propose pairs and the perceptual hash confirms them, so that
only pixels of proposed images are read; otherwise every image is hashed. A hash alone decides
whether two images are near, so the answer does not depend on the embedder's taste. Copies that
were mirrored, turned or cropped a lot are not found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from pipeline.records import RgbImage

LARGEST_DISTANCE: Final = 7
"""Bits of 64 in which the hashes of near images may differ. With seven wrong bits, one of eight
bytes is right, by which candidates are found without comparing all pairs."""

LEAST_COSINE: Final = 0.9
"""Of image vectors, for a pair to be looked at."""

_SIDE: Final = 32
_LOW: Final = 8
_BLOCK: Final = 1024


def perceptual_hash(pixels: RgbImage) -> int:
    """Hash how an image looks: 64 bits, few of which change by scaling or recompression.

    Source: the DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash
    Functions" (2010): low frequencies of a 32 x 32 image against their median.
    """
    small = Image.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    low = dctn(np.asarray(small, np.float64), norm="ortho")[:_LOW, :_LOW].ravel()
    # The mean brightness is no pattern; and rounding keeps flat images from hashing noise.
    low[0] = 0.0
    bits = np.round(low, 3) > np.median(np.round(low, 3))
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def close_hashes(hashes: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Find pairs whose hashes differ in no more than ``LARGEST_DISTANCE`` bits.

    Yields:
        Keys of each pair, some pairs more than once.
    """
    by_byte: dict[tuple[int, int], list[str]] = {}
    for key, value in hashes.items():
        for place, byte in enumerate(value.to_bytes(8, "big")):
            by_byte.setdefault((place, byte), []).append(key)
    for keys in by_byte.values():
        values = np.array([hashes[key] for key in keys], np.uint64)
        for place in range(len(keys) - 1):
            distance = np.bitwise_count(values[place + 1 :] ^ values[place])
            for other in np.flatnonzero(distance <= LARGEST_DISTANCE):
                yield keys[place], keys[place + 1 + int(other)]


def close_vectors(keys: Sequence[str], vectors: NDArray[np.float32]) -> set[str]:
    """Find images that have another one with a cosine of at least ``LEAST_COSINE``.

    Args:
        keys: N names.
        vectors: (N, D), rows of length 1.
    """
    close: set[str] = set()
    for start in range(0, len(keys), _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ vectors.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -1.0
        close.update(
            keys[start + int(row)] for row in np.flatnonzero(cosines.max(axis=1) >= LEAST_COSINE)
        )
    return close


def grouped(keys: Iterable[str], pairs: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Put keys that are connected by pairs together; every key is in exactly one group."""
    parent = {key: key for key in keys}

    def root(key: str) -> str:
        """Find what stands for the group of a key, and shorten the way to it."""
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for a, b in pairs:
        parent[root(a)] = root(b)
    groups: dict[str, list[str]] = {}
    for key in parent:
        groups.setdefault(root(key), []).append(key)
    return list(groups.values())
