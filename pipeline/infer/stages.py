"""Stages, their fingerprints, and what is still to be asked.

A fingerprint hashes everything that can change an answer: engine, weights, the settings that
matter, code version, how pixels are made, and the fingerprints of the stages it builds upon.
Vocabulary, prompts, thresholds and NMS are not among them: they belong to ``pipeline.fuse``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, TypeVar

from pipeline.config import EmbedConfig, InputConfig
from pipeline.engines.registry import EngineIdentity, identify
from pipeline.infer.crops import CROP_VERSION
from pipeline.infer.pooling import POOLING_VERSION
from pipeline.pixels import DECODE_VERSION
from pipeline.records import JsonObject, StageName
from pipeline.runfile import RunFile
from pipeline.store import FindingStore, StageStore
from pipeline.store.codecs import Rejection
from pipeline.store.findings import fingerprint

ItemT = TypeVar("ItemT")

GROUP: Final = 256
"""Images looked up in the store at a time: bounds memory, amortises reading a part."""

_PIXEL_SETTINGS: Final = frozenset({"multi_frame", "truncated", "high_depth", "background"})
_LIMITS: Final = frozenset({"max_pixels", "min_side", "max_aspect"})


@dataclass(frozen=True, slots=True)
class OpenStage:
    """A stage of this run with the findings it already has.

    Attributes:
        description: What the fingerprint hashes.
        identity: The engine that answers; None for decode.
        store: Findings under this fingerprint.
    """

    name: StageName
    description: JsonObject
    identity: EngineIdentity | None
    store: StageStore[Any]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What a run would ask one stage.

    Attributes:
        cached: Images that need nothing from it.
        to_run: Images it would be asked about.
        why: The cause, in words.
    """

    stage: StageName
    cached: int
    to_run: int
    why: str


def open_stages(run: RunFile, store: FindingStore) -> dict[StageName, OpenStage]:
    """Open the stages a run file asks for, in the order they are asked. Loads no model.

    Raises:
        WeightsError: Weights are missing or not those that were pinned.
    """
    described = _describe(run)
    return {
        name: OpenStage(name, description, identity, store.stage(name, description))
        for name, (description, identity) in described.items()
    }


def _describe(run: RunFile) -> dict[StageName, tuple[JsonObject, EngineIdentity | None]]:
    stages, config = run.config.stages, run.config
    pixels = _pixel_description(config.input)
    out: dict[StageName, tuple[JsonObject, EngineIdentity | None]] = {
        StageName.DECODE: (_decode_description(config.input), None)
    }
    asked = (
        (StageName.EMBED, stages.embed),
        (StageName.SEGMENT, stages.segment),
        (StageName.READ, stages.read),
    )
    for name, stage in asked:
        if stage is not None:
            identity = identify(stage, config, run.base)
            out[name] = ({**_engine_description(name, identity), "pixels": pixels}, identity)
    if stages.embed is not None and StageName.SEGMENT in out:
        out |= _region_stages(stages.embed, out[StageName.EMBED], out[StageName.SEGMENT])
    order = list(StageName)
    return dict(sorted(out.items(), key=lambda item: order.index(item[0])))


def _region_stages(
    config: EmbedConfig,
    embed: tuple[JsonObject, EngineIdentity | None],
    segment: tuple[JsonObject, Any],
) -> dict[StageName, tuple[JsonObject, EngineIdentity | None]]:
    upon = {**embed[0], "segment": fingerprint(segment[0])}
    crops, pool = StageName.EMBED_REGIONS, StageName.POOL_REGIONS
    out = {}
    if config.regions != "dense":
        out[crops] = ({**upon, "stage": crops.value, "crop_version": CROP_VERSION}, embed[1])
    if config.regions != "crops":
        how = {"pooling_version": POOLING_VERSION, "tiles": config.tiles}
        out[pool] = ({**upon, "stage": pool.value, **how}, embed[1])
    return out


def _engine_description(name: StageName, identity: EngineIdentity) -> JsonObject:
    return {
        "stage": name.value,
        "engine": identity.engine,
        "weights": identity.weights,
        "settings": dict(identity.settings),
        "code_version": identity.code_version,
        "precision": identity.precision,
    }


def prompt_description(identity: EngineIdentity) -> JsonObject:
    """Describe the text vectors of an embedder: its weights, but nothing about images."""
    return {**_engine_description(StageName.EMBED, identity), "stage": "prompts"}


def _pixel_description(settings: InputConfig) -> JsonObject:
    values = settings.model_dump(mode="json", include=set(_PIXEL_SETTINGS))
    return {"code_version": DECODE_VERSION, **values}


def _decode_description(settings: InputConfig) -> JsonObject:
    limits = settings.model_dump(mode="json", include=set(_LIMITS))
    return {"stage": "decode", "pixels": _pixel_description(settings), "limits": limits}


OF_REGIONS: Final = frozenset({StageName.EMBED_REGIONS, StageName.POOL_REGIONS})
"""Stages that are asked about the regions of an image."""


def missing(
    keys: Sequence[str], stages: Mapping[StageName, OpenStage]
) -> dict[str, tuple[StageName, ...]]:
    """Say which stages have not answered for which images; images that need nothing are left out.

    An image whose bytes were rejected before needs nothing: the answer would be the same.
    """
    out = {key: tuple(n for n, s in stages.items() if key not in s.store) for key in keys}
    out = {key: names for key, names in out.items() if names}
    decoded = stages[StageName.DECODE].store.read(out)
    return {key: names for key, names in out.items() if not isinstance(decoded.get(key), Rejection)}


def plan_stages(
    keys: Iterable[str], stages: Mapping[StageName, OpenStage], store: FindingStore
) -> list[StagePlan]:
    """Count what a run would ask each stage, and say why. Runs nothing."""
    to_run = dict.fromkeys(stages, 0)
    total = 0
    for group in batched(keys, GROUP):
        total += len(group)
        for names in missing(group, stages).values():
            for name in names:
                to_run[name] += 1
    return [
        StagePlan(name, total - n, n, _why(stages[name], n, store)) for name, n in to_run.items()
    ]


def _why(stage: OpenStage, n: int, store: FindingStore) -> str:
    if n == 0:
        return "nothing changed"
    if len(stage.store):
        return "new images"
    others = [d for d in store.descriptions(stage.name) if d != stage.description]
    if not others:
        return "first run of this stage"
    return "changed: " + "; ".join(_differences(others[-1], stage.description))


def _differences(old: JsonObject, new: JsonObject, prefix: str = "") -> Iterator[str]:
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key} {_short(before)} → {_short(after)}"


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    digest_length = 32
    return f"{text[:8]}…" if len(text) >= digest_length else text


def batched(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    """Cut a stream into lists.

    Yields:
        Lists of ``size`` items, the last one possibly shorter, none empty.
    """
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group
