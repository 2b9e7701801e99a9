"""Splits hold their promises for any groups and any history."""

from __future__ import annotations

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.export.near import close_hashes, grouped
from pipeline.export.splits import Member, deal, spread

SHARES = (80, 10, 10)


@st.composite
def members(draw: st.DrawFn) -> list[list[Member]]:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=25))
    groups, n = [], 0
    for size in sizes:
        group = []
        for _ in range(size):
            names = draw(st.frozensets(st.sampled_from("abcd"), max_size=2))
            group.append(Member(hashlib.sha256(str(n).encode()).hexdigest(), names))
            n += 1
        groups.append(group)
    return groups


@given(groups=members(), seed=st.randoms(use_true_random=False))
def test_groups_stay_together_whatever_the_order(groups: list[list[Member]], seed: object) -> None:
    splits = deal(groups, SHARES, {})
    assert set(splits) == {member.key for group in groups for member in group}
    assert spread(groups, splits) == 0
    turned = [group[::-1] for group in groups[::-1]]
    assert deal(turned, SHARES, {}) == splits


@given(old=members(), joined=st.lists(st.integers(0, 24), max_size=4))
def test_what_was_dealt_stays(old: list[list[Member]], joined: list[int]) -> None:
    known = deal(old, SHARES, {})
    new = [
        [*group, *(Member(f"{n}-{k}", frozenset("a")) for k in range(2) if n in joined)]
        for n, group in enumerate(old)
    ]
    splits = deal([*new, [Member("alone", frozenset())]], SHARES, known)
    assert {key: splits[key] for key in known} == known
    assert spread(new, splits) == 0


def test_every_class_reaches_its_share() -> None:
    names = ["common"] * 160 + ["rare"] * 40
    groups = [
        [Member(hashlib.sha256(str(n).encode()).hexdigest(), frozenset({name}))]
        for n, name in enumerate(names)
    ]
    splits = deal(groups, SHARES, {})
    times = Counter((name, splits[group[0].key]) for group, name in zip(groups, names, strict=True))
    assert times == {
        ("common", "train"): 128, ("common", "val"): 16, ("common", "test"): 16,
        ("rare", "train"): 32, ("rare", "val"): 4, ("rare", "test"): 4,
    }  # fmt: skip


@given(
    base=st.integers(0, 2**64 - 1),
    flips=st.lists(st.sets(st.integers(0, 63), max_size=12), min_size=1, max_size=8),
)
def test_close_hashes_are_all_found(base: int, flips: list[set[int]]) -> None:
    hashes = {str(n): base ^ sum(1 << bit for bit in bits) for n, bits in enumerate(flips)}
    found = {frozenset(pair) for pair in close_hashes(hashes)}
    for a, one in hashes.items():
        for b, other in hashes.items():
            close = (one ^ other).bit_count() <= 7
            assert a == b or (frozenset({a, b}) in found) == close
    assert sum(len(group) for group in grouped(hashes, close_hashes(hashes))) == len(hashes)
