"""Findings → labels of the whole run, image by image, in bounded memory.

Every image of the manifest leaves here labelled or quarantined; anything else is a bug and ends
the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.config import PolicyConfig
from pipeline.errors import UnbalancedRunError
from pipeline.fuse import Vocabulary, fuse
from pipeline.infer import OpenStage
from pipeline.infer.stages import GROUP, batched
from pipeline.manifest import Manifest
from pipeline.pixels import Note, has_wrong_extension
from pipeline.records import (
    Failure,
    Findings,
    ImageInfo,
    ImageLabels,
    ImageRecord,
    Provenance,
    Quarantined,
    SourceFile,
    StageName,
)
from pipeline.store.codecs import Rejection


@dataclass(frozen=True, slots=True, eq=False)
class Assembly:
    """What labels are made from.

    Attributes:
        failures: Image digest → why this run has no complete findings for it.
        vocabulary: None if nothing is embedded.
    """

    manifest: Manifest
    stages: Mapping[StageName, OpenStage]
    failures: Mapping[str, Failure]
    policy: PolicyConfig
    vocabulary: Vocabulary | None


def assemble(parts: Assembly) -> Iterator[ImageLabels | Quarantined]:
    """Turn findings into labels, in scan order.

    Yields:
        The labels of each image; for an image without, one row per file.

    Raises:
        UnbalancedRunError: An image has neither all findings nor a reason why not.
    """
    provenance = _provenance(parts.stages)
    for group in batched(parts.manifest.images, GROUP):
        keys = [source.digest for source in group]
        found = {name: stage.store.read(keys) for name, stage in parts.stages.items()}
        for source in group:
            answers = {name: found[name].get(source.digest) for name in found}
            failure = _failure(source, answers, parts.failures)
            if failure is not None:
                yield from _quarantine(failure, source.digest, parts.manifest.files(source))
            else:
                findings = _findings(parts.manifest.files(source), answers)
                labels = fuse(findings, parts.policy, parts.vocabulary)
                yield replace(labels, provenance=provenance)


def _failure(
    source: SourceFile, answers: Mapping[StageName, Any], failures: Mapping[str, Failure]
) -> Failure | None:
    decoded = answers[StageName.DECODE]
    if isinstance(decoded, Rejection):
        return Failure(StageName.DECODE, decoded.reason, decoded.detail)
    failure = failures.get(source.digest)
    if failure is not None:
        return failure
    silent = [name.value for name, answer in answers.items() if answer is None]
    if silent:
        message = (
            f"{source.path}: no findings from {', '.join(silent)} and no reason why. This is a "
            "bug: please report it; running again asks these stages anew."
        )
        raise UnbalancedRunError(message)
    return None


def _quarantine(
    failure: Failure, digest: str, files: Sequence[SourceFile]
) -> Iterator[Quarantined]:
    for file in files:
        yield Quarantined(
            file.root, file.path, failure.reason, failure.detail, failure.stage, digest
        )


def _findings(files: Sequence[SourceFile], answers: Mapping[StageName, Any]) -> Findings:
    return Findings(
        image=ImageRecord(files[0], tuple(files[1:]), _named(answers[StageName.DECODE], files[0])),
        vector=answers.get(StageName.EMBED),
        regions=answers.get(StageName.SEGMENT, ()),
        region_vectors=answers.get(StageName.EMBED_REGIONS),
        texts=answers.get(StageName.READ, ()),
        pooled=answers.get(StageName.POOL_REGIONS),
    )


def _named(info: ImageInfo, file: SourceFile) -> ImageInfo:
    # What was decoded is kept by content; whether the extension fits depends on today's name.
    notes = [note for note in info.notes if note != Note.WRONG_EXTENSION]
    if has_wrong_extension(file.path, info.mime):
        notes.append(Note.WRONG_EXTENSION)
    return replace(info, notes=tuple(notes))


def _provenance(stages: Mapping[StageName, OpenStage]) -> dict[StageName, Provenance]:
    return {
        name: Provenance(
            stage.identity.engine,
            stage.identity.model,
            stage.identity.weights,
            stage.store.fingerprint,
        )
        for name, stage in stages.items()
        if stage.identity is not None
    }
