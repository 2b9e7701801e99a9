"""The library's generator and ours as arms, fed with a scene's logits where weights are random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch  # noqa: TID253
from numpy.typing import NDArray

from benchmarks.arms import Arm, Clock
from benchmarks.sam.models import model_of
from benchmarks.sam.scenes import Scene
from pipeline.config import SegmentAnythingConfig
from pipeline.engines.fast_sam import FoundMask, MaskGenerator
from pipeline.engines.fast_sam.decoder import ImageSide, PromptDecoder, Prompted
from pipeline.engines.segment_anything import StockGenerator
from pipeline.records import RgbImage

Mode = Literal["stock", "exact", "fast"]
Found = list[list[FoundMask]]
"""Masks per image."""

STOCK, EXACT, FAST = "stock", "ours exact", "ours fast"
MODES: dict[str, Mode] = {STOCK: "stock", EXACT: "exact", FAST: "fast"}


@dataclass(frozen=True)
class Work:
    """What all arms have to do.

    Attributes:
        architecture: As ``models.model_of`` takes it.
        images: To find masks in, one after the other.
        settings: Of the mask generator, where they are not its defaults.
        scene: Gives the logits; without one they are the model's own.
        models: Whether encoder and decoder do their work; without it all that comes behind them
            is measured.
    """

    architecture: str
    images: tuple[RgbImage, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    scene: Scene | None = None
    models: bool = True

    def config(self, mode: Mode = "stock") -> SegmentAnythingConfig:
        """Give the settings as the pipeline takes them."""
        return SegmentAnythingConfig.model_validate(
            {
                "engine": "segment_anything",
                "model": self.architecture,
                "mode": mode,
                **self.settings,
            }
        )


def build(name: str, work: Work) -> Arm[Found]:
    """Build the arm of that name, with a model of its own."""
    mode, clock = MODES[name], Clock()
    config = work.config(mode)
    model = model_of(work.architecture)
    if not work.models:
        side = model.prompt_encoder.embed_dim, *model.prompt_encoder.image_embedding_size
        model.image_encoder.forward = lambda image: image.new_zeros((len(image), *side))
    generator: Any
    if mode == "stock":
        generator = StockGenerator(model, config)
        answer_as(work, generator.library, model, clock)
    else:
        generator = _ours(model, config, work, clock)

    def find(image: RgbImage) -> list[FoundMask]:
        size = generator.batch_for(image, config.points_per_batch)
        found: list[FoundMask] = generator.generate(image, size)
        return found

    return Arm(name, _in_inference(work, find), clock)


def answer_as(work: Work, library: Any, model: Any, clock: Clock) -> None:  # noqa: ANN401
    """Have a ``SamAutomaticMaskGenerator`` answer as the work's scene says, if it has one."""
    scene = work.scene
    if scene is None:
        return
    predict, decode = library.predictor.predict_torch, model.mask_decoder.forward
    asked: list[NDArray[np.float64]] = []

    def remember(points: torch.Tensor, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        asked[:] = [points[:, 0].numpy()]
        return predict(points, *args, **options)

    def answer(**options: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
        if work.models:
            decode(**options)
        with clock:
            return scene.all_logits(asked[0])

    library.predictor.predict_torch = remember
    model.mask_decoder.forward = answer


def _in_inference(
    work: Work, find: Callable[[RgbImage], list[FoundMask]]
) -> Callable[[], list[list[FoundMask]]]:
    def run() -> list[list[FoundMask]]:
        with torch.inference_mode():
            return [find(image) for image in work.images]

    return run


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
    model: Any,  # noqa: ANN401  the library is untyped
    config: SegmentAnythingConfig,
    work: Work,
    clock: Clock,
) -> MaskGenerator:
    dtype = torch.bfloat16 if config.mode == "fast" else torch.float32
    if work.scene is None:
        return MaskGenerator(model, config, dtype)
    decoder = _SceneDecoder(model, dtype)
    decoder.scene, decoder.clock, decoder.models = work.scene, clock, work.models
    return MaskGenerator(model, config, dtype, decoder)
