"""Generators to compare, each fed with a scene's logits where random weights give none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch  # noqa: TID253
from numpy.typing import NDArray
from segment_anything import sam_model_registry  # noqa: TID253

from benchmarks.sam.scenes import Clock, Scene
from pipeline.config import SegmentAnythingConfig
from pipeline.engines.fast_sam import FoundMask, MaskGenerator
from pipeline.engines.fast_sam.decoder import ImageSide, PromptDecoder, Prompted
from pipeline.engines.segment_anything import StockGenerator

Mode = Literal["stock", "exact", "fast"]
SEED = 7


@dataclass
class Arm:
    """A generator and the seconds of it that do not count."""

    generate: Callable[[], list[FoundMask]]
    excluded: Clock


def random_model(architecture: str) -> Any:  # noqa: ANN401  the library is untyped
    """Build a published size with the same random weights every time.

    Positions are not left at the zeros they begin with: that would hide errors in their use.
    """
    torch.manual_seed(SEED)
    model = sam_model_registry[architecture]().eval()
    with torch.no_grad():
        model.image_encoder.pos_embed.normal_(0, 0.02)
        for block in model.image_encoder.blocks:
            block.attn.rel_pos_h.normal_(0, 0.05)
            block.attn.rel_pos_w.normal_(0, 0.05)
    return model


def build(
    mode: Mode,
    architecture: str,
    scene: Scene,
    settings: dict[str, Any],
    *,
    models: bool = True,
) -> Arm:
    """Build an arm that answers as the scene says; without ``models`` it only post-processes."""
    config = SegmentAnythingConfig(
        engine="segment_anything", model=architecture, mode=mode, **settings
    )
    model, clock = random_model(architecture), Clock()
    if not models:
        side = model.prompt_encoder.embed_dim, *model.prompt_encoder.image_embedding_size
        model.image_encoder.forward = lambda image: image.new_zeros((len(image), *side))
    make = _stock if mode == "stock" else _ours
    generator: Any = make(model, config, scene, clock, models=models)
    size = generator.batch_for(scene.image, config.points_per_batch)

    def generate() -> list[FoundMask]:
        with torch.inference_mode():
            found: list[FoundMask] = generator.generate(scene.image, size)
            return found

    return Arm(generate, clock)


def _stock(
    model: Any,  # noqa: ANN401
    config: SegmentAnythingConfig,
    scene: Scene,
    clock: Clock,
    *,
    models: bool,
) -> StockGenerator:
    generator = StockGenerator(model, config)
    predict, decode = generator.library.predictor.predict_torch, model.mask_decoder.forward
    asked: list[NDArray[np.float64]] = []

    def remember(points: torch.Tensor, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        asked[:] = [points[:, 0].numpy()]
        return predict(points, *args, **options)

    def answer(**options: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
        if models:
            decode(**options)
        with clock:
            shapes, scores = scene.answers(asked[0])
            everything = np.ones(shapes.shape, np.bool_)
            logits = scene.logits(asked[0], shapes, everything)
        return logits.view(*shapes.shape, *logits.shape[1:]), scores

    generator.library.predictor.predict_torch = remember
    model.mask_decoder.forward = answer
    return generator


class _SceneDecoder(PromptDecoder):
    """Does all the work of a decoder and answers with the scene."""

    scene: Scene
    clock: Clock
    models: bool
    asked: NDArray[np.float64]

    def attend(self, image: ImageSide, points: torch.Tensor) -> Prompted:
        self.asked = points.numpy()
        if self.models:
            return super().attend(image, points)
        return Prompted(points, [])

    def scores(self, prompted: Prompted) -> torch.Tensor:
        if self.models:
            super().scores(prompted)
        with self.clock:
            return self.scene.answers(self.asked)[1]

    def logits(self, prompted: Prompted, kept: torch.Tensor) -> torch.Tensor:
        if self.models:
            super().logits(prompted, kept)
        with self.clock:
            shapes, _ = self.scene.answers(self.asked)
            return self.scene.logits(self.asked, shapes, kept.numpy())


def _ours(
    model: Any,  # noqa: ANN401
    config: SegmentAnythingConfig,
    scene: Scene,
    clock: Clock,
    *,
    models: bool,
) -> MaskGenerator:
    dtype = torch.bfloat16 if config.mode == "fast" else torch.float32
    decoder = _SceneDecoder(model, dtype)
    decoder.scene, decoder.clock, decoder.models = scene, clock, models
    return MaskGenerator(model, config, dtype, decoder)
