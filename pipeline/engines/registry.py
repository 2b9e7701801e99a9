"""From the run file to an engine: which one, with which weights, on which device.

Light: heavy libraries are imported when an engine is loaded, never to say who it would be.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, assert_never

from pydantic import ValidationError

from pipeline.config import (
    EasyOcrConfig,
    EmbedConfig,
    FakeEmbedConfig,
    FakeReadConfig,
    FakeSegmentConfig,
    ModelsConfig,
    OpenClipConfig,
    RapidOcrConfig,
    ReadConfig,
    RunConfig,
    Section,
    SegmentAnythingConfig,
    SegmentConfig,
)
from pipeline.engines.base import Embedder, Explainer, Segmenter, TextReader
from pipeline.engines.devices import Device, Precision, pick_device, pick_precision
from pipeline.engines.lean import lean
from pipeline.errors import EngineError, WeightsError
from pipeline.weights import Kind, ModelFiles, Progress, entry_named, locate, pull

EngineConfig: TypeAlias = EmbedConfig | SegmentConfig | ReadConfig
SectionT = TypeVar("SectionT", bound=Section)

RAPIDOCR: Final = "rapidocr"
"""Its only model: the one in its wheel."""

_CODE_VERSIONS: Final = {
    "fake": 1,
    "open_clip": 1,
    "segment_anything": 1,
    "easyocr": 1,
    "rapidocr": 1,
}
"""Raised when our code around a library changes its answers: old findings no longer count."""

_SAME_ANSWERS: Final = frozenset(
    {"engine", "model", "batch_size", "points_per_batch", "threads", "regions", "tiles"}
)
"""Settings that decide how fast an answer comes, not which one, or that belong to pool_regions; and
names, as weights are known by their digest. Another batch size moves a vector by rounding (2e-6),
which no label shows."""


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """Everything about an engine that can change an answer.

    Attributes:
        engine: Kind of engine, as in the run file.
        model: Model name.
        weights: sha256 over the weight files, 64 hexadecimal digits.
        settings: Settings that can change an answer, as JSON values.
        code_version: Version of our code around the library.
        precision: ``fp32`` or ``bf16``.
    """

    engine: str
    model: str
    weights: str
    settings: Mapping[str, Any]
    code_version: int
    precision: str


def identify(config: EngineConfig, run: RunConfig, base: Path) -> EngineIdentity:
    """Say who would answer, without loading a model.

    Args:
        config: The stage's section of the run file.
        run: The run file.
        base: Folder of the run file, for models given as ``./dir``.

    Raises:
        WeightsError: Weights are missing or are not those that were pinned.
        EngineError: The device asked for by name is not there.
    """
    match config:
        case FakeEmbedConfig() | FakeSegmentConfig() | FakeReadConfig():
            return _fake_identity(config)
        case OpenClipConfig():
            files = _files(config.model, "open_clip", run.models, base)
            return _identity(config, files, _placed(run)[1])
        case SegmentAnythingConfig():
            files = _files(config.model, "segment_anything", run.models, base)
            suited = _suited(config, files)
            return _sam_identity(suited, files, _sam_placed(suited, run)[1])
        case EasyOcrConfig():
            return _identity(config, _files(config.model, "easyocr", run.models, base), "fp32")
        case RapidOcrConfig():
            return _identity(config, _files(RAPIDOCR, "rapidocr", run.models, base), "fp32")
        case _:
            assert_never(config)


def load_embedder(config: EmbedConfig, run: RunConfig, base: Path) -> Embedder:
    """Load the engine of ``stages.embed``; the arguments are those of ``identify``.

    Raises:
        WeightsError: Weights are missing, or not those that were pinned, or not a model.
        EngineError: The device asked for by name is not there.
    """
    match config:
        case FakeEmbedConfig():
            from pipeline.engines.fake import FakeEmbedder

            return FakeEmbedder(config)
        case OpenClipConfig():
            files = _files(config.model, "open_clip", run.models, base)
            device, precision = _placed(run)
            _stay_offline(run.models)
            with lean():
                from pipeline.engines.openclip import OpenClipEmbedder

            return OpenClipEmbedder(files, config.batch_size, device, precision)
        case _:
            assert_never(config)


def explainer_of(embedder: Embedder) -> Explainer:
    """Give what explains an embedder that is loaded.

    Raises:
        EngineError: Its kind of engine has no pixels that could be relevant.
    """
    if embedder.info.engine != "open_clip":
        raise EngineError(
            f"`engine: {embedder.info.engine}` cannot be explained: expected `engine: open_clip` "
            "as stages.embed"
        )
    from pipeline.engines.openclip import OpenClipEmbedder
    from pipeline.engines.relevance import ClipRelevance

    assert isinstance(embedder, OpenClipEmbedder), "the engine says so"
    return ClipRelevance(embedder)


def load_segmenter(config: SegmentConfig, run: RunConfig, base: Path) -> Segmenter:
    """Load the engine of ``stages.segment``; the arguments are those of ``identify``.

    Raises:
        WeightsError: Weights are missing, or not those that were pinned, or not a model.
        EngineError: The device asked for by name is not there.
    """
    match config:
        case FakeSegmentConfig():
            from pipeline.engines.fake import FakeSegmenter

            return FakeSegmenter()
        case SegmentAnythingConfig():
            files = _files(config.model, "segment_anything", run.models, base)
            suited = _suited(config, files)
            device, precision = _sam_placed(suited, run)
            with lean():
                from pipeline.engines.segment_anything import SamSegmenter

            return SamSegmenter(files, suited, device, precision)
        case _:
            assert_never(config)


def load_reader(config: ReadConfig, run: RunConfig, base: Path) -> TextReader:
    """Load the engine of ``stages.read``; the arguments are those of ``identify``.

    Raises:
        WeightsError: Weights are missing, or not those that were pinned, or not a model.
        EngineError: The device asked for by name is not there.
    """
    match config:
        case FakeReadConfig():
            from pipeline.engines.fake import FakeReader

            return FakeReader()
        case EasyOcrConfig():
            files = _files(config.model, "easyocr", run.models, base)
            device, _ = _placed(run)
            with lean():
                from pipeline.engines.easyocr import EasyOcrReader

            return EasyOcrReader(files, config, device)
        case RapidOcrConfig():
            files = _files(RAPIDOCR, "rapidocr", run.models, base)
            from pipeline.engines.rapidocr import RapidOcrReader

            return RapidOcrReader(files, config)
        case _:
            assert_never(config)


def pull_model(name: str, config: ModelsConfig, progress: Progress) -> ModelFiles:
    """Fetch a model of ``models.lock``, or an open_clip ``ARCH/PRETRAINED_TAG`` outside it.

    Args:
        name: As run files say it.
        config: Where models are kept.
        progress: Called with file, bytes so far, and bytes in all if known.

    Raises:
        WeightsError: There is no such model, or it could not be fetched, or has other bytes than
            were pinned.
    """
    entry = entry_named(name)
    if entry is not None:
        return pull(entry, config, progress)
    from pipeline.engines.openclip_hub import pull_tag

    return pull_tag(name, config, progress)


def _identity(config: EngineConfig, files: ModelFiles, precision: Precision) -> EngineIdentity:
    settings = config.model_dump(mode="json", exclude=set(_SAME_ANSWERS))
    version = _CODE_VERSIONS[config.engine]
    return EngineIdentity(config.engine, files.name, files.digest, settings, version, precision)


def _sam_identity(
    config: SegmentAnythingConfig, files: ModelFiles, precision: Precision
) -> EngineIdentity:
    # Exact and stock masks are the same: the mode is no setting of theirs. Fast ones are not.
    identity = _identity(config, files, precision)
    settings = {key: value for key, value in identity.settings.items() if key != "mode"}
    if config.mode == "fast":
        settings["mode"] = "fast"
    return replace(identity, settings=settings)


def _fake_identity(
    config: FakeEmbedConfig | FakeSegmentConfig | FakeReadConfig,
) -> EngineIdentity:
    from pipeline.engines.fake import fake_weights

    kinds = {FakeEmbedConfig: "embedder", FakeSegmentConfig: "segmenter", FakeReadConfig: "reader"}
    model = f"fake-{kinds[type(config)]}"
    settings = config.model_dump(mode="json", exclude=set(_SAME_ANSWERS))
    version = _CODE_VERSIONS["fake"]
    return EngineIdentity("fake", model, fake_weights(model), settings, version, "fp32")


def _files(name: str, kind: Kind, models: ModelsConfig, base: Path) -> ModelFiles:
    files = locate(name, models, base)
    if files.kind not in {kind, None}:
        raise WeightsError(
            f"model {name!r} is for `engine: {files.kind}`, but the run file gives it to "
            f"`engine: {kind}`; `autolabel models list` names the models of each engine"
        )
    return files


def _suited(config: SectionT, files: ModelFiles) -> SectionT:
    # The model's own defaults stand where the run file says nothing.
    own = {
        key: value for key, value in files.defaults.items() if key not in config.model_fields_set
    }
    try:
        return type(config).model_validate({**config.model_dump(), **own})
    except ValidationError as error:
        raise WeightsError(f"models.lock: defaults of {files.name} are wrong: {error}") from error


def _placed(run: RunConfig) -> tuple[Device, Precision]:
    device = pick_device(run.device)
    return device, pick_precision(run.precision, device)


def _sam_placed(config: SegmentAnythingConfig, run: RunConfig) -> tuple[Device, Precision]:
    device = pick_device(run.device, mps=False)
    if device == "mps":
        device = "cpu"  # the run's other models may have asked for it; this one needs float64
    match config.mode:
        case "exact":
            return device, "fp32"
        case "fast":
            return device, "bf16"
        case "stock":
            return device, pick_precision(run.precision, device)


def _stay_offline(models: ModelsConfig) -> None:
    """Tell libraries that could ask a hub not to; they read this when they are imported."""
    if models.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
        os.environ["TRANSFORMERS_OFFLINE"] = "1"
