"""The counts of a run, and the equation they must satisfy: found = labelled + quarantined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, Final

from pipeline.errors import UnbalancedRunError
from pipeline.infer import InferReport, OpenStage, StagePlan
from pipeline.prompts import EmbeddedPrompts
from pipeline.records import Decision, ImageLabels, JsonObject, Quarantined, StageName

_PACKAGES: Final = (
    "autolabel-pipeline",
    "torch",
    "open_clip_torch",
    "segment-anything",
    "easyocr",
    "rapidocr",
    "Pillow",
)


@dataclass(slots=True)
class Tally:
    """Counts taken while labels are written.

    Attributes:
        images: Distinct images with labels.
        labelled: Files with labels, duplicates included.
        quarantined: Reason → files.
        labels: Kind → decision → labels.
        classes: Kind → class → labels that were not dropped.
    """

    images: int = 0
    labelled: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    classes: dict[str, Counter[str]] = field(default_factory=dict)

    def add_quarantined(self, row: Quarantined) -> None:
        """Count one file without labels."""
        self.quarantined[row.reason.value] += 1

    def add_labels(self, labels: ImageLabels) -> None:
        """Count one image and all its files."""
        self.images += 1
        self.labelled += 1 + len(labels.image.duplicates)
        for tag in labels.tags:
            self._add("tags", tag.verdict.decision, tag.class_name)
        for instance in labels.instances:
            self._add("instances", instance.verdict.decision, instance.class_name)
        for text in labels.texts:
            self._add("texts", text.verdict.decision, "text")

    def _add(self, kind: str, decision: Decision, class_name: str) -> None:
        self.labels.setdefault(kind, Counter())[decision.value] += 1
        if decision is not Decision.DROP:
            self.classes.setdefault(kind, Counter())[class_name] += 1


@dataclass(frozen=True, slots=True, eq=False)
class RunFacts:
    """What a run did, to be summarised.

    Attributes:
        found: Files that scan found.
        planned: What the run was going to ask.
        prompts: What the text tower was asked.
        wall_seconds: Wall time of the whole run so far.
    """

    run_id: str
    name: str
    found: int
    stages: Mapping[StageName, OpenStage]
    planned: Sequence[StagePlan]
    report: InferReport
    prompts: EmbeddedPrompts
    wall_seconds: float


def summarise(facts: RunFacts, tally: Tally) -> JsonObject:
    """Put the counts of a run together.

    Raises:
        UnbalancedRunError: A file is neither labelled nor quarantined, or is both.
    """
    quarantined = tally.quarantined.total()
    if facts.found != tally.labelled + quarantined:
        message = (
            f"run {facts.run_id}: {facts.found} files found, but {tally.labelled} labelled + "
            f"{quarantined} quarantined. This is a bug: please report it."
        )
        raise UnbalancedRunError(message)
    stages = {plan.stage.value: _stage(facts, plan) for plan in facts.planned}
    model = sum(row["seconds"] for name, row in stages.items() if name != "decode")
    prompts = {"ran": facts.prompts.new, "seconds": round(facts.prompts.seconds, 3)}
    return {
        "run_id": facts.run_id,
        "name": facts.name,
        "found": facts.found,
        "labelled": tally.labelled,
        "quarantined": quarantined,
        "images": tally.images,
        "duplicates": tally.labelled - tally.images,
        "quarantined_by_reason": _sorted(tally.quarantined),
        "labels": {kind: _sorted(counts) for kind, counts in sorted(tally.labels.items())},
        "classes": {kind: _sorted(counts) for kind, counts in sorted(tally.classes.items())},
        "stages": stages,
        "prompts": prompts,
        "load_seconds": round(facts.report.load_seconds, 3),
        "model_seconds": round(model + facts.prompts.seconds, 3),
        "busy_seconds": round(facts.report.busy_seconds + facts.prompts.seconds, 3),
        "wall_seconds": round(facts.wall_seconds, 3),
        "versions": {package: version(package) for package in _PACKAGES},
    }


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _stage(facts: RunFacts, plan: StagePlan) -> dict[str, Any]:
    stage, did = facts.stages[plan.stage], facts.report.stages[plan.stage]
    identity = stage.identity
    engine = None
    if identity is not None:
        engine = {**asdict(identity), "settings": dict(identity.settings)}
    return {
        "fingerprint": stage.store.fingerprint,
        "engine": engine,
        "why": plan.why,
        "ran": did.ran,
        "cached": plan.cached,
        "failed": did.failed,
        "seconds": round(did.seconds, 3),
    }
