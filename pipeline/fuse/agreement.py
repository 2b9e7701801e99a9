"""Where tags and instances contradict each other: shown to a person, never settled here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from pipeline.config import PolicyConfig
from pipeline.fuse.reasons import doubt
from pipeline.records import Decision, ImageInfo, Instance, Tag

_LARGE: Final = 0.25
"""Share of the image from which an object must show in the image's own vector.

Small objects hardly do, so for them a missing tag says nothing.
"""


def compare(
    tags: Sequence[Tag],
    scores: Mapping[str, float],
    instances: Sequence[Instance],
    policy: PolicyConfig,
    image: ImageInfo,
) -> tuple[list[Tag], list[Instance]]:
    """Send to review what tags and instances disagree on, for classes used for both.

    Call it only for images that were asked for both: silence of a stage that was not asked is no
    contradiction.

    Args:
        tags: Decided tags.
        scores: Of all classes that may tag, listed or not.
        instances: Decided instances.
        policy: Says which classes are used for both.
        image: Gives the size.

    Returns:
        The same tags and instances in the same order, some with another verdict.
    """
    both = {entry.name for entry in policy.classes if entry.use == "both"}
    tagged = {tag.class_name for tag in tags if _lives(tag)}
    seen = {one.class_name for one in instances if _lives(one)}
    large = _LARGE * image.width * image.height
    checked = [_unseen(tag) if tag.class_name in both - seen else tag for tag in tags]
    compared = [
        _untagged(one, scores[one.class_name])
        if one.class_name in both - tagged and one.region.area >= large
        else one
        for one in instances
    ]
    return checked, compared


def _lives(label: Tag | Instance) -> bool:
    return label.verdict.decision is not Decision.DROP


def _unseen(tag: Tag) -> Tag:
    reason = f"no region is named {tag.class_name} (set use: tag for classes that are no objects)"
    return replace(tag, verdict=doubt(tag.verdict, reason))


def _untagged(one: Instance, score: float) -> Instance:
    reason = f"it is large, but the image as a whole is not tagged {one.class_name} ({score:.2f})"
    return replace(one, verdict=doubt(one.verdict, reason))
