"""The engines under contract, each loaded once, with every way to the network shut."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from pipeline.config import (
    EasyOcrConfig,
    FakeEmbedConfig,
    FakeReadConfig,
    FakeSegmentConfig,
    ModelsConfig,
    OpenClipConfig,
    RapidOcrConfig,
    RunConfig,
    SegmentAnythingConfig,
    StagesConfig,
)
from pipeline.engines import registry
from pipeline.engines.base import Embedder, Segmenter, TextReader
from pipeline.engines.fake import draw_text
from pipeline.engines.registry import EngineConfig, EngineIdentity, identify
from pipeline.errors import WeightsError
from pipeline.records import RgbImage
from pipeline.synthetic.scenes import make_scene
from pipeline.weights import locate

Engine = Embedder | Segmenter | TextReader

BASE = Path(__file__).parent
SEEDS = (0, 1)


@dataclass(frozen=True)
class Case:
    """An engine's section of the run file, and the engine it gives."""

    config: EngineConfig
    engine: Any

    def ask(self, images: Sequence[RgbImage]) -> list[Any]:
        """Put the engine's question, whichever it is; vectors come as bytes."""
        if isinstance(self.engine, Embedder):
            return [row.tobytes() for row in self.engine.embed_images(images)]
        if isinstance(self.engine, Segmenter):
            return self.engine.segment(images)
        answers: list[Any] = self.engine.read(images)
        return answers

    @cached_property
    def of_scenes(self) -> list[Any]:
        """Its answers for the ``scenes``, asked once."""
        return self.ask(make_scenes())

    def again(self) -> Case:
        """Load the same engine once more."""
        return Case(self.config, load(self.config))

    def identity(self) -> EngineIdentity:
        return identify(self.config, run_config(), BASE)


def run_config() -> RunConfig:
    return RunConfig(
        name="contract",
        images=(Path("images"),),
        workspace=Path("workspace"),
        stages=StagesConfig(segment=FakeSegmentConfig(engine="fake")),
        device="cpu",
    )


def load(config: EngineConfig) -> Engine:
    run = run_config()
    match config:
        case FakeEmbedConfig() | OpenClipConfig():
            return registry.load_embedder(config, run, BASE)
        case FakeSegmentConfig() | SegmentAnythingConfig():
            return registry.load_segmenter(config, run, BASE)
        case FakeReadConfig() | EasyOcrConfig() | RapidOcrConfig():
            return registry.load_reader(config, run, BASE)


EMBEDDERS: dict[str, EngineConfig] = {
    "fake": FakeEmbedConfig(engine="fake"),
    "tiny": OpenClipConfig(engine="open_clip", model="tiny-synthetic-clip", batch_size=4),
    "pretrained": OpenClipConfig(
        engine="open_clip", model="ViT-B-32/laion2b_s34b_b79k", batch_size=4
    ),
}
SEGMENTERS: dict[str, EngineConfig] = {
    "fake": FakeSegmentConfig(engine="fake"),
    "tiny": SegmentAnythingConfig(
        engine="segment_anything", model="tiny-synthetic-sam", points_per_side=8
    ),
    "pretrained": SegmentAnythingConfig(
        engine="segment_anything", model="sam-vit-b", points_per_side=4
    ),
}
READERS: dict[str, EngineConfig] = {
    "fake": FakeReadConfig(engine="fake"),
    "tiny": EasyOcrConfig(engine="easyocr", model="tiny-synthetic-ocr"),
    "rapidocr": RapidOcrConfig(engine="rapidocr", threads=1),
    "pretrained": EasyOcrConfig(engine="easyocr"),
}
_MARKS = {"tiny": "models", "rapidocr": "models", "pretrained": "weights"}


def _params(configs: dict[str, EngineConfig]) -> list[Any]:
    return [
        pytest.param(config, id=name, marks=[getattr(pytest.mark, m) for m in _mark(name)])
        for name, config in configs.items()
    ]


def _mark(name: str) -> list[str]:
    return [_MARKS[name]] if name in _MARKS else []


def _case(config: EngineConfig) -> Case:
    if config in (EMBEDDERS["pretrained"], SEGMENTERS["pretrained"], READERS["pretrained"]):
        name = getattr(config, "model", "")
        try:
            locate(name, ModelsConfig(), BASE)
        except WeightsError:
            pytest.skip(f"no pretrained weights here; `autolabel models pull {name}` brings them")
    return _loaded(config)


@cache
def _loaded(config: EngineConfig) -> Case:
    if config.engine not in {"fake", "rapidocr"}:
        import torch

        torch.set_num_threads(1)  # such small models only wait for one another's threads
    return Case(config, load(config))


@pytest.fixture(scope="module", params=_params(EMBEDDERS))
def embedder(request: pytest.FixtureRequest, closed_network: None) -> Case:
    return _case(request.param)


@pytest.fixture(scope="module", params=_params(SEGMENTERS))
def segmenter(request: pytest.FixtureRequest, closed_network: None) -> Case:
    return _case(request.param)


@pytest.fixture(scope="module", params=_params(READERS))
def reader(request: pytest.FixtureRequest, closed_network: None) -> Case:
    return _case(request.param)


@pytest.fixture(
    scope="module",
    params=[*_params(EMBEDDERS), *_params(SEGMENTERS), *_params(READERS)],
)
def any_engine(request: pytest.FixtureRequest, closed_network: None) -> Case:
    return _case(request.param)


def _refuse(*args: object, **options: object) -> NoReturn:
    raise AssertionError(f"an engine opened a socket: {args!r}")


@pytest.fixture(scope="module", autouse=True)
def closed_network() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", _refuse)
        patch.setattr(socket.socket, "connect_ex", _refuse)
        patch.setattr(socket, "getaddrinfo", _refuse)
        yield


@pytest.fixture(scope="session")
def scenes() -> list[RgbImage]:
    return make_scenes()


def make_scenes() -> list[RgbImage]:
    """Scenes with shapes, a plate with a word, and a word for the fake reader; sizes differ."""
    drawn = [make_scene(n, 240 + 8 * n, count=2, word_chance=1.0) for n in SEEDS]
    return [draw_text(scene.image, "fake word", 4 + n, 4) for n, scene in enumerate(drawn)]


@pytest.fixture(scope="session")
def two_tones() -> RgbImage:
    """Red beside orange: two colours to a person, one and the same when red and blue swap."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = (220, 30, 30)
    image[:, 32:] = (245, 120, 30)
    return image
