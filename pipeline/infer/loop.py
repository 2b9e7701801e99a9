"""The loop: decode ahead, ask the models, store behind, all at once and in bounded memory.

Decoder processes work ahead of the models by a few images, the writer thread behind them by a
bounded queue. Text is read in a thread of its own, beside the one that asks all other models: the
two share no engine. What was answered before is not asked again.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.decoding import DecoderPool
from pipeline.errors import ImageRejectedError
from pipeline.infer.clock import Clock
from pipeline.infer.engines import Engines
from pipeline.infer.lane import Lane
from pipeline.infer.questions import Asked, ask
from pipeline.infer.stages import GROUP, OF_REGIONS, OpenStage, batched, missing
from pipeline.infer.writer import FindingWriter
from pipeline.pixels import Decoded
from pipeline.reasons import REASONS_OF_THE_BYTES
from pipeline.records import Failure, Region, RgbImage, SourceFile, StageName
from pipeline.store.codecs import Rejection

CHUNK_IMAGES: Final = 16
CHUNK_PIXELS: Final = 48_000_000
"""Images held decoded at a time; large ones fill the budget sooner (48 MP are 144 MB)."""

CHUNKS_BEHIND: Final = 1
"""Chunks that reading may lag behind the other stages; their images stay in memory."""

_ORDER: Final = {stage: number for number, stage in enumerate(StageName)}

OnImage = Callable[[int], None]


@dataclass(slots=True)
class StageReport:
    """What a stage did in this run.

    Attributes:
        ran: Images it answered for.
        failed: Images it could not answer for.
        seconds: Wall time inside the engine (for decode: waiting for pixels).
    """

    ran: int = 0
    failed: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class InferReport:
    """What happened while asking.

    Attributes:
        stages: Per stage, what it did.
        failures: Image digest → why it has no complete findings, for this run only. Of several
            failures that of the first stage counts, whichever came first.
        busy_seconds: Wall time with at least one engine at work, summed over processes.
        load_seconds: Wall time with none at work and one being loaded, summed over processes.
    """

    stages: dict[StageName, StageReport]
    failures: dict[str, Failure] = field(default_factory=dict)
    busy_seconds: float = 0.0
    load_seconds: float = 0.0

    def add(self, other: InferReport) -> None:
        """Count what happened to further images."""
        for name, did in other.stages.items():
            stage = self.stages[name]
            stage.ran += did.ran
            stage.failed += did.failed
            stage.seconds += did.seconds
        self.failures.update(other.failures)
        self.busy_seconds += other.busy_seconds
        self.load_seconds += other.load_seconds


@dataclass(slots=True, eq=False)
class _Work:
    """A decoded image on its way through the stages that have not answered for it."""

    source: SourceFile
    pixels: RgbImage
    todo: tuple[StageName, ...]
    regions: tuple[Region, ...] | None = None


def infer(
    images: Sequence[SourceFile],
    stages: Mapping[StageName, OpenStage],
    engines: Engines,
    decoder: DecoderPool,
    on_image: OnImage,
) -> InferReport:
    """Ask every stage about every image it has not answered for, and store the answers.

    Args:
        images: One file per distinct image.
        on_image: Called with a number of images each time that many are done.

    Raises:
        StoreError: Findings could not be stored; what was stored before stays.
        WeightsError: A model that is needed cannot be loaded.
    """
    loop = _Loop(images, stages, engines, decoder)
    done = 0
    for n in loop.run():
        done += n
        on_image(n)
    on_image(len(images) - done)
    return loop.report


class _Loop:
    """State of one pass over the images."""

    def __init__(
        self,
        images: Sequence[SourceFile],
        stages: Mapping[StageName, OpenStage],
        engines: Engines,
        decoder: DecoderPool,
    ) -> None:
        self.report = InferReport({name: StageReport() for name in stages})
        self._images = images
        self._stages = stages
        self._engines = engines
        self._decoder = decoder
        self._todo: dict[str, tuple[StageName, ...]] = {}
        self._clock, self._failing = Clock(), threading.Lock()

    def run(self) -> Iterator[int]:
        """Work through the images.

        Yields:
            Numbers of images that are done since the last one.
        """
        behind: deque[tuple[int, Future[None]]] = deque()
        with FindingWriter(self._stages) as writer, Lane("text-reader") as lane:
            for chunk in self._chunks(self._decoded(writer)):
                behind.append((len(chunk), self._read_beside(lane, chunk, writer)))
                for stage in self._stages:
                    if stage is not StageName.READ:
                        self._ask(stage, chunk, writer)
                yield from _finished(behind, CHUNKS_BEHIND)
            yield from _finished(behind, 0)
        self.report.busy_seconds = self._clock.busy_seconds
        self.report.load_seconds = self._clock.load_seconds

    def _read_beside(
        self, lane: Lane, chunk: Sequence[_Work], writer: FindingWriter
    ) -> Future[None]:
        asked = [work for work in chunk if StageName.READ in work.todo]
        if asked:
            # Here and not in the lane: libraries are imported by one thread at a time.
            self._load(StageName.READ)

        def read() -> None:
            """Ask the reader about one image after the other, until the lane is stopped."""
            for work in asked:
                if lane.stopped:
                    return
                self._ask_batch(StageName.READ, [work], writer)

        return lane.submit(read)

    def _unanswered(self) -> Iterator[tuple[SourceFile, tuple[StageName, ...]]]:
        for group in batched(self._images, GROUP):
            names = missing([source.digest for source in group], self._stages)
            yield from ((s, names[s.digest]) for s in group if s.digest in names)

    def _sources(self) -> Iterator[SourceFile]:
        for source, names in self._unanswered():
            self._todo[source.digest] = names
            yield source

    def _decoded(self, writer: FindingWriter) -> Iterator[_Work]:
        report = self.report.stages[StageName.DECODE]
        stream = self._decoder.stream(self._sources())
        while True:
            start = time.perf_counter()
            item = next(stream, None)
            report.seconds += time.perf_counter() - start
            if item is None:
                return
            work = self._take(*item, writer)
            if work is not None:
                yield work

    def _take(
        self, source: SourceFile, answer: Decoded | ImageRejectedError, writer: FindingWriter
    ) -> _Work | None:
        report = self.report.stages[StageName.DECODE]
        todo = self._todo.pop(source.digest)
        if isinstance(answer, ImageRejectedError):
            report.failed += 1
            failure = Failure(StageName.DECODE, answer.reason, answer.detail)
            self.report.failures[source.digest] = failure
            if answer.reason in REASONS_OF_THE_BYTES:
                rejection = Rejection(answer.reason, answer.detail)
                writer.put(StageName.DECODE, source.digest, rejection)
            return None
        if StageName.DECODE in todo:
            report.ran += 1
            writer.put(StageName.DECODE, source.digest, answer.info)
        return _Work(source, answer.pixels, todo)

    @staticmethod
    def _chunks(work: Iterable[_Work]) -> Iterator[list[_Work]]:
        chunk: list[_Work] = []
        pixels = 0
        for item in work:
            chunk.append(item)
            pixels += item.pixels.shape[0] * item.pixels.shape[1]
            if len(chunk) >= CHUNK_IMAGES or pixels >= CHUNK_PIXELS:
                yield chunk
                chunk, pixels = [], 0
        if chunk:
            yield chunk

    def _ask(self, stage: StageName, chunk: Sequence[_Work], writer: FindingWriter) -> None:
        if stage is StageName.DECODE:
            return
        asked = [work for work in chunk if stage in work.todo]
        if stage in OF_REGIONS:
            asked = self._with_regions(asked)
        if not asked:
            return
        self._load(stage)
        for batch in batched(asked, self._images_at_once(stage)):
            self._ask_batch(stage, batch, writer)

    def _images_at_once(self, stage: StageName) -> int:
        # What gains nothing from a batch answers image by image, and is stored so.
        match stage:
            case StageName.EMBED:
                return CHUNK_IMAGES
            case StageName.SEGMENT:
                return self._engines.segmenter.images_at_once
            case _:
                return 1

    def _load(self, stage: StageName) -> None:
        with self._clock.loading():
            self._engines.load(stage)

    def _ask_batch(self, stage: StageName, batch: Sequence[_Work], writer: FindingWriter) -> None:
        start = time.perf_counter()
        with self._clock.asking():
            answers = ask(stage, self._engines, [_asked(work) for work in batch])
        report = self.report.stages[stage]
        report.seconds += time.perf_counter() - start
        for work, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Failure):
                report.failed += 1
                self._fail(work.source.digest, answer)
                continue
            report.ran += 1
            writer.put(stage, work.source.digest, answer)
            if stage is StageName.SEGMENT:
                work.regions = answer

    def _fail(self, digest: str, failure: Failure) -> None:
        with self._failing:
            known = self.report.failures.get(digest)
            if known is None or _ORDER[failure.stage] < _ORDER[known.stage]:
                self.report.failures[digest] = failure

    def _with_regions(self, works: Sequence[_Work]) -> list[_Work]:
        unknown = [work.source.digest for work in works if work.regions is None]
        stored: dict[str, Any] = self._stages[StageName.SEGMENT].store.read(unknown)
        for work in works:
            if work.regions is None:
                work.regions = stored.get(work.source.digest)
        # None is left where segmenting failed in this run: there is nothing to embed.
        return [work for work in works if work.regions is not None]


def _finished(behind: deque[tuple[int, Future[None]]], most: int) -> Iterator[int]:
    """Wait until at most so many chunks are not read.

    Yields:
        Sizes of those that are.
    """
    while behind and (len(behind) > most or behind[0][1].done()):
        size, reading = behind.popleft()
        reading.result()
        yield size


def _asked(work: _Work) -> Asked:
    return Asked(work.source.digest, work.source.path, work.pixels, work.regions or ())
