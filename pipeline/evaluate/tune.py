"""Thresholds per class for the policy: chosen on one half of the images, judged on the other.

No model runs. Only labels that the run wrote can be judged, so thresholds go up from those of the
run; to look lower, label once with thresholds of 0, which costs no inference either.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from ruamel.yaml import YAML

from pipeline.errors import ConfigError, EvaluationError
from pipeline.evaluate.compare import compare
from pipeline.evaluate.objects import Pairs, pair
from pipeline.evaluate.sides import Compared
from pipeline.metrics.intervals import Counts
from pipeline.records import JsonObject
from pipeline.runfile import RunFile
from pipeline.store.parts import durable_write

POLICY: Final = "policy.yaml"
WARNING: Final = (
    "A threshold picked where a sample reaches its target misses it on new images about half the "
    "time: believe the lower end of the interval of the other half, not the target. A guarantee "
    "needs a certificate on images reviewed after the threshold was frozen."
)
_DIGITS: Final = 4
_REGION: Final = "region_threshold"
_TAG: Final = "tag_threshold"


@dataclass(frozen=True, slots=True)
class Goal:
    """What thresholds are chosen for.

    Attributes:
        precision: Precision to reach with as many labels as possible; None for the best F1.
    """

    precision: float | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """A label that was found, and whether it is right."""

    score: float
    right: bool


@dataclass(frozen=True, slots=True)
class Threshold:
    """A proposal for one class.

    Attributes:
        key: ``region_threshold`` or ``tag_threshold``.
        value: None if no threshold reaches the goal on the half it was chosen on.
        chosen_on: Counts there.
        judged_on: Counts on the other half, which the threshold has never seen.
        before: Counts on the other half without it.
    """

    class_name: str
    key: str
    value: float | None
    chosen_on: Counts
    judged_on: Counts
    before: Counts


@dataclass(frozen=True, slots=True)
class Tuned:
    """Thresholds for all classes.

    Attributes:
        path: The policy file.
        images: Images of both halves.
    """

    path: Path
    images: tuple[int, int]
    thresholds: tuple[Threshold, ...]
    warning: str = WARNING


def tune(run: RunFile, truth: str, goal: Goal, out: Path | None = None) -> Tuned:
    """Propose thresholds, and write the run's policy with them.

    Args:
        run: The run file.
        truth: Path of a COCO file, or ``reviewed``.
        goal: What is wanted.
        out: File to write; default ``policy.yaml`` in the run's folder.

    Raises:
        ConfigError: The goal is no precision.
        EvaluationError: There are fewer than two images, or the file cannot be written.
    """
    if goal.precision is not None and not 0 < goal.precision <= 1:
        raise ConfigError(f"--precision {goal.precision}: expected more than 0, at most 1")
    comparison = compare(run.config.workspace, truth)
    halves = split_in_half(comparison.images)
    if not halves[1]:
        raise EvaluationError(f"{truth}: one image cannot be halved; more truth is needed")
    sides = [_Half(half, [pair(image) for image in half]) for half in halves]
    names = [(name, _REGION) for name in comparison.classes or ()]
    names += [(name, _TAG) for name in comparison.tag_classes or ()]
    thresholds = tuple(_propose(name, key, sides, goal) for name, key in names)
    path = out or run.config.workspace / "runs" / comparison.run_id / POLICY
    try:
        durable_write(path, policy_file(run, thresholds).encode())
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be written: {error}") from None
    return Tuned(path, (len(halves[0]), len(halves[1])), thresholds)


def split_in_half(images: Sequence[Compared]) -> tuple[list[Compared], list[Compared]]:
    """Halve images by their digests: the same halves whatever their order and names."""
    ordered = sorted(images, key=lambda image: image.sha256)
    return ordered[::2], ordered[1::2]


@dataclass(frozen=True, slots=True)
class _Half:
    """Images of one half, their objects paired once for all classes."""

    images: Sequence[Compared]
    pairs: Sequence[Pairs]

    def judged(self, name: str, key: str) -> tuple[list[Judged], int]:
        """What was found of a class, and how many there are."""
        if key == _TAG:
            true = [name in (image.truth.tags or {}) for image in self.images]
            scores = [(image.found.tags or {}).get(name) for image in self.images]
            pairs = zip(scores, true, strict=True)
            return [Judged(score, is_true) for score, is_true in pairs if score is not None], sum(
                true
            )
        outcomes = [outcome for pairs in self.pairs for outcome in pairs.outcomes()]
        labels = [
            Judged(shape.score, right) for shape, right in outcomes if shape.class_name == name
        ]
        truth = [shape for pairs in self.pairs for shape in pairs.truth]
        return labels, sum(shape.class_name == name for shape in truth)


def _propose(name: str, key: str, halves: Sequence[_Half], goal: Goal) -> Threshold:
    here, there = (half.judged(name, key) for half in halves)
    value = choose(here[0], here[1], goal)
    cut = value or 0.0
    return Threshold(name, key, value, _cut(*here, cut), _cut(*there, cut), _cut(*there, 0.0))


def choose(labels: Sequence[Judged], truth: int, goal: Goal) -> float | None:
    """Choose the threshold: for a precision the lowest that reaches it, else the best F1.

    Args:
        labels: What was found.
        truth: How many there are to be found.
        goal: What is wanted.
    """
    cuts = sorted({label.score for label in labels})
    counted = [(cut, _cut(labels, truth, cut)) for cut in cuts]
    if goal.precision is not None:
        reached = [cut for cut, of in counted if of.tp >= goal.precision * of.found]
        return _rounded(min(reached)) if reached else None
    best = max(counted, key=lambda pair: (_f1(pair[1]), -pair[0]), default=None)
    return None if best is None else _rounded(best[0])


def _f1(of: Counts) -> float:
    return 2 * of.tp / max(2 * of.tp + of.fp + of.fn, 1)


def _rounded(value: float) -> float:
    # Down, or the label that the threshold was taken from would fall below it.
    return float(np.floor(value * 10**_DIGITS) / 10**_DIGITS)


def _cut(labels: Sequence[Judged], truth: int, threshold: float) -> Counts:
    kept = [label.right for label in labels if label.score >= threshold]
    return Counts(sum(kept), len(kept) - sum(kept), truth - sum(kept))


def policy_file(run: RunFile, thresholds: Sequence[Threshold]) -> str:
    """Write the run file's policy with the thresholds in it, as YAML to put in its place."""
    policy: JsonObject = run.config.policy.model_dump(mode="json", exclude_defaults=True)
    proposed: Mapping[tuple[str, str], float] = {
        (of.class_name, of.key): of.value for of in thresholds if of.value is not None
    }
    for entry in policy.get("classes", []):
        for key in (_REGION, _TAG):
            if (entry["name"], key) in proposed:
                entry[key] = proposed[entry["name"], key]
    stream = io.StringIO()
    yaml = YAML()
    yaml.width = 100
    yaml.dump({"policy": policy}, stream)
    head = "".join(f"# {line}\n" for line in _head(thresholds))
    return head + stream.getvalue()


def _head(thresholds: Sequence[Threshold]) -> list[str]:
    lines = ["Thresholds by autolabel tune; put this in the place of `policy` in the run file."]
    lines += [WARNING, "Judged on images that the thresholds have not seen:"]
    for of in thresholds:
        if of.value is None:
            lines.append(f"  {of.class_name}: no {of.key} reaches the goal; left as it was")
        elif (precision := of.judged_on.precision) is not None:
            shown = f"{precision.value:.3f} ({precision.low:.3f} to {precision.high:.3f})"
            lines.append(f"  {of.class_name}: {of.key} {of.value}, precision {shown}")
    return lines
