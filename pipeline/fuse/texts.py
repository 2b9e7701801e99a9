"""Lines become transcriptions: with a verdict, a place in the reading order, and an owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pipeline import rle
from pipeline.config import TextPolicy
from pipeline.fuse.instances import UNNAMED
from pipeline.fuse.lines import Line, find_lines
from pipeline.fuse.reading import reading_order
from pipeline.fuse.reasons import accept, against, drop, review, rounded, where
from pipeline.geometry import box_containment, quad_box
from pipeline.records import (
    Decision,
    ImageInfo,
    Instance,
    Quad,
    TextRegion,
    TextSpan,
    Verdict,
)

_SHAPE_INSIDE: Final = 0.8
"""Share of an object's box inside a character's box from which the object is the character.

A character on an object is the other way round.
"""
_SHAPE_FILLS: Final = 0.2
"""Share of the character's box that the object's box takes up at least; readers widen theirs."""
_ROUND: Final = frozenset("Oo0")
"""Letters that readers take a ring or a disc for; few signs say just that."""


def find_texts(
    spans: Sequence[TextSpan],
    policy: TextPolicy,
    instances: Sequence[Instance],
    image: ImageInfo,
) -> tuple[TextRegion, ...]:
    """Turn spans into lines of text.

    Args:
        spans: As the reader returned them.
        policy: Thresholds.
        instances: The image's objects in their final order, dropped ones included.
        image: Gives the size.

    Returns:
        Lines in reading order; owners are indices into ``instances``.
    """
    lines = find_lines(spans, policy)
    lines = [lines[at] for at in reading_order(lines)]
    owners = _owners([line.quad for line in lines], policy.owner_containment, instances, image)
    return tuple(
        TextRegion(
            spans=line.spans,
            quad=line.quad,
            text=line.text,
            score=rounded(line.score),
            order=order,
            owner=owner,
            verdict=_verdict(line, policy, instances),
        )
        for order, (line, owner) in enumerate(zip(lines, owners, strict=True))
    )


def _verdict(line: Line, policy: TextPolicy, instances: Sequence[Instance]) -> Verdict:
    score, height = rounded(line.score), rounded(line.height)
    if not line.text:
        return drop("no character to read")
    if score < policy.threshold:
        return drop(f"score {against(score, policy.threshold)}, the threshold")
    if height < policy.min_height:
        return drop(f"text height {against(height, policy.min_height)} px")
    shape = _shape(line, instances)
    if shape is not None and shape.verdict.decision is Decision.ACCEPT and _is_figure(line.text):
        return drop(_looks_like(shape))
    doubts = [*line.doubts]
    if shape is not None:
        doubts.append(_looks_like(shape))
    if not any(char.isalnum() for char in line.text):
        doubts.append("no letter and no digit in it")
    if score < policy.review_below:
        doubts.append(f"score {against(score, policy.review_below)}")
    return review(*doubts) if doubts else accept(f"score {against(score, policy.review_below)}")


def _shape(line: Line, instances: Sequence[Instance]) -> Instance | None:
    """The object that was read as a character, if the line is one character.

    Dropped objects count too: what shape a region has does not depend on a threshold.
    """
    if len(line.text) > 1:
        return None
    box = quad_box(line.quad)
    for one in instances:
        named = one.class_name != UNNAMED and one.background < one.score
        inside = box_containment(one.region.box, box) >= _SHAPE_INSIDE
        if named and inside and box_containment(box, one.region.box) >= _SHAPE_FILLS:
            return one
    return None


def _is_figure(text: str) -> bool:
    return text in _ROUND or not text.isalnum()


def _looks_like(shape: Instance) -> str:
    return f"looks like the shape of the {shape.class_name} {where(shape.region.box)}"


def _owners(
    quads: Sequence[Quad], share: float, instances: Sequence[Instance], image: ImageInfo
) -> list[int | None]:
    """Find the smallest object that carries each line."""
    alive = [at for at, one in enumerate(instances) if one.verdict.decision is not Decision.DROP]
    alive.sort(key=lambda at: (instances[at].region.area, at))
    return [_owner(quad, share, instances, alive, image) for quad in quads]


def _owner(
    quad: Quad,
    share: float,
    instances: Sequence[Instance],
    by_size: Sequence[int],
    image: ImageInfo,
) -> int | None:
    drawn = rle.quad_mask(quad, image.width, image.height)
    box = rle.tight_box(drawn)
    if box is None:
        return None
    for at in by_size:
        region = instances[at].region
        if box_containment(box, region.box) > 0:
            inside = rle.containment_matrix([drawn, region.mask])[0, 1]
            if rounded(float(inside)) >= share:
                return at
    return None
