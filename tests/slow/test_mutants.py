"""Damaged files through the real scan and pool: each ends with a label or a reason."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from drawn import FORMATS, encoded, scene

from pipeline.config import InputConfig
from pipeline.decoding import DecoderPool
from pipeline.pixels import Decoded
from pipeline.reasons import REASONS_OF_THE_BYTES
from pipeline.records import Quarantined
from pipeline.scan import scan

N_MUTANTS = 2000
KINDS = ("JPEG", "PNG", "WEBP")


def mutant(seed: int) -> bytes:
    """A file with one to eight bytes changed, most of them anywhere, some near its start."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]
    options = dict(FORMATS[kind])
    if kind == "JPEG":
        options["progressive"] = rng.random() < 0.5
    elif kind == "WEBP":
        options["lossless"] = rng.random() < 0.5
    data = bytearray(encoded(scene(160, 120), kind, **options))
    for _ in range(rng.choice([1, 1, 2, 8])):
        end = len(data) if rng.random() < 0.7 else 300
        data[rng.randrange(end)] = rng.randrange(256)
    return bytes(data)


@pytest.mark.slow
@pytest.mark.timeout(900)  # most of it is waiting for a processor when others want it too
def test_every_mutant_ends_and_kills_nobody(tmp_path: Path) -> None:
    for seed in range(N_MUTANTS):
        (tmp_path / f"{seed:04d}.{KINDS[seed % len(KINDS)].lower()}").write_bytes(mutant(seed))
    settings = InputConfig(max_pixels=4_000_000, min_side=1)
    found = list(scan([tmp_path], settings))
    sources = [entry for entry in found if not isinstance(entry, Quarantined)]
    assert len(sources) == N_MUTANTS
    ends: Counter[str] = Counter()
    with DecoderPool([tmp_path], settings) as pool:
        for source, outcome in pool.stream(sources):
            if isinstance(outcome, Decoded):
                assert outcome.pixels.shape == (outcome.info.height, outcome.info.width, 3)
                ends["labelled"] += 1
            else:
                assert outcome.reason in REASONS_OF_THE_BYTES, f"{source.path}: {outcome}"
                ends[outcome.reason.value] += 1
    assert ends.total() == N_MUTANTS
    assert ends["labelled"] > 0
    assert ends["corrupt"] > 0
