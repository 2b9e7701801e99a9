"""Why one label is as it is: which model said what, what the policy made of it, what people did.

Loads no model: scores are derived again from the findings in the store, prompt by prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipeline.errors import ReviewError
from pipeline.evidence import Derived, Evidence
from pipeline.fuse.tags import tag_scores
from pipeline.fuse.vocabulary import prompts_of
from pipeline.labels import Content, CurrentLabels, Kind, MergedLabel
from pipeline.labels.log import read_events
from pipeline.labels.merge import merge
from pipeline.labels.runs import FinishedRun, RunImage
from pipeline.labels.values import Event, ImageReviews
from pipeline.records import Decision, Instance, JsonObject, StageName

_BEST: Final = 5
_TAG: Final = "tag:"
_DROPPED: Final = "dropped"


@dataclass(frozen=True, slots=True)
class Scored:
    """Something with the score it got."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Happened:
    """What somebody did to the label, or to its image as a whole."""

    at: str
    by: str
    what: tuple[str, ...]
    now: str | None


@dataclass(frozen=True, slots=True)
class Why:
    """All that is known about one label.

    Attributes:
        status: What people decided: pending, accepted, rejected, edited; ``deleted``; ``dropped``
            if the policy did not let it into the labels.
        models: What made it: engine, model, weights digest and fingerprint, as the run noted them.
        score: As it was decided on.
        runner_up: Next best class.
        background: Probability that an object is none of the classes.
        thresholds: Names in the run file → values that it was held against.
        decision: The policy's.
        reason: In words.
        cosines: Raw: prompts of the class → cosine with what the model saw, best first.
        rivals: Classes → scores, best first, the label's own among them.
        mask: Raw scores of the mask, for objects.
        history: What people did, oldest first.
        missing: Why raw scores are not there, in words; None if they are.
    """

    id: str
    kind: str
    label: str
    text: str | None
    file_name: str
    sha256: str
    run_id: str
    status: str
    models: tuple[Mapping[str, str], ...]
    score: float | None = None
    runner_up: Scored | None = None
    background: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    decision: str | None = None
    reason: str | None = None
    cosines: tuple[Scored, ...] = ()
    rivals: tuple[Scored, ...] = ()
    mask: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Happened, ...] = ()
    missing: str | None = None


def why(workspace: Path, label_id: str) -> Why:
    """Say all that is known about a label of the latest run, or of the reviews.

    Args:
        workspace: The workspace.
        label_id: Annotation id of the COCO file, ``tag:<digest>:<class>``, or ``human:<id>``.
            Tags that were dropped have ids too.

    Raises:
        ReviewError: There is no finished run, or no such label.
    """
    current = CurrentLabels(workspace)
    events = [e for e in read_events(current.log.folder) if _concerns(e, label_id)]
    image = _image(current.run, label_id, events)
    if image is None:
        raise ReviewError(
            f"{label_id}: neither run {current.run.run_id} nor the reviews of {workspace} know a "
            "label of this id. Expected: the id of an annotation in labels.coco.json, "
            "`tag:<digest>:<class>`, or `human:<id>`"
        )
    derived = Evidence(current.run)
    reviews = current.log[image.sha256]
    labels = {one.id: one for one in merge(image.labels, reviews, current.run.same_object)}
    base = _base(label_id, image, current.run, labels.get(label_id), events)
    base = replace(base, history=tuple(_history(current.log.folder, label_id, image.sha256)))
    return _explained(base, image, derived, reviews)


def _concerns(event: Event, label_id: str) -> bool:
    return event.label is not None and event.label.id == label_id


def _image(run: FinishedRun, label_id: str, events: Sequence[Event]) -> RunImage | None:
    digest = events[-1].image if events else None
    if label_id.startswith(_TAG):
        digest = label_id.removeprefix(_TAG).partition(":")[0] or None
    for image in run.images():
        if digest is not None:
            if image.sha256.startswith(digest):
                return image
        elif any(label.id == label_id for label in image.labels):
            return image
    return None


def _base(
    label_id: str,
    image: RunImage,
    run: FinishedRun,
    label: MergedLabel | None,
    events: Sequence[Event],
) -> Why:
    place = (image.file_name, image.sha256, run.run_id)
    if label is not None:
        said, facts = label.content, label.facts
        why = Why(
            label_id, said.kind.value, said.label, said.text, *place, label.status.value, (),
            facts.score, decision=facts.decision, reason=facts.reason, background=facts.background,
        )  # fmt: skip
    elif events and events[-1].label is not None:
        left = events[-1].label
        was = left.content or left.machine
        said = was or Content(Kind.OBJECT, "unknown")
        why = Why(label_id, said.kind.value, said.label, said.text, *place, left.status.value, ())
    else:
        name = label_id.removeprefix(_TAG).partition(":")[2] or "unknown"
        why = Why(label_id, Kind.TAG.value, name, None, *place, _DROPPED, ())
    return replace(why, models=tuple(_models(run, why.kind)))


def _models(run: FinishedRun, kind: str) -> Iterator[JsonObject]:
    stages = {
        Kind.TAG.value: (StageName.EMBED,),
        Kind.OBJECT.value: (
            StageName.SEGMENT,
            StageName.EMBED_REGIONS,
            StageName.POOL_REGIONS,
        ),
        Kind.TEXT.value: (StageName.READ,),
    }.get(kind, ())
    for row in run.provenance.values():
        if row["stage"] in {stage.value for stage in stages}:
            yield row


def _history(folder: Path, label_id: str, sha256: str) -> Iterator[Happened]:
    for event in read_events(folder):
        if _concerns(event, label_id) or (event.image == sha256 and event.label is None):
            content = None if event.label is None else event.label.content
            now = None if content is None else content.text or content.label
            what = tuple(one.value for one in event.what)
            yield Happened(event.at, event.by, what, now)


def _explained(why: Why, image: RunImage, evidence: Evidence, reviews: ImageReviews) -> Why:
    derived = evidence.of(image)
    if derived is None:
        note = "the store has lost findings of this image; running again brings them back"
        return replace(why, missing=note)
    match why.kind:
        case Kind.TAG.value:
            return _tag(why, derived, evidence)
        case Kind.OBJECT.value:
            return _object(why, image, derived, evidence, reviews)
        case _:
            policy = evidence.policy.text
            limits = {
                "policy.text.threshold": policy.threshold,
                "policy.text.review_below": policy.review_below,
            }
            return replace(why, thresholds=limits)


def _tag(why: Why, derived: Derived, evidence: Evidence) -> Why:
    vocabulary, vector = evidence.vocabulary, derived.findings.vector
    if vocabulary is None or vector is None:
        return why
    scores = tag_scores(vector, vocabulary)
    if why.label not in scores:
        return replace(why, missing="people gave this tag; the policy has no class of this name")
    ranked = [Scored(name, score) for name, score in sorted(scores.items(), key=lambda x: -x[1])]
    said = next((tag for tag in derived.labels.tags if tag.class_name == why.label), None)
    policy = evidence.policy.tags
    limit = said.threshold if said else _tag_limit(evidence, why.label)
    return replace(
        why,
        score=scores[why.label],
        runner_up=next((one for one in ranked if one.name != why.label), None),
        thresholds={
            "policy.tags.threshold" if limit == policy.threshold else "tag_threshold": limit,
            "policy.tags.review_margin": policy.review_margin,
        },
        decision=said.verdict.decision.value if said else Decision.DROP.value,
        reason=said.verdict.reason if said else f"score {scores[why.label]:.2f} < {limit:.2f}",
        cosines=_cosines(why.label, vector, evidence),
        rivals=tuple(ranked[:_BEST]),
    )


def _tag_limit(evidence: Evidence, name: str) -> float:
    entry = next(entry for entry in evidence.policy.classes if entry.name == name)
    limit = entry.tag_threshold
    return evidence.policy.tags.threshold if limit is None else limit


def _cosines(name: str, vector: Any, evidence: Evidence) -> tuple[Scored, ...]:  # noqa: ANN401
    """Cosine of what the model saw with each prompt of a class, best first."""
    assert evidence.prompts is not None, "there is a vocabulary"
    entry = next(entry for entry in evidence.policy.classes if entry.name == name)
    alone = evidence.policy.model_copy(update={"classes": (entry,), "background": ()})
    found = [
        Scored(prompt, round(float(np.dot(vector, evidence.prompts.vectors[prompt])), 6))
        for prompt in prompts_of(alone)
    ]
    return tuple(sorted(found, key=lambda one: -one.score))


def _object(
    why: Why, image: RunImage, derived: Derived, evidence: Evidence, reviews: ImageReviews
) -> Why:
    one = _instance(why.id, image, derived, reviews)
    policy, limits = evidence.policy.regions, {}
    limits["policy.regions.review_below"] = policy.review_below
    limits["policy.regions.review_margin"] = policy.review_margin
    if one is None:
        return replace(why, missing="the run has no region of this geometry: people drew it")
    own = {entry.name: entry.region_threshold for entry in evidence.policy.classes}
    limit = own.get(one.class_name)
    name = "policy.regions.threshold" if limit is None else "region_threshold"
    limits = {name: policy.threshold if limit is None else limit, **limits}
    at = derived.findings.regions.index(one.region)
    vectors = derived.findings.region_vectors
    cosines = () if vectors is None else _cosines(one.class_name, vectors.cropped[at], evidence)
    next_best = one.runner_up
    second = None if next_best is None else Scored(next_best.class_name, next_best.score)
    rivals = [Scored(one.class_name, one.score), *([second] if second else [])]
    return replace(
        why,
        score=one.score,
        runner_up=second,
        background=one.background,
        thresholds=limits,
        decision=one.verdict.decision.value,
        reason=one.verdict.reason,
        cosines=cosines,
        rivals=tuple(rivals),
        mask={
            "predicted_iou": round(one.region.predicted_iou, 6),
            "stability": round(one.region.stability, 6),
            "area": one.region.area,
            "merged": one.merged,
        },
    )


def _instance(
    label_id: str, image: RunImage, derived: Derived, reviews: ImageReviews
) -> Instance | None:
    by_id = {label.id: label.content.mask for label in image.labels}
    mask = by_id.get(label_id)
    review = reviews.labels.get(label_id)
    if mask is None and review is not None and review.machine is not None:
        mask = review.machine.mask
    return next((one for one in derived.labels.instances if one.region.mask == mask), None)
