"""Training of the tiny networks behind ``easyocr.Reader``: a reader and a detector of words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from easyocr.model.vgg_model import Model
from torch.nn import functional

from data.train_tiny import ocr_eval
from data.train_tiny.ocr_data import CHARACTERS, HEIGHT, detector_batch, draw_crop, word_batch
from data.train_tiny.runs import Recipe, write_json, write_weights
from pipeline.engines.tiny import TinyCraft

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from data.train_tiny.cache import Sample, SceneCache

NETWORK: dict[str, int] = {"input_channel": 1, "output_channel": 64, "hidden_size": 64}
_WORDS_PER_STEP = 24
_WITH_WORDS, _WITHOUT_WORDS = 6, 2


class ReaderTrainee:
    """EasyOCR's own recogniser at a small size.

    Args:
        dev: Scenes with words to score during training.
    """

    recipe = Recipe(peak=2e-3, warmup=30, decay=0.01, clip=5.0)

    def __init__(self, dev: Sequence[Sample]) -> None:
        self.model: Any = Model(num_class=len(CHARACTERS) + 1, **NETWORK)
        self._dev = dev

    def losses(self, rng: np.random.Generator, progress: float) -> Mapping[str, Tensor]:
        """Draw words and return the loss per frame.

        Where each character stands is known, so frames are learnt directly. CTC, from scratch or
        added before the frames are right, falls back to the blank everywhere.

        Args:
            rng: Only source of randomness of the step.
            progress: Unused.

        Returns:
            The loss terms, already weighted.
        """
        del progress
        images, frames = word_batch([draw_crop(rng) for _ in range(_WORDS_PER_STEP)])
        logits = self.model(images, None)
        return {"frames": functional.cross_entropy(logits.flatten(0, 1), frames.flatten())}

    def evaluate(self) -> dict[str, float]:
        """Read true word boxes of development scenes.

        Returns:
            Share of exact words, on scenes and on random strings.
        """
        return ocr_eval.score_reader(self.model, self._dev)

    def export(self, folder: Path) -> None:
        """Write ``rec.safetensors`` and ``rec.json``.

        Args:
            folder: An existing folder.
        """
        write_weights(folder / "rec.safetensors", self.model)
        notes = {"imgH": HEIGHT, "characters": CHARACTERS, "network_params": NETWORK}
        write_json(folder / "rec.json", notes)


class DetectorTrainee:
    """The tiny detector of word cores.

    Args:
        train: Scenes to fit.
        dev: Scenes with words to score during training.
    """

    recipe = Recipe(peak=3e-3, warmup=20, decay=0.01)

    def __init__(self, train: SceneCache, dev: Sequence[Sample]) -> None:
        self.model: Any = TinyCraft()
        self._train, self._dev = train, dev
        self._with = train.indices(words=True)
        self._without = train.indices(words=False)

    def losses(self, rng: np.random.Generator, progress: float) -> Mapping[str, Tensor]:
        """Draw scenes and return the loss of word cores and of the unused link channel.

        Args:
            rng: Only source of randomness of the step.
            progress: Unused.

        Returns:
            The loss terms, already weighted.
        """
        del progress
        chosen = [*rng.choice(self._with, _WITH_WORDS), *rng.choice(self._without, _WITHOUT_WORDS)]
        images, cores = detector_batch([self._train[int(index)] for index in chosen], rng)
        logits, _ = self.model(images)
        core, link = logits[..., 0], logits[..., 1]
        share = core.sigmoid()
        dice = 1 - (2 * (share * cores).sum() + 1) / (share.sum() + cores.sum() + 1)
        cross = functional.binary_cross_entropy_with_logits
        return {
            "core": cross(core, cores, pos_weight=torch.tensor(2.0)) + 0.5 * dice,
            "link": 0.1 * cross(link, torch.zeros_like(link)),
        }

    def evaluate(self) -> dict[str, float]:
        """Find words on development scenes through EasyOCR's own post-processing.

        Returns:
            Share of words found at an IoU of 0.5, and boxes that are no word.
        """
        return ocr_eval.score_detector(self.model, self._dev)

    def export(self, folder: Path) -> None:
        """Write ``det.safetensors``.

        Args:
            folder: An existing folder.
        """
        write_weights(folder / "det.safetensors", self.model)
