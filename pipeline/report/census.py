"""One walk through a run: counts, scores, reasons, and the images worth looking at."""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import numpy as np

from pipeline.evidence import Evidence
from pipeline.fuse.tags import tag_scores
from pipeline.labels import CurrentImage, CurrentLabels, Kind, MergedLabel, Status
from pipeline.records import Decision

EXAMPLES: Final = 6
"""Images shown of each sort: those the run is least sure of, and typical ones."""

SAMPLED: Final = 1000
"""Images whose dropped scores are derived again; evenly spaced, for the sake of time."""

_NUMBER: Final = re.compile(r"-?\d+(?:\.\d+)?")

PEOPLE: Final = (Status.ACCEPTED, Status.EDITED, Status.REJECTED)


@dataclass(slots=True)
class Census:
    """What a walk through a run finds.

    Attributes:
        classes: (kind, class) → counts of ``accept``, ``review``, and of what people decided.
        reasons: Reason for review, numbers and names left out → labels.
        first: The same → reason of the first such label, as it was said.
        scores: (kind, class) → score and decision of every label, dropped ones too.
        sampled: Images that ``scores`` has dropped labels of.
        bare: Images without any label.
        unsure: The closest calls, closest first.
        typical: Evenly spaced over the run.
    """

    classes: dict[tuple[str, str], Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    reasons: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    scores: dict[tuple[str, str], list[tuple[float, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    images: int = 0
    done: int = 0
    bare: int = 0
    sampled: int = 0
    proposals: int = 0
    unsure: list[CurrentImage] = field(default_factory=list)
    typical: list[CurrentImage] = field(default_factory=list)

    def total(self, *names: str) -> int:
        """Labels counted under any of these names."""
        return sum(counts[name] for counts in self.classes.values() for name in names)

    def kinds(self, *names: str) -> str:
        """The same kind by kind, in words."""
        total: Counter[str] = Counter()
        for (kind, _), counts in self.classes.items():
            total[kind] += sum(counts[name] for name in names)
        parts = [f"{n} {kind}{'s' * (n != 1)}" for kind, n in sorted(total.items()) if n]
        return ", ".join(parts)

    def common_reasons(self, n: int) -> list[tuple[str, int]]:
        """The most frequent reasons for review, each as it was said of its first label."""
        return [(self.first[reason], labels) for reason, labels in self.reasons.most_common(n)]


def take(current: CurrentLabels, evidence: Evidence | None) -> Census:
    """Walk through the labels as they stand, one image in memory at a time.

    Args:
        current: Run and reviews.
        evidence: For scores of dropped labels; None if they are of no interest.
    """
    census = Census()
    names = sorted(current.run.classes, key=len, reverse=True)
    # Twice as many as are shown: some of the evenly spaced ones may be close calls.
    spacing, step = max(1, len(current) // (2 * EXAMPLES)), max(1, len(current) // SAMPLED)
    closest: list[tuple[float, int, CurrentImage]] = []
    tie = count()
    for at, image in enumerate(current):
        _count(census, image, names)
        if at % step == 0:
            _score(census, image, evidence)
        if at % spacing == spacing // 2:
            census.typical.append(image)
        heapq.heappush(closest, (-closeness(image), next(tie), image))
        if len(closest) > EXAMPLES:
            heapq.heappop(closest)
    ranked = sorted(closest, key=lambda one: -one[0])
    census.unsure = [image for value, _, image in ranked if value > -math.inf]
    shown = {image.image.sha256 for image in census.unsure}
    other = [image for image in census.typical if image.image.sha256 not in shown]
    census.typical = other[:: max(1, len(other) // EXAMPLES)][:EXAMPLES]
    return census


def closeness(image: CurrentImage) -> float:
    """How close the closest call was that waits for a person; infinite if there is none."""
    margins = [
        label.facts.margin
        for label in image.labels
        if label.status is Status.PENDING
        and label.facts.decision == Decision.REVIEW
        and label.facts.margin is not None
    ]
    return min(margins, default=math.inf)


def _count(census: Census, image: CurrentImage, names: Iterable[str]) -> None:
    census.images += 1
    census.done += image.done
    census.bare += not image.labels
    for label in image.labels:
        counts = census.classes[label.content.kind.value, label.content.label]
        counts[_state(label)] += 1
        census.proposals += label.proposal is not None
        if label.status is Status.PENDING and label.facts.decision == Decision.REVIEW:
            for reason in (label.facts.reason or "").split("; "):
                kind = label.content.kind.value
                general = f"{kind}: {_general(reason, names)}"
                census.reasons[general] += 1
                census.first.setdefault(general, f"{kind}: {_in_words(reason)}")


def _state(label: MergedLabel) -> str:
    if label.status is Status.PENDING:
        return label.facts.decision or Decision.REVIEW.value
    return "added" if label.source == "human" else label.status.value


def _general(reason: str, names: Iterable[str]) -> str:
    """Take out of a reason what is this label's alone."""
    for name in names:
        reason = reason.replace(name, "…")
    return _NUMBER.sub("#", reason)


def _in_words(reason: str) -> str:
    return reason.replace(" < ", " is below ").replace(" >= ", " is at least ")


def _score(census: Census, image: CurrentImage, evidence: Evidence | None) -> None:
    rows = _derived(image, evidence)
    if rows is None:
        rows = _kept(image)
    else:
        census.sampled += 1
    for kind, name, score, decision in rows:
        census.scores[kind, name].append((score, decision))


_Row = tuple[str, str, float, str]


def _kept(image: CurrentImage) -> list[_Row]:
    return [
        (label.content.kind.value, label.content.label, label.facts.score, label.facts.decision)
        for label in image.labels
        if label.facts.score is not None and label.facts.decision is not None
    ]


def _derived(image: CurrentImage, evidence: Evidence | None) -> list[_Row] | None:
    derived = None if evidence is None else evidence.of(image.image)
    if derived is None or evidence is None:
        return None
    labels = derived.labels
    rows = list(_tag_rows(derived.findings.vector, evidence))
    said = {tag.class_name: tag.verdict.decision.value for tag in labels.tags}
    rows = [(kind, name, score, said.get(name, decision)) for kind, name, score, decision in rows]
    rows += [
        (Kind.OBJECT.value, one.class_name, one.score, one.verdict.decision.value)
        for one in labels.instances
    ]
    rows += [
        (Kind.TEXT.value, "text", one.score, one.verdict.decision.value) for one in labels.texts
    ]
    return rows


def _tag_rows(vector: object, evidence: Evidence) -> Iterator[_Row]:
    words = evidence.vocabulary
    if words is None or not isinstance(vector, np.ndarray) or not words.for_tags:
        return
    for name, score in tag_scores(vector, words).items():
        yield Kind.TAG.value, name, score, Decision.DROP.value
