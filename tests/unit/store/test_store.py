"""The store: findings come back bit for bit, parts are whole or absent, faults lose nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StoreError
from pipeline.reasons import Reason
from pipeline.records import Box, ImageInfo, Mask, Point, Region, RegionVectors, StageName, TextSpan
from pipeline.store import FindingStore, durable_write
from pipeline.store.codecs import CODECS, PROMPT_CODEC, PromptVector, Rejection

DESCRIPTION = {"stage": "embed", "engine": "fake", "weights": "0" * 64}
floats = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
vectors = st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=8).map(
    lambda v: np.array(v, np.float32)
)
points = st.builds(Point, floats, floats)


def key(n: int) -> str:
    return hashlib.sha256(str(n).encode()).hexdigest()


def vector(n: int) -> np.ndarray:
    return np.full(4, n, np.float32)


regions = st.builds(
    Region,
    st.builds(Mask, st.integers(1, 99), st.integers(1, 99), text),
    st.builds(Box, floats, floats, floats, floats),
    st.integers(1, 10**9),
    floats,
    floats,
    points,
)
spans = st.builds(TextSpan, st.tuples(points, points, points, points), text, floats)
infos = st.builds(
    ImageInfo,
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.integers(1, 8),
    text,
    text,
    st.integers(1, 500),
    st.lists(text, max_size=3).map(tuple),
)
answers = {
    StageName.DECODE: infos | st.builds(Rejection, st.sampled_from(Reason), text),
    StageName.SEGMENT: st.lists(regions, max_size=3).map(tuple),
    StageName.READ: st.lists(spans, max_size=3).map(tuple),
}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(answers)), st.data())
def test_findings_come_back_as_they_were(stage: StageName, data: st.DataObject) -> None:
    finding = data.draw(answers[stage])
    store = FindingStore("memory://round").stage(stage, {"run": str(uuid.uuid4())})
    store.append([(key(1), finding)])
    assert store.read([key(1)]) == {key(1): finding}


@given(vectors)
def test_vectors_come_back_bit_for_bit(vector: np.ndarray) -> None:
    codec = CODECS[StageName.EMBED]
    assert codec.from_row(codec.to_row(vector)).tobytes() == vector.tobytes()


@pytest.mark.parametrize("n", [0, 1, 3])
def test_region_vectors_keep_their_shape(n: int) -> None:
    rng = np.random.default_rng(n)
    finding = RegionVectors(*rng.random((2, n, 5), np.float32))
    codec = CODECS[StageName.EMBED_REGIONS]
    back = codec.from_row(codec.to_row(finding))
    assert len(back.cropped) == n
    assert np.array_equal(back.cropped.ravel(), finding.cropped.ravel())
    assert np.array_equal(back.masked.ravel(), finding.masked.ravel())


@pytest.mark.parametrize("bias", [None, -4.0])
def test_prompts_keep_their_models_constants(bias: float | None) -> None:
    finding = PromptVector("a photo of a dog", vector(3), 100.0, bias)
    back = PROMPT_CODEC.from_row(PROMPT_CODEC.to_row(finding))
    assert (back.prompt, back.logit_scale, back.logit_bias) == ("a photo of a dog", 100.0, bias)
    assert np.array_equal(back.vector, vector(3))


@pytest.fixture(params=["local", "memory"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    url = str(tmp_path / "store") if request.param == "local" else f"memory://{tmp_path.name}"
    return lambda: FindingStore(url).stage(StageName.EMBED, DESCRIPTION)


def test_a_reopened_store_knows_what_was_appended(opener: Callable[[], Any]) -> None:
    first = opener()
    first.append([(key(n), vector(n)) for n in range(5)])
    first.append([(key(n), vector(n)) for n in range(5, 9)])
    again = opener()
    assert len(again) == 9
    assert key(3) in again
    assert key(99) not in again
    found = again.read([key(8), key(0), key(99)])
    assert {k: v[0] for k, v in found.items()} == {key(0): 0, key(8): 8}


def test_other_descriptions_share_nothing(tmp_path: Path) -> None:
    store = FindingStore(str(tmp_path))
    store.stage(StageName.EMBED, DESCRIPTION).append([(key(1), vector(1))])
    other = store.stage(StageName.EMBED, {**DESCRIPTION, "weights": "1" * 64})
    assert key(1) not in other
    assert store.descriptions(StageName.EMBED) == [DESCRIPTION]


def test_text_that_is_no_unicode_is_kept_as_far_as_it_can_be(opener: Callable[[], Any]) -> None:
    corner = Point(0, 0)
    span = TextSpan((corner, corner, corner, corner), "a\ud800b", 0.5)
    codec = CODECS[StageName.READ]
    assert codec.from_row(codec.to_row((span,)))[0].text == "a?b"


def test_reading_more_parts_than_are_kept_in_memory(opener: Callable[[], Any]) -> None:
    store = opener()
    for n in range(7):
        store.append([(key(n), vector(n))])
    found = store.read([key(n) for n in range(7)])
    assert [found[key(n)][0] for n in range(7)] == list(range(7))
    assert store.read([key(0)])[key(0)][0] == 0


@pytest.mark.parametrize("keep", [0, 1, 100])
def test_a_part_that_is_not_whole_is_ignored(
    tmp_path: Path, keep: int, caplog: pytest.LogCaptureFixture
) -> None:
    store = FindingStore(str(tmp_path)).stage(StageName.EMBED, DESCRIPTION)
    store.append([(key(1), vector(1))])
    store.append([(key(2), vector(2))])
    torn = next(tmp_path.rglob("part-*.parquet"))
    torn.write_bytes(torn.read_bytes()[:keep])
    again = FindingStore(str(tmp_path)).stage(StageName.EMBED, DESCRIPTION)
    assert len(again) == 1
    assert "not a whole part" in caplog.text


def test_the_same_findings_twice_are_one_part(tmp_path: Path) -> None:
    store = FindingStore(str(tmp_path)).stage(StageName.EMBED, DESCRIPTION)
    store.append([(key(1), vector(1))])
    store.append([(key(1), vector(1))])
    assert len(list(tmp_path.rglob("part-*.parquet"))) == 1
    assert len(store) == 1


SYSTEM_CALLS = ["fsync", "replace", "fdopen"]


@pytest.mark.parametrize("call", SYSTEM_CALLS)
@pytest.mark.parametrize("nth", range(1, 7))
def test_a_full_disk_at_any_step_leaves_old_findings_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, nth: int
) -> None:
    store = FindingStore(str(tmp_path)).stage(StageName.EMBED, DESCRIPTION)
    store.append([(key(0), vector(0))])
    real, calls = getattr(os, call), iter(range(1, 1000))

    def full(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, full)
    stored = [0]
    for n in range(1, 5):
        try:
            store.append([(key(n), vector(n))])
        except StoreError:
            continue
        stored.append(n)
    monkeypatch.undo()
    again = FindingStore(str(tmp_path)).stage(StageName.EMBED, DESCRIPTION)
    assert all(key(n) in again for n in stored)
    assert not list(tmp_path.rglob("*.tmp"))
    again.append([(key(n), vector(n)) for n in range(5)])
    assert len(FindingStore(str(tmp_path)).stage(StageName.EMBED, DESCRIPTION)) == 5


def test_a_durable_write_replaces_whole_files(tmp_path: Path) -> None:
    target = tmp_path / "file"
    durable_write(target, b"old")
    durable_write(target, b"new")
    assert target.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
