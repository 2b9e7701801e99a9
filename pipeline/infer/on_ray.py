"""The loop inside Ray Data actors, which hold the models; the driver alone writes to the store.

An actor gets a few images, runs ``pipeline.infer.loop`` over them with stores in memory, and gives
back what would have been stored. What one image does to a model is caught there, per image; an
actor that dies is started again by Ray and its images are asked anew. Resuming comes from our
store, never from Ray's checkpoints.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.config import RayConfig
from pipeline.decoding import DecoderPool
from pipeline.errors import ConfigError
from pipeline.infer.engines import Engines
from pipeline.infer.loop import CHUNK_IMAGES, InferReport, OnImage, StageReport, infer
from pipeline.infer.stages import GROUP, OF_REGIONS, OpenStage, batched, missing, open_stages
from pipeline.infer.writer import FindingWriter
from pipeline.records import SourceFile, StageName
from pipeline.runfile import RunFile
from pipeline.store import FindingStore


@dataclass(frozen=True, slots=True)
class _Order:
    """An image and what is still to be asked about it.

    Attributes:
        regions: Its regions, where they are known already and are needed.
    """

    source: SourceFile
    todo: tuple[StageName, ...]
    regions: Any = None


class RayExecutor:
    """Sends images to a pool of actors and stores what they answer.

    Args:
        settings: Where the cluster is and what an actor may use.

    Raises:
        ConfigError: Ray is not installed, or its cluster cannot be reached.
    """

    def __init__(
        self, run: RunFile, settings: RayConfig, stages: Mapping[StageName, OpenStage]
    ) -> None:
        self._run = run
        self._settings = settings
        self._stages = stages
        _connect(settings)

    def __call__(self, images: Sequence[SourceFile], on_image: OnImage) -> InferReport:
        """Ask what has not been answered, and store the answers as they come."""
        report = InferReport({name: StageReport() for name in self._stages})
        done = 0
        with FindingWriter(self._stages) as writer:
            for answers, did, n in self._answers(list(self._orders(images))):
                for stage, key, finding in answers:
                    writer.put(stage, key, finding)
                report.add(did)
                done += n
                on_image(n)
        on_image(len(images) - done)
        return report

    def _orders(self, images: Sequence[SourceFile]) -> Iterator[_Order]:
        for group in batched(images, GROUP):
            yield from self._orders_of(group)

    def _orders_of(self, images: Sequence[SourceFile]) -> Iterator[_Order]:
        names = missing([image.digest for image in images], self._stages)
        needing = [
            key
            for key, todo in names.items()
            if OF_REGIONS & set(todo) and StageName.SEGMENT not in todo
        ]
        known = self._stages[StageName.SEGMENT].store.read(needing) if needing else {}
        for image in images:
            if image.digest in names:
                yield _Order(image, names[image.digest], known.get(image.digest))

    def _answers(self, orders: list[_Order]) -> Iterator[tuple[list[Any], InferReport, int]]:
        if not orders:
            return
        import ray

        batches = [
            {"orders": pickle.dumps(batch), "n": len(batch)}
            for batch in batched(orders, CHUNK_IMAGES)
        ]
        settings = self._settings
        answered = ray.data.from_items(batches, override_num_blocks=len(batches)).map_batches(
            Actor,
            fn_constructor_args=(pickle.dumps(self._run),),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=settings.actors),
            num_cpus=settings.cpus_per_actor,
            num_gpus=settings.gpus_per_actor or None,
        )
        for row in answered.iter_rows():
            answers, report = pickle.loads(row["answers"])  # noqa: S301  our own actors wrote it
            yield answers, report, int(row["n"])


def _connect(settings: RayConfig) -> None:
    """Join a cluster, or start one in this process.

    Raises:
        ConfigError: Ray is not installed, or its cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports home unless told not to
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError(
            f"execution.engine is ray, but {error.name} is not installed: pip install "
            "'autolabel-pipeline[ray]'"
        ) from None
    if not ray.is_initialized():
        try:
            ray.init(settings.address, include_dashboard=False, log_to_driver=False)
        except (ConnectionError, ValueError) as error:
            raise ConfigError(
                f"execution.address {settings.address!r}: no Ray cluster there ({error}). Start "
                "one with `ray start --head`, or leave the address out to use this machine."
            ) from None
    ray.data.DataContext.get_current().enable_progress_bars = False


class Actor:
    """Models and a decoder, on some machine of the cluster.

    Args:
        run: The pickled run file; its image folders must be there under the same paths.
    """

    def __init__(self, run: bytes) -> None:
        self._run: RunFile = pickle.loads(run)  # noqa: S301  the driver wrote it
        self._engines = Engines(self._run)
        config = self._run.config
        # Names, fingerprints and codecs only: nothing is read from this store, nothing written.
        self._stages = open_stages(self._run, FindingStore("memory://autolabel-actor"))
        self._decoder = DecoderPool(config.images, config.input).__enter__()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Answer for one batch."""
        orders: list[_Order] = pickle.loads(batch["orders"][0])  # noqa: S301
        answers: list[tuple[StageName, str, Any]] = []
        stages: dict[StageName, OpenStage] = {
            name: replace(stage, store=_BatchStore(name, orders, answers))  # type: ignore[arg-type]
            for name, stage in self._stages.items()
        }
        sources = [order.source for order in orders]
        report = infer(sources, stages, self._engines, self._decoder, lambda _: None)
        return {"answers": [pickle.dumps((answers, report))], "n": [int(batch["n"][0])]}


@dataclass(frozen=True, slots=True)
class _BatchStore:
    """What the loop asks of a stage's store, for one batch and in memory.

    Attributes:
        answers: Where new findings go.
    """

    name: StageName
    orders: list[_Order]
    answers: list[tuple[StageName, str, Any]]
    _todo: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        todo = frozenset(o.source.digest for o in self.orders if self.name in o.todo)
        object.__setattr__(self, "_todo", todo)

    def __contains__(self, key: str) -> bool:
        return key not in self._todo

    def read(self, keys: Iterable[str]) -> dict[str, Any]:
        """Give regions that the driver knew; nothing else is ever asked for."""
        if self.name is not StageName.SEGMENT:
            return {}
        wanted = set(keys)
        known = {o.source.digest: o.regions for o in self.orders if o.regions is not None}
        return {key: regions for key, regions in known.items() if key in wanted}

    def append(self, findings: Sequence[tuple[str, Any]]) -> None:
        """Keep findings for the driver."""
        self.answers.extend((self.name, key, finding) for key, finding in findings)
