"""The engines of a run, each loaded when it is first needed and kept until the run ends."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np

from pipeline.engines.base import Embedder, Segmenter, TextReader
from pipeline.engines.registry import load_embedder, load_reader, load_segmenter
from pipeline.errors import ConfigError
from pipeline.records import StageName
from pipeline.runfile import RunFile

_PROBE: Final = 16
"""Side in pixels of an image that shows what an engine can do."""


class Engines:
    """Lazily loaded engines of one run file."""

    def __init__(self, run: RunFile) -> None:
        self._run = run
        self._stages = run.config.stages

    @cached_property
    def embedder(self) -> Embedder:
        """The engine of ``stages.embed``."""
        config = self._stages.embed
        if config is None:
            raise self._unconfigured("embed")
        return load_embedder(config, self._run.config, self._run.base)

    @cached_property
    def patch_embedder(self) -> Embedder:
        """The same, known to have patches.

        Raises:
            EngineError: Its model has none.
        """
        self.embedder.embed_patches([np.zeros((_PROBE, _PROBE, 3), np.uint8)])
        return self.embedder

    @property
    def tiles(self) -> int:
        """Squares along the shorter side of an image whose patches are embedded."""
        config = self._stages.embed
        if config is None:
            raise self._unconfigured("embed")
        return config.tiles

    @cached_property
    def segmenter(self) -> Segmenter:
        """The engine of ``stages.segment``."""
        config = self._stages.segment
        if config is None:
            raise self._unconfigured("segment")
        return load_segmenter(config, self._run.config, self._run.base)

    @cached_property
    def reader(self) -> TextReader:
        """The engine of ``stages.read``."""
        config = self._stages.read
        if config is None:
            raise self._unconfigured("read")
        return load_reader(config, self._run.config, self._run.base)

    def load(self, stage: StageName) -> None:
        """Load what a stage needs, so that a missing model ends the run before it starts."""
        match stage:
            case StageName.EMBED | StageName.EMBED_REGIONS:
                _ = self.embedder
            case StageName.POOL_REGIONS:
                _ = self.patch_embedder
            case StageName.SEGMENT:
                _ = self.segmenter
            case StageName.READ:
                _ = self.reader
            case StageName.DECODE:
                pass

    def _unconfigured(self, stage: str) -> ConfigError:
        return ConfigError(f"{self._run.path}: stages.{stage} is needed, but not configured")
