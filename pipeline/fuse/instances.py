"""Regions with names become objects with verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.config import PolicyConfig, RegionPolicy
from pipeline.fuse.naming import Named, name_regions, with_relevance
from pipeline.fuse.objects import Overlaps, fold, quality, rank
from pipeline.fuse.parts import resolve_parts
from pipeline.fuse.reasons import accept, against, doubt, drop, review, rounded
from pipeline.fuse.vocabulary import Vocabulary
from pipeline.records import Decision, Findings, Instance, Region, RegionVectors, Verdict

UNNAMED: Final = "object"
"""Class of masks that nothing gave a name to."""

_ORDER: Final = {Decision.ACCEPT: 0, Decision.REVIEW: 1, Decision.DROP: 2}


def names_masks(policy: PolicyConfig, *, embeds: bool) -> bool:
    """Tell whether masks get names from the policy; else they are all ``UNNAMED``.

    Args:
        policy: The vocabulary.
        embeds: Whether a stage embeds regions.
    """
    return embeds and any(entry.use != "tag" for entry in policy.classes)


def find_instances(
    findings: Findings, policy: PolicyConfig, vocabulary: Vocabulary
) -> tuple[Instance, ...]:
    """Name the regions of an image and decide which of them become labels.

    Args:
        findings: Regions, with or without vectors.
        policy: Thresholds.
        vocabulary: Without classes, masks stay without names and go to review.

    Returns:
        Accepted first, then by score. The regions that are in none of them are counted in
        ``merged``.

    Raises:
        EngineError: The region vectors do not belong to the regions or to the vocabulary.
    """
    nameless = _why_nameless(findings, vocabulary)
    vectors, pooled = _naming(findings), findings.pooled
    if nameless is None and vectors is not None:
        weight = policy.regions.masked_weight
        named = name_regions(findings.regions, vectors, vocabulary, weight)
        if pooled is not None:
            named = with_relevance(named, pooled, vocabulary)
    else:
        named = [Named(r, UNNAMED, rounded(quality(r)), None, 0.0) for r in findings.regions]
    named.sort(key=rank)
    pixels = findings.image.info.width * findings.image.info.height
    reasons = [_cut(one.region, policy.regions, pixels) for one in named]
    cut = [_instance(one, drop(why)) for one, why in zip(named, reasons, strict=True) if why]
    kept = [one for one, why in zip(named, reasons, strict=True) if not why]
    return in_order([*cut, *_objects(kept, policy, vocabulary, nameless)])


def in_order(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """Sort by decision, then best first; equal ones by where they are."""
    return tuple(sorted(instances, key=_place))


def _place(one: Instance) -> tuple[int, float, str, float, float, int, str, float, float]:
    region, box, point = one.region, one.region.box, one.region.point
    order = (_ORDER[one.verdict.decision], -one.score, one.class_name)
    return (*order, box.y, box.x, -region.area, region.mask.counts, point.y, point.x)


def _naming(findings: Findings) -> RegionVectors | None:
    """Give what names the regions: crops where there are any, else the patches inside."""
    if findings.region_vectors is None and findings.pooled is not None:
        return RegionVectors(findings.pooled.inside, findings.pooled.inside)
    return findings.region_vectors


def _why_nameless(findings: Findings, vocabulary: Vocabulary) -> str | None:
    if not vocabulary.names:
        return "no name: stages.embed is not configured"
    if not vocabulary.for_regions:
        return "no name: every class of policy.classes has use: tag"
    if _naming(findings) is None:
        return "no name: the regions of this image were not embedded"
    return None


def _cut(region: Region, policy: RegionPolicy, pixels: int) -> str | None:
    """Say why a mask is not worth a name; None if it is."""
    iou, stability = rounded(quality(region)), rounded(region.stability)
    if region.area < policy.min_area:
        return f"area {region.area} px < {policy.min_area} px"
    share = rounded(region.area / max(pixels, 1))
    if share > policy.max_area_share:
        return f"background: covers {share:.1%} of the image, over {policy.max_area_share:.1%}"
    if iou < policy.min_predicted_iou:
        return f"predicted IoU {against(iou, policy.min_predicted_iou)}"
    if not stability >= policy.min_stability:
        return f"stability {against(stability, policy.min_stability)}"
    return None


def _instance(named: Named, verdict: Verdict, merged: int = 0) -> Instance:
    return Instance(
        class_name=named.class_name,
        score=named.score,
        runner_up=named.runner_up,
        background=named.background,
        region=named.region,
        verdict=verdict,
        merged=merged,
    )


def _objects(
    named: list[Named], policy: PolicyConfig, vocabulary: Vocabulary, nameless: str | None
) -> list[Instance]:
    overlaps = Overlaps.of([one.region for one in named])
    stands = fold(overlaps, policy.regions)
    heads = np.flatnonzero(stands == np.arange(len(named))).tolist()
    merged = Counter(stands.tolist())
    objects = [named[at] for at in heads]
    if nameless is not None:
        verdicts = [review(nameless)] * len(objects)
    else:
        limits = _limits(policy)
        closed = not len(vocabulary.background)
        own = [
            _own_verdict(one, policy.regions, limits[one.class_name], closed=closed)
            for one in objects
        ]
        own = [
            _disputed(at, named, stands, verdict, policy.regions.review_margin)
            for at, verdict in zip(heads, own, strict=True)
        ]
        verdicts = resolve_parts(objects, overlaps.only(heads), own, policy.regions)
    return [
        _instance(one, verdict, merged[at] - 1)
        for at, one, verdict in zip(heads, objects, verdicts, strict=True)
    ]


def _limits(policy: PolicyConfig) -> dict[str, float]:
    limits = {entry.name: entry.region_threshold for entry in policy.classes}
    return {
        name: policy.regions.threshold if limit is None else limit for name, limit in limits.items()
    }


def _own_verdict(named: Named, policy: RegionPolicy, limit: float, *, closed: bool) -> Verdict:
    """Judge a region by its own scores."""
    if named.is_background:
        return drop(f"background fits better: {named.background:.2f}, {_name(named)}")
    if named.score < limit:
        return drop(f"score {against(named.score, limit)}, the threshold of {named.class_name}")
    doubts = _doubts(named, policy)
    if named.runner_up is None and closed:
        doubts.append("one class and no policy.background: it could be nothing else")
    if doubts:
        return review(*doubts)
    return accept(f"score {against(named.score, policy.review_below)}{_lead(named)}")


def _doubts(named: Named, policy: RegionPolicy) -> list[str]:
    doubts = []
    if named.score < policy.review_below:
        doubts.append(f"score {against(named.score, policy.review_below)}")
    second = named.runner_up
    if second is not None and rounded(named.score - second.score) < policy.review_margin:
        doubts.append(f"{second.class_name} is close behind with {second.score:.2f}")
    least, relevance = policy.min_relevance, named.relevance
    if least is not None and relevance is not None and relevance < least:
        doubts.append(f"the image speaks for it elsewhere: relevance {against(relevance, least)}")
    return doubts


def _name(named: Named) -> str:
    return f"{named.class_name} {named.score:.2f}"


def _lead(named: Named) -> str:
    second = named.runner_up
    return f", next {second.class_name} {second.score:.2f}" if second else ""


def _disputed(
    head: int, named: Sequence[Named], stands: NDArray[np.intp], verdict: Verdict, margin: float
) -> Verdict:
    """Send an object to review if another mask of it has another name and is as sure of it."""
    ours = named[head]
    for at in np.flatnonzero(stands == head).tolist():
        other = named[at]
        rivals = other.class_name != ours.class_name and not other.is_background
        if rivals and rounded(ours.score - other.score) < margin:
            return doubt(verdict, f"another mask of the same object looks like {_name(other)}")
    return verdict
