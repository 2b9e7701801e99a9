"""Training of the tiny CLIP model."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch.nn import functional

from data.train_tiny import clip_eval
from data.train_tiny.clip_data import GROUPS, PATCH, SIDE, draw_view
from data.train_tiny.prompts import (
    CONTEXT,
    SIMPLE,
    TAGS,
    TEMPLATES,
    group_indices,
    small_vocabulary,
)
from data.train_tiny.runs import Recipe, write_json, write_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from data.train_tiny.cache import Sample, SceneCache
    from data.train_tiny.clip_data import View

BATCH = 48
GROUP_WEIGHT = {"shape": 6.0, "color": 2.0, "texture": 2.0, "background": 1.0}
_PRESENT, _ABSENT = 28, 8
_LARGEST_SCALE = math.log(100)


def config(vocabulary: int) -> dict[str, Any]:
    """``open_clip_config.json`` of the tiny model.

    Args:
        vocabulary: Number of tokens.

    Returns:
        Sizes of both towers and the preprocessing: squash to 64 px, RGB scaled to -1..1.
    """
    vision = {
        "image_size": SIDE,
        "layers": 4,
        "width": 128,
        "head_width": 32,
        "patch_size": PATCH,
        "pool_type": "tok",
    }
    text = {
        "context_length": CONTEXT,
        "vocab_size": vocabulary,
        "width": 96,
        "heads": 4,
        "layers": 2,
    }
    head = {"embed_dim": 128, "init_logit_scale": 2.3026, "init_logit_bias": -4.0}
    half = [0.5, 0.5, 0.5]
    seen = {"mean": half, "std": half, "interpolation": "bicubic", "resize_mode": "squash"}
    return {
        "model_cfg": {**head, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": seen,
    }


def write_config(folder: Path) -> None:
    """Write the configuration and the vocabulary.

    Args:
        folder: An existing folder.
    """
    merges = folder / "bpe_small.txt.gz"
    merges.write_bytes(small_vocabulary())
    tokenizer = SimpleTokenizer(bpe_path=str(merges), context_length=CONTEXT)
    write_json(folder / "open_clip_config.json", config(tokenizer.vocab_size))


def build() -> tuple[Any, Any]:
    """Build the untrained model as open_clip would from the shipped folder.

    Returns:
        The model, random, and its tokenizer.
    """
    with tempfile.TemporaryDirectory() as name:
        write_config(Path(name))
        place = f"local-dir:{name}"
        model, _, _ = open_clip.create_model_and_transforms(place, load_weights=False)
        merges = str(Path(name) / "bpe_small.txt.gz")
        return model, open_clip.get_tokenizer(place, bpe_path=merges)


def pixels_of(views: Sequence[View]) -> Tensor:
    """Stack views as the model takes them.

    Args:
        views: Views of one size.

    Returns:
        float (N, 3, SIDE, SIDE), RGB, -1..1.
    """
    stacked = np.stack([view.pixels for view in views])
    return (torch.from_numpy(stacked).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5


def _asked(truth: Tensor, rng: np.random.Generator) -> list[int]:
    compounds = np.arange(SIMPLE, len(TAGS))
    present = compounds[(truth[:, SIMPLE:] == 1).any(0).numpy()]
    chosen = rng.permutation(present)[:_PRESENT]
    others = rng.choice(compounds, _ABSENT, replace=False)
    return [*range(SIMPLE), *sorted({*chosen.tolist(), *others.tolist()})]


def _tag_loss(logits: Tensor, truth: Tensor) -> Tensor:
    asked = (truth >= 0).float()
    each = functional.binary_cross_entropy_with_logits(logits, truth.clamp(0, 1), reduction="none")
    return (each * asked).sum() / BATCH


def _group_loss(logits: Tensor, truth: Tensor) -> Tensor:
    total = logits.new_zeros(())
    for group in GROUPS:
        columns = group_indices(group)
        part = truth[:, columns]
        clear = ((part == 1).sum(1) == 1) & ((part < 0).sum(1) == 0)
        right = part[clear].argmax(1)
        loss = functional.cross_entropy(logits[:, columns][clear], right, reduction="sum")
        total = total + GROUP_WEIGHT[group] * loss / BATCH
    return total


def _patch_loss(logits: Tensor, targets: Tensor) -> Tensor:
    total = logits.new_zeros(())
    for row, group in enumerate(GROUPS):
        wanted = targets[:, row].reshape(-1)
        if bool((wanted >= 0).any()):
            scores = logits[..., group_indices(group)].flatten(0, 1)
            total = total + GROUP_WEIGHT[group] * functional.cross_entropy(scores, wanted)
    return total


class ClipTrainee:
    """The tiny image-text model with its scenes.

    Args:
        train: Scenes to fit.
        dev: Scenes to score during training.
        dense: Whether every pure patch must say what lies under it; off only in the ablation.
    """

    recipe = Recipe(peak=1.2e-3, warmup=60, decay=0.05)

    def __init__(self, train: SceneCache, dev: Sequence[Sample], *, dense: bool = True) -> None:
        self.model, self._tokenizer = build()
        self._train, self._dev, self._dense = train, dev, dense

    def _texts(self, asked: Sequence[int], rng: np.random.Generator) -> Tensor:
        forms = rng.integers(len(TEMPLATES), size=len(asked))
        said = [TEMPLATES[f].format(TAGS[a].text) for f, a in zip(forms, asked, strict=True)]
        return functional.normalize(self.model.encode_text(self._tokenizer(said)), dim=-1)

    def _images(self, views: Sequence[View], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        shape = (len(views), 1, 1, 1)
        gain = torch.from_numpy(rng.normal(1, 0.1, shape).astype(np.float32))
        lift = torch.from_numpy(rng.normal(0, 0.08, shape).astype(np.float32))
        visual = self.model.visual
        visual.output_tokens = True
        pooled, tokens = visual(pixels_of(views) * gain + lift)
        visual.output_tokens = False
        patches = functional.normalize(tokens @ visual.proj, dim=-1)
        return functional.normalize(pooled, dim=-1), patches

    def losses(self, rng: np.random.Generator, progress: float) -> Mapping[str, Tensor]:
        """Draw views and return the loss of tags, of tag groups and of patches.

        Args:
            rng: Only source of randomness of the step.
            progress: Unused.

        Returns:
            The loss terms, already weighted.
        """
        del progress
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, _LARGEST_SCALE)
        picked = rng.integers(0, len(self._train), BATCH)
        views = [draw_view(self._train[int(index)], rng) for index in picked]
        truth = torch.from_numpy(np.stack([view.truth for view in views]))
        asked = _asked(truth, rng)
        texts = self._texts(asked, rng)
        pooled, patches = self._images(views, rng)
        scale = self.model.logit_scale.exp()
        logits = scale * pooled @ texts.T + self.model.logit_bias
        terms = {
            "tags": _tag_loss(logits, truth[:, asked]),
            "groups": _group_loss(logits, truth[:, asked]),
        }
        if self._dense:
            targets = torch.from_numpy(np.stack([view.patches for view in views]))
            terms["patches"] = _patch_loss(scale * patches @ texts[:SIMPLE].T, targets)
        return terms

    def evaluate(self) -> dict[str, float]:
        """Score tags on development scenes and crops.

        Returns:
            Accuracies on crops and scenes, see ``clip_eval.score_tags``.
        """
        return clip_eval.score_tags(self.model, self._tokenizer, self._dev)

    def export(self, folder: Path) -> None:
        """Write the three files open_clip needs.

        Args:
            folder: An existing folder.
        """
        write_config(folder)
        write_weights(folder / "open_clip_model.safetensors", self.model)
