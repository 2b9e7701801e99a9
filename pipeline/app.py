"""The composition root: puts the verbs in a row. The command line and the flows call this.

scan → infer → fuse → write
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Final, Protocol, Self

from pipeline.assemble import Assembly, assemble
from pipeline.coco import CocoWriter, categories
from pipeline.config import ClassConfig, RayConfig
from pipeline.fuse import UNNAMED, Vocabulary, names_masks
from pipeline.infer import (
    Engines,
    InferReport,
    OpenStage,
    StagePlan,
    StageReport,
    open_executor,
    open_stages,
    plan_stages,
)
from pipeline.lease import locked_workspace
from pipeline.manifest import Manifest, collect
from pipeline.prompts import EmbeddedPrompts, embed_prompts
from pipeline.records import JsonObject, Quarantined, SourceFile, StageName
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

SHARD_IMAGES: Final = 512
"""Images per shard: whole groups of the store and whole batches of the models, a few minutes of
work, and a few hundred shards for 100,000 images."""

RAY_SHARD_IMAGES: Final = 16_384
"""On Ray, where actors load the models anew for every shard."""


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
    with Job(run, listener) as job:
        for shard in range(job.scan().shards):
            job.ask(shard)
        return job.finish()


@dataclass(frozen=True, slots=True)
class Scanned:
    """What a job found.

    Attributes:
        found: Files in the image folders.
        images: Distinct images among them.
        unreadable: Files that are in quarantine already.
        shards: Pieces the images are cut into; pieces are counted from 0.
    """

    found: int
    images: int
    unreadable: int
    shards: int


class Job:
    """A run in steps: scan, ask shard by shard, finish. Holds the workspace until it is left.

    The command line takes the steps in a row, a flow takes each as a task: same steps, same
    shards, same bytes.

    Args:
        shard_images: Images per shard; None takes what suits where the models are asked.
        fence: Called before anything is written for good; raises if this run must not.

    Raises:
        WorkspaceError: The workspace cannot be written, or another process holds it.
    """

    def __init__(
        self,
        run: RunFile,
        listener: Listener = SILENT,
        shard_images: int | None = None,
        fence: Callable[[], None] = lambda: None,
    ) -> None:
        self.run = run
        self._listener = listener
        on_ray = isinstance(run.config.execution, RayConfig)
        self._shard_images = shard_images or (RAY_SHARD_IMAGES if on_ray else SHARD_IMAGES)
        self._fence = fence
        self._started = time.perf_counter()
        self._open = ExitStack()
        self._lease = self._open.enter_context(locked_workspace(run.config.workspace))
        self._store = _store(run)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the decoders and free the workspace; harmless when repeated."""
        self._open.close()

    def scan(self) -> Scanned:
        """Look at the folders and plan. Models are loaded when they are first asked.

        Raises:
            ConfigError: An image folder is missing.
            WeightsError: Weights are missing or not those that were pinned.
        """
        self._stages = open_stages(self.run, self._store)
        self._manifest = _scan(self.run, self._listener)
        self._planned = _plan(self._manifest, self._stages, self._store)
        self._engines = Engines(self.run)
        images = self._manifest.images
        executor = open_executor(self.run, self._stages, self._engines)
        self._ask = self._open.enter_context(executor)
        self._report = InferReport({name: StageReport() for name in self._stages})
        self._listener.phase("infer", len(images))
        shards = -(-len(images) // self._shard_images)
        return Scanned(self._manifest.found, len(images), len(self._manifest.quarantined), shards)

    def ask(self, shard: int) -> InferReport:
        """Ask all stages about the images of one shard that they have not answered for.

        Raises:
            WorkspaceLostError: This run may write no more.
            StoreError: Findings could not be stored; what was stored before stays.
            WeightsError: A model that is needed cannot be loaded.
        """
        self._check()
        report = self._ask(self.images(shard), self._listener.advance)
        self._report.add(report)
        return report

    def images(self, shard: int) -> tuple[SourceFile, ...]:
        """Give the images of a shard."""
        start = shard * self._shard_images
        return self._manifest.images[start : start + self._shard_images]

    def finish(self) -> RunResult:
        """Fuse all findings into labels and write the run folder, whole or not at all.

        Raises:
            WorkspaceLostError: This run may write no more.
            UnbalancedRunError: A shard was not asked, or a file got lost.
        """
        config = self.run.config
        prompts = embed_prompts(config.policy, self._stages, self._store, self._engines)
        vocabulary = Vocabulary.build(config.policy, prompts.vectors)
        failures = self._report.failures
        parts = Assembly(self._manifest, self._stages, failures, config.policy, vocabulary)
        self._check()
        with RunFolder(config.workspace) as folder:
            tally = _write_labels(self.run, parts, folder, self._listener)
            summary = summarise(self._facts(folder.run_id, prompts), tally)
            folder.write_json(CONFIG, config.model_dump(mode="json"))
            folder.write_json(SUMMARY, summary)
            self._check()
        return RunResult(folder.final, summary)

    def _facts(self, run_id: str, prompts: EmbeddedPrompts) -> RunFacts:
        return RunFacts(
            run_id,
            self.run.config.name,
            self._manifest.found,
            self._stages,
            self._planned,
            self._report,
            prompts,
            time.perf_counter() - self._started,
        )

    def _check(self) -> None:
        self._lease.check()
        self._fence()


def _store(run: RunFile) -> FindingStore:
    return FindingStore(run.config.store or str(run.config.workspace / "store"))


def _scan(run: RunFile, listener: Listener) -> Manifest:
    listener.phase("scan", None)
    return collect(scan(run.config.images, run.config.input), listener.advance)


def _plan(
    manifest: Manifest, stages: Mapping[StageName, OpenStage], store: FindingStore
) -> list[StagePlan]:
    return plan_stages([image.digest for image in manifest.images], stages, store)


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
