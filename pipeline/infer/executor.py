"""Who asks the models: this process, or actors on a Ray cluster. Same loop, same answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from pipeline.config import RayConfig
from pipeline.decoding import DecoderPool
from pipeline.infer.engines import Engines
from pipeline.infer.loop import InferReport, OnImage, infer
from pipeline.infer.stages import OpenStage
from pipeline.records import SourceFile, StageName
from pipeline.runfile import RunFile


class Executor(Protocol):
    """Asks all stages about some images and stores the answers."""

    def __call__(self, images: Sequence[SourceFile], on_image: OnImage) -> InferReport:
        """Ask what has not been answered; ``on_image`` is told how many images are done.

        Raises:
            StoreError: Findings could not be stored; what was stored before stays.
        """


@contextmanager
def open_executor(
    run: RunFile, stages: Mapping[StageName, OpenStage], engines: Engines
) -> Iterator[Executor]:
    """Open the executor that a run file names.

    Yields:
        It, for any number of calls.

    Raises:
        ConfigError: Ray is asked for and not installed, or its cluster cannot be reached.
    """
    if isinstance(run.config.execution, RayConfig):
        from pipeline.infer.on_ray import RayExecutor  # noqa: PLC0415  an extra

        yield RayExecutor(run, run.config.execution, stages)
        return
    with DecoderPool(run.config.images, run.config.input) as decoder:
        yield lambda images, on_image: infer(images, stages, engines, decoder, on_image)
