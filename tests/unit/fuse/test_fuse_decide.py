from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import rle
from pipeline.config import ClassConfig, PolicyConfig
from pipeline.fuse import Vocabulary, fuse
from pipeline.fuse.naming import name_regions
from pipeline.records import (
    Decision,
    Findings,
    ImageLabels,
    Instance,
    Region,
    RegionVectors,
    Tag,
    TextRegion,
)

ACCEPT, REVIEW, DROP = Decision.ACCEPT, Decision.REVIEW, Decision.DROP
CLASSES = ("cup", "mug", "table")
quick = settings(deadline=None, derandomize=True, max_examples=50)


def sure(name: str, share: float = 0.9) -> dict[str, float]:
    return {name: share, "background": 1.0 - share}


# -- tags and instances must not contradict each other silently


def _tag(draw: Any, policy: PolicyConfig, objects: Any, tags: dict[str, float]) -> ImageLabels:
    return fuse(draw.findings(policy, objects, tags), policy, draw.vocabulary(policy))


def test_a_tag_without_an_object_goes_to_review(draw: Any) -> None:
    labels = _tag(draw, draw.policy("cup"), [], sure("cup"))
    (tag,) = labels.tags
    assert tag.verdict.decision is REVIEW
    assert tag.verdict.reason.startswith("no region is named cup")


def test_a_tag_of_a_scene_needs_no_object(draw: Any) -> None:
    policy = draw.policy(ClassConfig(name="beach", use="tag"), "cup")
    beach = next(t for t in _tag(draw, policy, [], sure("beach")).tags if t.class_name == "beach")
    assert beach.verdict.decision is ACCEPT


def test_a_tag_is_not_doubted_if_nobody_looked_for_objects(draw: Any) -> None:
    (tag,) = _tag(draw, draw.policy("cup"), None, sure("cup")).tags
    assert tag.verdict.decision is ACCEPT


@pytest.mark.parametrize(("radius", "decision"), [(36, REVIEW), (12, ACCEPT)])
def test_a_large_object_without_a_tag_goes_to_review(
    draw: Any, radius: int, decision: Decision
) -> None:
    objects = [(draw.region(draw.disc(45, 40, radius)), sure("cup"))]
    (one,) = _tag(draw, draw.policy("cup"), objects, {"background": 1.0}).instances
    assert one.verdict.decision is decision
    assert ("not tagged cup (0.00)" in one.verdict.reason) is (decision is REVIEW)


def test_an_object_is_not_doubted_if_the_image_was_not_embedded(draw: Any) -> None:
    objects = [(draw.region(draw.disc(45, 40, 36)), sure("cup"))]
    policy = draw.policy("cup")
    labels = fuse(draw.findings(policy, objects), policy, draw.vocabulary(policy))
    assert labels.instances[0].verdict.decision is ACCEPT


def test_what_agrees_is_accepted(draw: Any) -> None:
    objects = [(draw.region(draw.disc(45, 40, 36)), sure("cup"))]
    labels = _tag(draw, draw.policy("cup"), objects, sure("cup"))
    assert labels.tags[0].verdict.decision is ACCEPT
    assert labels.instances[0].verdict.decision is ACCEPT


# -- laws


@st.composite
def findings_of(draw_value: st.DrawFn, draw: Any, policy: PolicyConfig) -> Findings:
    """Rectangles and frames that overlap in all ways, with any names, and words among them."""
    side = st.integers(2, 50)
    objects = []
    for _ in range(draw_value(st.integers(0, 7))):
        x, y = draw_value(st.integers(0, 100)), draw_value(st.integers(0, 60))
        width, height = draw_value(side), draw_value(side)
        bitmap = draw.rectangle(x, y, width, height)
        if draw_value(st.booleans()) and min(width, height) > 4:
            bitmap &= ~draw.rectangle(x + 2, y + 2, width - 4, height - 4)
        quality = draw_value(st.sampled_from([0.3, 0.8, 0.9, 1.01]))
        objects.append((draw.region(bitmap, quality), draw_value(shares())))
    words = st.sampled_from(["STOP", "O", "\u7a74", "+", "7"])
    place = st.tuples(words, st.integers(0, 90), st.integers(0, 60))
    spots = draw_value(st.lists(place, max_size=4))
    texts = [draw.span(w, x, y, score=draw_value(st.floats(0, 1))) for w, x, y in spots]
    found: Findings = draw.findings(policy, objects, draw_value(shares()), texts)
    return found


@st.composite
def shares(draw_value: st.DrawFn) -> dict[str, float]:
    names = [*CLASSES, "background"]
    weights = [draw_value(st.integers(1, 20)) ** 2 for _ in names]
    return {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)}


def _accepted(labels: ImageLabels) -> Iterator[tuple[object, ...]]:
    for tag in labels.tags:
        if tag.verdict.decision is ACCEPT:
            yield "tag", tag.class_name
    for one in labels.instances:
        if one.verdict.decision is ACCEPT:
            yield "instance", one.class_name, one.region
    for line in labels.texts:
        if line.verdict.decision is ACCEPT:
            yield "text", line.text, line.quad


def _setup(draw: Any, data: st.DataObject) -> tuple[PolicyConfig, Vocabulary, Findings]:
    policy = draw.policy(*CLASSES)
    return policy, draw.vocabulary(policy), data.draw(findings_of(draw, policy))


@quick
@given(st.data())
def test_every_finding_has_exactly_one_end(draw: Any, data: st.DataObject) -> None:
    policy, vocabulary, findings = _setup(draw, data)
    labels = fuse(findings, policy, vocabulary)
    listed = [one.region for one in labels.instances]
    assert len(listed) + sum(one.merged for one in labels.instances) == len(findings.regions)
    assert all(listed.count(region) <= findings.regions.count(region) for region in listed)
    spans = [span for line in labels.texts for span in line.spans]
    assert sorted(map(repr, spans)) == sorted(map(repr, findings.texts))
    assert [line.order for line in labels.texts] == list(range(len(labels.texts)))
    found: list[Tag | Instance | TextRegion] = [*labels.tags, *labels.instances, *labels.texts]
    assert all(label.verdict.reason and 0 <= label.score <= 1 for label in found)


@quick
@given(st.data())
def test_an_owner_is_alive_carries_the_text_and_none_is_smaller(
    draw: Any, data: st.DataObject
) -> None:
    policy, vocabulary, findings = _setup(draw, data)
    labels = fuse(findings, policy, vocabulary)
    for line in labels.texts:
        area = np.asarray(rle.decode(rle.quad_mask(line.quad, draw.width, draw.height)))
        carriers = [
            (one.region.area, at)
            for at, one in enumerate(labels.instances)
            if one.verdict.decision is not DROP
            and (rle.decode(one.region.mask) & area).sum() / area.sum()
            >= policy.text.owner_containment
        ]
        assert line.owner == (min(carriers)[1] if carriers else None)


@quick
@given(st.data())
def test_the_order_of_findings_does_not_matter(draw: Any, data: st.DataObject) -> None:
    policy, vocabulary, findings = _setup(draw, data)
    assert findings.region_vectors is not None
    order = data.draw(st.permutations(range(len(findings.regions))))
    vectors = findings.region_vectors
    shuffled = replace(
        findings,
        regions=tuple(findings.regions[at] for at in order),
        region_vectors=RegionVectors(vectors.cropped[order], vectors.masked[order]),
        texts=tuple(data.draw(st.permutations(findings.texts))),
    )
    first, second = (fuse(f, policy, vocabulary) for f in (findings, shuffled))
    assert (first.tags, first.instances) == (second.tags, second.instances)
    assert first.texts == second.texts


@quick
@given(st.data())
def test_higher_thresholds_never_accept_more(draw: Any, data: st.DataObject) -> None:
    _, vocabulary, findings = _setup(draw, data)
    part = data.draw(st.sampled_from(["tags", "regions", "text"]))
    key = data.draw(
        st.sampled_from(["threshold", "review_margin" if part == "tags" else "review_below"])
    )
    lower, higher = sorted(data.draw(st.lists(st.floats(0, 1), min_size=2, max_size=2)))
    before, after = (
        set(_accepted(fuse(findings, draw.policy(*CLASSES, **{part: {key: at}}), vocabulary)))
        for at in (lower, higher)
    )
    assert after <= before


@quick
@given(st.data())
def test_what_was_kept_is_kept_again(draw: Any, data: st.DataObject) -> None:
    policy, vocabulary, findings = _setup(draw, data)
    assert findings.region_vectors is not None
    first = fuse(findings, policy, vocabulary).instances
    kept = [one for one in first if one.verdict.decision is not DROP]
    rows = [_row(findings, vocabulary, policy, one.region, one.score) for one in kept]
    vectors = RegionVectors(
        findings.region_vectors.cropped[rows], findings.region_vectors.masked[rows]
    )
    again = fuse(
        replace(findings, regions=tuple(one.region for one in kept), region_vectors=vectors),
        policy,
        vocabulary,
    ).instances

    def names(instances: Any) -> set[tuple[str, float, Region]]:
        return {(one.class_name, one.score, one.region) for one in instances}

    assert names(again) == names(kept)
    assert all(one.verdict.decision is not DROP and not one.merged for one in again)


def _row(
    findings: Findings, vocabulary: Vocabulary, policy: PolicyConfig, region: Region, score: float
) -> int:
    """Index of a region; of equal regions the one whose vector gave this score."""
    vectors = findings.region_vectors
    assert vectors is not None
    named = name_regions(findings.regions, vectors, vocabulary, policy.regions.masked_weight)
    return next(at for at, one in enumerate(named) if (one.region, one.score) == (region, score))


@quick
@given(st.data(), st.sampled_from([2, 3]))
def test_an_image_twice_as_large_gets_the_same_labels(
    draw: Any, data: st.DataObject, factor: int
) -> None:
    policy, vocabulary, findings = _setup(draw, data)
    findings = replace(findings, texts=())
    larger = replace(
        findings,
        image=draw.image(draw.width * factor, draw.height * factor),
        regions=tuple(_scaled(draw, region, factor) for region in findings.regions),
    )
    first, second = (fuse(f, policy, vocabulary).instances for f in (findings, larger))
    assert sorted((o.class_name, o.score, o.verdict.decision, o.merged) for o in first) == sorted(
        (o.class_name, o.score, o.verdict.decision, o.merged) for o in second
    )


def _scaled(draw: Any, region: Region, factor: int) -> Region:
    pixels = np.kron(rle.decode(region.mask), np.ones((factor, factor), dtype=np.bool_))
    scaled: Region = draw.region(pixels.astype(np.bool_), region.predicted_iou, region.stability)
    return scaled


def test_no_findings_no_labels(draw: Any) -> None:
    policy = draw.policy("cup")
    empty = Findings(draw.image())
    for vocabulary in (None, draw.vocabulary(policy)):
        labels = fuse(empty, policy, vocabulary)
        assert (labels.tags, labels.instances, labels.texts) == ((), (), ())


def test_vectors_that_are_not_finite_give_no_nan(draw: Any) -> None:
    policy = draw.policy("cup", "mug")
    findings = draw.findings(
        policy, [(draw.region(draw.disc(40, 40, 20)), sure("cup"))], sure("cup")
    )
    broken = np.full_like(findings.vector, np.nan)
    findings = replace(
        findings, vector=broken, region_vectors=RegionVectors(broken[None], broken[None])
    )
    labels = fuse(findings, policy, draw.vocabulary(policy))
    numbers = [tag.score for tag in labels.tags]
    numbers += [x for one in labels.instances for x in (one.score, one.background)]
    assert numbers
    assert np.isfinite(numbers).all()
