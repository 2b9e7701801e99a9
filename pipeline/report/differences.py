"""What changed between two runs: settings, images, and labels that appeared, vanished or changed.

A label is the same in both if its id is, or if it covers the same place; the same rule by which a
re-run is merged with reviews.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline import rle
from pipeline.geometry import box_iou
from pipeline.labels.merge import SAME_TEXT
from pipeline.labels.runs import FinishedRun
from pipeline.labels.values import Kind, MachineLabel
from pipeline.records import JsonObject, Mask

_SHOWN: Final = 40
_SHORT: Final = 60
_DIGEST: Final = 64


@dataclass(frozen=True, slots=True)
class Change:
    """One label that is not what it was.

    Attributes:
        how: ``appeared``, ``vanished``, or what changed: ``class``, ``words``, ``verdict``,
            ``outline``.
        before: What it was, in words; empty if it appeared.
        after: What it is; empty if it vanished.
    """

    how: str
    kind: str
    file_name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of the run file, or a model, that differs."""

    name: str
    before: str
    after: str


@dataclass(slots=True)
class Differences:
    """Two runs compared.

    Attributes:
        before: Id of the older run.
        new_images: Images that only the newer run has.
        gone_images: Images that only the older run has.
        same: Labels in images of both that are the same.
        counts: (how, kind) → labels in images of both.
        changes: The first of them.
    """

    before: str
    settings: tuple[Setting, ...]
    new_images: int = 0
    gone_images: int = 0
    same: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    changes: list[Change] = field(default_factory=list)

    @property
    def n_changes(self) -> int:
        """Number of labels that are not what they were."""
        return self.counts.total()


def compare(before: FinishedRun, after: FinishedRun) -> Differences:
    """Compare two runs, image by image.

    Args:
        before: The older run.
        after: The newer run.

    Raises:
        ReviewError: A file of a run is damaged.
    """
    found = Differences(before.run_id, tuple(_settings(before, after)))
    shared = 0
    for image in after.images():
        if image.sha256 not in before:
            found.new_images += 1
            continue
        shared += 1
        old, new = before.labels(image.sha256), image.labels
        pairs = _pairs(old, new, after.same_object)
        for one, other in pairs:
            changed = list(_changed(one, other, image.file_name))
            found.same += not changed
            for change in changed:
                found.counts[change.how, change.kind] += 1
                if len(found.changes) < _SHOWN:
                    found.changes.append(change)
    found.gone_images = len(before) - shared
    return found


_Pair = tuple[MachineLabel | None, MachineLabel | None]


def _pairs(
    old: Sequence[MachineLabel], new: Sequence[MachineLabel], same_object: float
) -> list[_Pair]:
    """Every label of both runs once, with what it is in the other run."""
    known = {label.id: label for label in old}
    pairs: list[_Pair] = [(known.get(label.id), label) for label in new]
    left = {label.id for label in old} - {label.id for label in new}
    lone = [at for at, (one, _) in enumerate(pairs) if one is None]
    rivals = sorted(
        ((_overlap(known[name], new[at]), name, at) for name in left for at in lone), reverse=True
    )
    taken: set[int] = set()
    for share, name, at in rivals:
        limit = same_object if new[at].content.kind is Kind.OBJECT else SAME_TEXT
        if share > limit and name in left and at not in taken:
            left.discard(name)
            taken.add(at)
            pairs[at] = (known[name], new[at])
    return [*pairs, *((label, None) for label in old if label.id in left)]


def _overlap(a: MachineLabel, b: MachineLabel) -> float:
    if a.content.kind is not b.content.kind or a.content.kind is Kind.TAG:
        return 0.0
    if a.content.mask is not None and b.content.mask is not None:
        return _mask_iou(a.content.mask, b.content.mask)
    if a.content.box is not None and b.content.box is not None:
        return box_iou(a.content.box, b.content.box)
    return 0.0


def _mask_iou(a: Mask, b: Mask) -> float:
    if (a.height, a.width) != (b.height, b.width):
        return 0.0
    return float(rle.iou_matrix([a, b])[0, 1])


def _changed(
    before: MachineLabel | None, after: MachineLabel | None, file_name: str
) -> Iterator[Change]:
    """Say what is not as it was.

    Yields:
        The weightiest change of a label, if there is any.
    """
    if before is None or after is None:
        label = after or before
        assert label is not None, "a pair is of at least one label"
        how = "appeared" if before is None else "vanished"
        said = _named(label)
        kind = label.content.kind.value
        yield Change(how, kind, file_name, *(("", said) if before is None else (said, "")))
        return
    one, other = before.content, after.content
    kind = other.kind.value
    if one.label != other.label:
        yield Change("class", kind, file_name, _named(before), _named(after))
    elif one.text != other.text:
        yield Change("words", kind, file_name, one.text or "", other.text or "")
    elif before.facts.decision != after.facts.decision:
        yield Change("verdict", kind, file_name, _judged(before), _judged(after))
    elif one.geometry != other.geometry:
        share = _overlap(before, after)
        yield Change("outline", kind, file_name, _named(before), f"IoU {share:.2f} with it")


def _named(label: MachineLabel) -> str:
    score = label.facts.score
    name = label.content.text or label.content.label
    return name if score is None else f"{name} {score:.2f}"


def _judged(label: MachineLabel) -> str:
    return f"{_named(label)}, {label.facts.decision}: {label.facts.reason}"


def _settings(before: FinishedRun, after: FinishedRun) -> Iterator[Setting]:
    old, new = _flat(before.config), _flat(after.config)
    old |= {f"weights of {name}": one for name, one in _weights(before).items()}
    new |= {f"weights of {name}": one for name, one in _weights(after).items()}
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield Setting(key, _short(old.get(key)), _short(new.get(key)))


def _weights(run: FinishedRun) -> dict[str, str]:
    return {row["stage"]: str(row["weights"]) for row in run.provenance.values()}


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401
    if isinstance(value, Mapping):
        items = [(str(key), one) for key, one in value.items()]
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        items = [(str(one.get("name", at)), one) for at, one in enumerate(value)]
    else:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, one in items:
        flat |= _flat(one, f"{prefix}.{key}" if prefix else key)
    return flat


def _short(value: JsonObject | object) -> str:
    text = "none" if value is None else str(value)
    if len(text) == _DIGEST and text.isalnum():
        return f"{text[:12]}…"
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"
