"""The bad-input matrix: every file ends as promised, through the real scan and decoder pool."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from badinput import MAKERS, Case, Maker, make_all

from pipeline.config import InputConfig
from pipeline.decoding import DecoderPool
from pipeline.errors import ImageRejectedError
from pipeline.pixels import Decoded
from pipeline.records import Quarantined
from pipeline.scan import scan

Ends = dict[str, Decoded | ImageRejectedError | Quarantined]


def ends_of(folder: Path, settings: InputConfig) -> Ends:
    """Scan and decode a folder; every path must end once."""
    found = list(scan([folder], settings))
    ends: Ends = {entry.path: entry for entry in found if isinstance(entry, Quarantined)}
    with DecoderPool([folder], settings) as pool:
        sources = (entry for entry in found if not isinstance(entry, Quarantined))
        for source, outcome in pool.stream(sources):
            assert source.path not in ends
            ends[source.path] = outcome
    assert len(ends) == len(found)
    return ends


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Case], Ends]:
    folder = tmp_path_factory.mktemp("matrix")
    cases = make_all(folder)
    return cases, ends_of(folder, InputConfig())


def test_every_file_found_has_a_case_and_every_case_was_found(
    matrix: tuple[list[Case], Ends],
) -> None:
    cases, ends = matrix
    counts = Counter(case.path for case in cases)
    assert not [path for path, n in counts.items() if n > 1]
    assert counts.keys() == ends.keys()


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_row_ends_as_promised(
    maker: Maker, matrix: tuple[list[Case], Ends], tmp_path: Path
) -> None:
    _, ends = matrix
    wrong = [
        message for case in maker(tmp_path) if (message := disagreement(case, ends[case.path]))
    ]
    assert not wrong, "\n".join(wrong)


def disagreement(case: Case, end: Decoded | ImageRejectedError | Quarantined) -> str:
    """Say how an end differs from the promise; nothing if it does not."""
    if not isinstance(end, Decoded):
        ok = end.reason is case.reason
        return "" if ok else f"{case.path}: {end.reason} ({end.detail}), promised {case.reason}"
    info = end.info
    got = (None, info.notes, info.orientation, info.n_frames, case.mime and info.mime)
    promised = (case.reason, case.notes, case.orientation, case.n_frames, case.mime)
    if got != promised:
        return f"{case.path}: {got}, promised {promised}"
    assert end.pixels.shape == (info.height, info.width, 3)
    assert end.pixels.dtype == np.uint8
    assert end.pixels.flags.c_contiguous
    assert end.pixels.flags.writeable
    if case.like is None:
        return ""
    if case.like.shape != end.pixels.shape:
        return f"{case.path}: shape {end.pixels.shape}, promised {case.like.shape}"
    difference = float(np.abs(end.pixels.astype(int) - case.like.astype(int)).mean())
    return "" if difference <= case.tolerance else f"{case.path}: pixels differ by {difference:.2f}"
