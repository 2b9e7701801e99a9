"""What the models had said for a finished run, out of the store: for those who ask why.

Loads no model. The run folder says which findings a label was made from; as long as the store has
them, every label can be derived again, the dropped ones too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.config import PolicyConfig
from pipeline.errors import EngineError
from pipeline.fuse import Vocabulary, fuse, prompts_of
from pipeline.labels.runs import FinishedRun, RunImage
from pipeline.prompts import prompt_key
from pipeline.records import (
    Findings,
    ImageInfo,
    ImageLabels,
    ImageRecord,
    PromptVectors,
    SourceFile,
    StageName,
)
from pipeline.store import FindingStore, StageStore


@dataclass(frozen=True, slots=True, eq=False)
class Derived:
    """An image, what the models said of it, and the labels that follow.

    Attributes:
        labels: Dropped ones included.
    """

    findings: Findings
    labels: ImageLabels


class Evidence:
    """The findings of a finished run.

    Args:
        run: The run, in its workspace.

    Attributes:
        policy: By which the run decided.
        prompts: Text vectors of the policy; None if nothing was embedded, or the store has lost
            them.
        vocabulary: Made of them.
    """

    def __init__(self, run: FinishedRun) -> None:
        self.policy: Final = PolicyConfig.model_validate_json(json.dumps(run.config["policy"]))
        self._store = FindingStore(run.store_url)
        self._stages = {
            StageName(row["stage"]): self._stage(StageName(row["stage"]), row["fingerprint"])
            for row in run.provenance.values()
        }
        self.prompts: Final = self._prompts(run)
        self.vocabulary: Final = (
            None if self.prompts is None else Vocabulary.build(self.policy, self.prompts)
        )

    def of(self, image: RunImage, policy: PolicyConfig | None = None) -> Derived | None:
        """Derive the labels of an image again; None if the store has not all it takes.

        Args:
            image: Of the run.
            policy: What to decide by instead of the run's policy, of which it may differ in
                thresholds only.
        """
        findings = self._findings(image)
        if findings is None:
            return None
        try:
            return Derived(findings, fuse(findings, policy or self.policy, self.vocabulary))
        except EngineError:  # vectors of another model: the store was tampered with
            return None

    def _findings(self, image: RunImage) -> Findings | None:
        answers: dict[StageName, Any] = {}
        for name, store in self._stages.items():
            answer = None if store is None else store.read([image.sha256]).get(image.sha256)
            if answer is None:
                return None
            answers[name] = answer
        if StageName.EMBED in answers and self.vocabulary is None:
            return None
        source = SourceFile(0, image.file_name, image.sha256, image.n_bytes)
        info = ImageInfo(image.width, image.height, 1, image.mime, "RGB")
        return Findings(
            ImageRecord(source, (), info),
            answers.get(StageName.EMBED),
            answers.get(StageName.SEGMENT, ()),
            answers.get(StageName.EMBED_REGIONS),
            answers.get(StageName.READ, ()),
            answers.get(StageName.POOL_REGIONS),
        )

    def _stage(self, name: StageName, fingerprint: str) -> StageStore[Any] | None:
        description = self._store.description(name, fingerprint)
        return None if description is None else self._store.stage(name, description)

    def _prompts(self, run: FinishedRun) -> PromptVectors | None:
        rows = [row for row in run.provenance.values() if row["stage"] == StageName.EMBED.value]
        description = rows and self._store.description(StageName.EMBED, rows[0]["fingerprint"])
        if not description:
            return None
        asked = {key: value for key, value in description.items() if key != "pixels"}
        known = self._store.prompts({**asked, "stage": "prompts"})
        wanted = prompts_of(self.policy)
        found = known.read([prompt_key(prompt) for prompt in wanted])
        by_prompt = {vector.prompt: vector for vector in found.values()}
        if not wanted or not all(prompt in by_prompt for prompt in wanted):
            return None
        one = by_prompt[wanted[0]]
        vectors = {prompt: by_prompt[prompt].vector for prompt in wanted}
        return PromptVectors(vectors, one.logit_scale, one.logit_bias)


def source_of(image: RunImage, roots: Sequence[Path]) -> SourceFile | None:
    """Say where the decoder finds an image of a run; None if none of the folders holds it.

    Args:
        image: Of the run.
        roots: Image folders.
    """
    path = Path(image.path)
    for place, root in enumerate(roots):
        if path.is_relative_to(root):
            below = path.relative_to(root).as_posix()
            return SourceFile(place, below, image.sha256, image.n_bytes)
    return None
