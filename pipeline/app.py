"""The composition root: puts the verbs in a row. The command line and the flows call this.

scan → infer → fuse → write
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

from filelock import FileLock, Timeout

from pipeline.assemble import Assembly, assemble
from pipeline.coco import CocoWriter, categories
from pipeline.config import ClassConfig
from pipeline.decoding import DecoderPool
from pipeline.errors import WorkspaceError, WorkspaceLockedError
from pipeline.fuse import UNNAMED, Vocabulary, names_masks
from pipeline.infer import (
    Engines,
    InferReport,
    OpenStage,
    StagePlan,
    infer,
    open_stages,
    plan_stages,
)
from pipeline.manifest import Manifest, collect
from pipeline.prompts import embed_prompts
from pipeline.records import JsonObject, Quarantined, StageName
from pipeline.runfile import RunFile
from pipeline.scan import scan
from pipeline.store import FindingStore
from pipeline.summary import RunFacts, Tally, summarise
from pipeline.write import (
    CONFIG,
    LABELS,
    MANIFEST,
    QUARANTINE,
    SUMMARY,
    RunFolder,
    manifest_row,
    quarantine_row,
)


class Listener(Protocol):
    """Who is told how far a run is."""

    def phase(self, title: str, total: int | None) -> None:
        """A new piece of work begins; ``total`` is None while it is unknown."""

    def advance(self, n: int) -> None:
        """So many more items of it are done."""


class Silent:
    """A listener that does nothing."""

    def phase(self, title: str, total: int | None) -> None:
        """Ignore."""

    def advance(self, n: int) -> None:
        """Ignore."""


SILENT: Final = Silent()


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: The run folder.
        summary: What is in its ``summary.json``.
    """

    folder: Path
    summary: JsonObject

    @property
    def n_quarantined(self) -> int:
        """Number of files without labels."""
        return int(self.summary["quarantined"])


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do.

    Attributes:
        found: Files in the image folders.
        images: Distinct images among them.
        unreadable: Files that are quarantined without being decoded.
    """

    found: int
    images: int
    unreadable: int
    stages: tuple[StagePlan, ...]


def plan(run: RunFile, listener: Listener = SILENT) -> Plan:
    """Say per stage how many images are answered for and how many would be asked. Runs nothing.

    Raises:
        ConfigError: An image folder is missing.
        WeightsError: Weights are missing or not those that were pinned.
    """
    store = _store(run)
    stages = open_stages(run, store)
    manifest = _scan(run, listener)
    planned = tuple(_plan(manifest, stages, store))
    return Plan(manifest.found, len(manifest.images), len(manifest.quarantined), planned)


def label(run: RunFile, listener: Listener = SILENT) -> RunResult:
    """Label the images of a run file: ask what is missing, fuse, and write a run folder.

    Raises:
        AutolabelError: The run could not be done; findings that were made are kept.
    """
    started = time.perf_counter()
    with locked_workspace(run.config.workspace):
        store = _store(run)
        stages = open_stages(run, store)
        manifest = _scan(run, listener)
        planned = _plan(manifest, stages, store)
        engines = Engines(run)
        load_seconds = _load(planned, engines, listener)
        report = _infer(run, manifest, stages, engines, listener)
        prompts = embed_prompts(run.config.policy, stages, store, engines)
        vocabulary = Vocabulary.build(run.config.policy, prompts.vectors)
        parts = Assembly(manifest, stages, report.failures, run.config.policy, vocabulary)
        with RunFolder(run.config.workspace) as folder:
            tally = _write_labels(run, parts, folder, listener)
            seconds = time.perf_counter() - started
            facts = RunFacts(
                folder.run_id,
                run.config.name,
                manifest.found,
                stages,
                planned,
                report,
                prompts,
                load_seconds,
                seconds,
            )
            summary = summarise(facts, tally)
            folder.write_json(CONFIG, run.config.model_dump(mode="json"))
            folder.write_json(SUMMARY, summary)
    return RunResult(folder.final, summary)


@contextmanager
def locked_workspace(workspace: Path) -> Iterator[None]:
    """Hold a workspace for this process; a crash frees it.

    Yields:
        Nothing.

    Raises:
        WorkspaceError: The folder cannot be written.
        WorkspaceLockedError: Another process holds it.
    """
    lock = FileLock(workspace / ".lock", timeout=0)
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        message = (
            f"{workspace}: another run is using this workspace. Wait for it to end, or name "
            "another workspace (--workspace)."
        )
        raise WorkspaceLockedError(message) from None
    except OSError as error:
        raise WorkspaceError(f"{workspace}: cannot write to the workspace: {error}") from None
    try:
        yield
    finally:
        lock.release()


def _store(run: RunFile) -> FindingStore:
    return FindingStore(str(run.config.workspace / "store"))


def _scan(run: RunFile, listener: Listener) -> Manifest:
    listener.phase("scan", None)
    return collect(scan(run.config.images, run.config.input), listener.advance)


def _plan(
    manifest: Manifest, stages: Mapping[StageName, OpenStage], store: FindingStore
) -> list[StagePlan]:
    return plan_stages([image.digest for image in manifest.images], stages, store)


def _load(planned: Sequence[StagePlan], engines: Engines, listener: Listener) -> float:
    start = time.perf_counter()
    needed = [stage.stage for stage in planned if stage.to_run]
    if needed:
        listener.phase("load models", len(needed))
    for name in needed:
        engines.load(name)
        listener.advance(1)
    return time.perf_counter() - start


def _infer(
    run: RunFile,
    manifest: Manifest,
    stages: Mapping[StageName, OpenStage],
    engines: Engines,
    listener: Listener,
) -> InferReport:
    listener.phase("infer", len(manifest.images))
    with DecoderPool(run.config.images, run.config.input) as decoder:
        return infer(manifest.images, stages, engines, decoder, listener.advance)


def _write_labels(run: RunFile, parts: Assembly, folder: RunFolder, listener: Listener) -> Tally:
    listener.phase("write labels", len(parts.manifest.images))
    roots, prefixes = run.config.images, _prefixes(run.config.images)
    tally = Tally()
    with ExitStack() as stack:
        info = {"description": run.config.name, "version": version("autolabel-pipeline")}
        coco = stack.enter_context(CocoWriter(folder.path / LABELS, _categories(run), info))
        manifest = stack.enter_context(folder.lines(MANIFEST))
        quarantine = stack.enter_context(folder.lines(QUARANTINE))
        for item in chain(parts.manifest.quarantined, assemble(parts)):
            if isinstance(item, Quarantined):
                quarantine(quarantine_row(item, roots))
                tally.add_quarantined(item)
            else:
                manifest(manifest_row(item.image, roots))
                tally.add_labels(item)
                coco.add(item, prefixes[item.image.source.root] + item.image.source.path)
                listener.advance(1)
    return tally


def _categories(run: RunFile) -> list[JsonObject]:
    """Lay out the vocabulary, with a class for masks that nothing can name."""
    stages, classes = run.config.stages, run.config.policy.classes
    named = names_masks(run.config.policy, embeds=stages.embed is not None)
    if stages.segment is not None and not named:
        classes = (*classes, ClassConfig(name=UNNAMED))
    return categories(classes)


def _prefixes(roots: Sequence[Path]) -> list[str]:
    """Keep the file names of several folders apart; a single folder needs no prefix."""
    if len(roots) == 1:
        return [""]
    taken: Counter[str] = Counter()
    prefixes = []
    for root in roots:
        taken[root.name] += 1
        n = taken[root.name]
        prefixes.append(f"{root.name}/" if n == 1 else f"{root.name}-{n}/")
    return prefixes
