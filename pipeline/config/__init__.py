"""The run file as frozen, strict values. ``pipeline.runfile`` reads them from YAML.

Every key has a description: ``docs/run-file.md`` is generated from them. Unknown keys, wrong
types and values out of range are errors, all reported at once, before any model is loaded.
"""

from __future__ import annotations

from pipeline.config.policy import (
    ClassConfig,
    PolicyConfig,
    RegionPolicy,
    TagPolicy,
    TextPolicy,
)
from pipeline.config.run import (
    Colour,
    ExecutionConfig,
    InProcessConfig,
    InputConfig,
    ModelsConfig,
    RayConfig,
    RunConfig,
)
from pipeline.config.section import (
    Name,
    Section,
    Unit,
)
from pipeline.config.stages import (
    EasyOcrConfig,
    EmbedConfig,
    FakeEmbedConfig,
    FakeReadConfig,
    FakeSegmentConfig,
    OpenClipConfig,
    RapidOcrConfig,
    ReadConfig,
    RegionsBy,
    SegmentAnythingConfig,
    SegmentConfig,
    StagesConfig,
)

__all__ = [
    "ClassConfig",
    "Colour",
    "EasyOcrConfig",
    "EmbedConfig",
    "ExecutionConfig",
    "FakeEmbedConfig",
    "FakeReadConfig",
    "FakeSegmentConfig",
    "InProcessConfig",
    "InputConfig",
    "ModelsConfig",
    "Name",
    "OpenClipConfig",
    "PolicyConfig",
    "RapidOcrConfig",
    "RayConfig",
    "ReadConfig",
    "RegionPolicy",
    "RegionsBy",
    "RunConfig",
    "Section",
    "SegmentAnythingConfig",
    "SegmentConfig",
    "StagesConfig",
    "TagPolicy",
    "TextPolicy",
    "Unit",
]
