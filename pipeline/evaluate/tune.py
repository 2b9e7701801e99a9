"""Thresholds per class for the policy: chosen on one half of the images, judged on the other.

No model runs. The findings of the run are in its store, so they are judged anew by a policy with
thresholds of 0, and a threshold can go down as well as up. What a proposal does is not estimated:
the findings are judged once more by the proposed policy. Without the findings, only labels that
the run wrote can be judged, and thresholds only go up.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from ruamel.yaml import YAML

from pipeline.config import PolicyConfig
from pipeline.errors import ConfigError, EvaluationError
from pipeline.evaluate.compare import compare, derived_side
from pipeline.evaluate.objects import Pairs, pair
from pipeline.evaluate.sides import Compared, Comparison
from pipeline.evidence import Evidence
from pipeline.labels.runs import latest
from pipeline.metrics.intervals import Counts, at_least
from pipeline.records import JsonObject
from pipeline.runfile import RunFile
from pipeline.store.parts import durable_write

POLICY: Final = "policy.yaml"
NO_FINDINGS: Final = (
    "the store lacks findings of this run: only labels that it wrote were judged, so no threshold "
    "goes down. Run again with the same run file to have them"
)
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
        present: Threshold of the run.
        value: None if no threshold reaches the goal on the half it was chosen on.
        chosen_on: Counts there.
        judged_on: Counts on the other half, which the threshold has never seen.
        before: Counts on the other half with the thresholds of the run.
        at_least: Precision that the other half shows at 95 % (one-sided Clopper-Pearson), of
            this class alone; None without a target precision.
    """

    class_name: str
    key: str
    present: float
    value: float | None
    chosen_on: Counts
    judged_on: Counts
    before: Counts
    at_least: float | None = None


@dataclass(frozen=True, slots=True)
class Tuned:
    """Thresholds for all classes.

    Attributes:
        path: The policy file.
        images: Images of both halves.
        precision: The goal; None for the best F1.
        note: Why no threshold could go down; None if they could.
    """

    path: Path
    images: tuple[int, int]
    thresholds: tuple[Threshold, ...]
    precision: float | None = None
    note: str | None = None
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
    written = _halves(comparison.images)
    if not written[1].images:
        raise EvaluationError(f"{truth}: one image cannot be halved; more truth is needed")
    names = [(name, _REGION) for name in comparison.classes or ()]
    names += [(name, _TAG) for name in comparison.tag_classes or ()]
    judge = _Judge(run.config.workspace, comparison)
    chosen = {pair: judge.choose(*pair, goal) for pair in names}
    thresholds = judge.judge(chosen, written, goal)
    path = out or run.config.workspace / "runs" / comparison.run_id / POLICY
    try:
        durable_write(path, policy_file(run, thresholds).encode())
    except OSError as error:
        raise EvaluationError(f"{path}: cannot be written: {error}") from None
    images = len(written[0].images), len(written[1].images)
    return Tuned(path, images, tuple(thresholds), goal.precision, judge.note)


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


def _halves(images: Sequence[Compared]) -> tuple[_Half, _Half]:
    here, there = split_in_half(images)
    return _Half(here, [pair(one) for one in here]), _Half(there, [pair(one) for one in there])


_Chosen: TypeAlias = Mapping[tuple[str, str], float | None]
"""Class and key → threshold; None to leave it as it is."""


class _Judge:
    """Judges the findings of a run by policies that differ from its own in thresholds.

    Attributes:
        note: Why only labels that the run wrote can be judged; None if the findings are there.
    """

    def __init__(self, workspace: Path, comparison: Comparison) -> None:
        run = latest(workspace)
        self._comparison, self._evidence = comparison, Evidence(run)
        wanted = {image.sha256 for image in comparison.images}
        self._images = {image.sha256: image for image in run.images() if image.sha256 in wanted}
        generous = self._judged(_floor(self._evidence.policy))
        self.note = NO_FINDINGS if generous is None else None
        # The half that thresholds are chosen on, with all that has any score.
        self._generous = _halves(comparison.images if generous is None else generous)[0]

    def choose(self, name: str, key: str, goal: Goal) -> float | None:
        """Choose the threshold of a class."""
        present = _present(self._evidence.policy)(name, key)
        return choose(*self._generous.judged(name, key), goal, present)

    def judge(self, chosen: _Chosen, written: Sequence[_Half], goal: Goal) -> list[Threshold]:
        """Say what thresholds do."""
        policy = self._evidence.policy
        judged = None if self.note else self._judged(_with(policy, chosen))
        halves = written if judged is None else _halves(judged)
        present, thresholds = _present(policy), []
        for (name, key), value in chosen.items():
            cut = (value or 0.0) if judged is None else 0.0
            here, there = (_cut(*half.judged(name, key), cut) for half in halves)
            before = _cut(*written[1].judged(name, key), 0.0)
            shown = None if goal.precision is None else at_least(there.tp, there.found)
            now = present(name, key)
            thresholds.append(Threshold(name, key, now, value, here, there, before, shown))
        return thresholds

    def _judged(self, policy: PolicyConfig) -> list[Compared] | None:
        """What the run would have written by another policy; None if findings are lost."""
        judged = []
        for image in self._comparison.images:
            derived = self._evidence.of(self._images[image.sha256], policy)
            if derived is None:
                return None
            found = derived_side(derived.labels, self._comparison.classes)
            judged.append(replace(image, found=found))
        return judged


def _present(policy: PolicyConfig) -> Callable[[str, str], float]:
    """Give the threshold that a policy has for a class."""
    own = {entry.name: entry for entry in policy.classes}
    general = {_REGION: policy.regions.threshold, _TAG: policy.tags.threshold}

    def threshold(name: str, key: str) -> float:
        """Give a class's own threshold, or the general one."""
        value: float | None = getattr(own.get(name), key, None)
        return general[key] if value is None else value

    return threshold


def _floor(policy: PolicyConfig) -> PolicyConfig:
    """The policy with thresholds of 0."""
    every = {(entry.name, key): 0.0 for entry in policy.classes for key in (_REGION, _TAG)}
    return _with(policy, every)


def _with(policy: PolicyConfig, chosen: _Chosen) -> PolicyConfig:
    classes = tuple(
        entry.model_copy(
            update={
                key: value
                for key in (_REGION, _TAG)
                if (value := chosen.get((entry.name, key))) is not None
            }
        )
        for entry in policy.classes
    )
    return policy.model_copy(update={"classes": classes})


def choose(
    labels: Sequence[Judged], truth: int, goal: Goal, present: float | None = None
) -> float | None:
    """Choose the threshold: for a precision the lowest that reaches it, else the best F1.

    It lies halfway between the last label it keeps and the first it drops: where no label says
    more, either end would fit this sample better than the next.

    Args:
        labels: What was found.
        truth: How many there are to be found.
        goal: What is wanted.
        present: Threshold to keep if no other has a better F1.
    """
    cuts = sorted({label.score for label in labels})
    counted = [(cut, _cut(labels, truth, cut)) for cut in cuts]
    if goal.precision is not None:
        reached = [cut for cut, of in counted if of.tp >= goal.precision * of.found]
        return _halfway(min(reached), cuts) if reached else None
    best = max(counted, key=lambda pair: (_f1(pair[1]), -pair[0]), default=None)
    if best is None:
        return None
    if present is not None and _f1(_cut(labels, truth, present)) >= _f1(best[1]):
        return present
    return _halfway(best[0], cuts)


def _f1(of: Counts) -> float:
    return 2 * of.tp / max(2 * of.tp + of.fp + of.fn, 1)


def _halfway(cut: float, cuts: Sequence[float]) -> float:
    """Threshold between a score and the one below it, with few digits where there is room."""
    below = max((other for other in cuts if other < cut), default=None)
    if below is None:
        # Down, or the label that the threshold was taken from would fall below it.
        return float(np.floor(cut * 10**_DIGITS) / 10**_DIGITS)
    middle = round((below + cut) / 2, _DIGITS)
    return middle if below < middle <= cut else cut


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
            line = f"  {of.class_name}: {of.key} {of.value} (was {of.present:g}), precision {shown}"
            shown = "" if of.at_least is None else f", at least {of.at_least:.3f} at 95 %"
            lines.append(line + shown)
    return lines
