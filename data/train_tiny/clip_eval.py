"""Scores of the tiny CLIP model on synthetic scenes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.metrics import average_precision_score
from torch.nn import functional

from data.train_tiny.clip_data import squash, tags_of, whole_view
from data.train_tiny.prompts import TAGS, TEMPLATES, group_indices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from data.train_tiny.cache import Sample, Shape

MARGIN = 3
"""Pixels kept around a box when it is cropped."""
_CROP_GROUPS = ("shape", "color", "texture", "color-shape")


@torch.no_grad()
def text_vectors(model: Any, tokenizer: Any) -> Tensor:  # noqa: ANN401 - untyped package
    """Embed every tag as the mean over all templates.

    Args:
        model: A CLIP model in evaluation mode.
        tokenizer: Its tokenizer.

    Returns:
        Unit vectors (len(TAGS), D).
    """
    spoken = [
        functional.normalize(
            model.encode_text(tokenizer([form.format(tag.text) for tag in TAGS])), dim=-1
        )
        for form in TEMPLATES
    ]
    return functional.normalize(torch.stack(spoken).sum(0), dim=-1)


@torch.no_grad()
def image_vectors(model: Any, images: Sequence[NDArray[np.uint8]]) -> Tensor:  # noqa: ANN401 - untyped package
    """Embed images that already have the model's size.

    Args:
        model: A CLIP model in evaluation mode.
        images: uint8 (SIDE, SIDE, 3), RGB.

    Returns:
        Unit vectors (N, D).
    """
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    parts = [model.encode_image(part) for part in torch.split(stacked, 64)]
    return functional.normalize(torch.cat(parts), dim=-1)


def crop(image: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Cut a box out with a margin.

    Args:
        image: uint8 (H, W, 3), RGB.
        box: (x0, y0, x1, y1) in pixels, half open.

    Returns:
        The part of the image around the box.
    """
    x0, y0, x1, y1 = box
    window = slice(max(0, y0 - MARGIN), y1 + MARGIN), slice(max(0, x0 - MARGIN), x1 + MARGIN)
    return np.ascontiguousarray(image[window])


def crop_hits(vectors: Tensor, texts: Tensor, items: Sequence[Shape]) -> dict[str, float]:
    """Share of crops whose best tag in a group is true.

    Args:
        vectors: Unit vectors of the crops (N, D).
        texts: Unit vectors of ``TAGS``.
        items: What each crop shows.

    Returns:
        Accuracy per group, 0..1.
    """
    scores, hits = vectors @ texts.T, dict[str, float]()
    for group in _CROP_GROUPS:
        columns = group_indices(group)
        best = [columns[i] for i in scores[:, columns].argmax(1).tolist()]
        hits[f"crop_{group}"] = float(
            np.mean([tag in tags_of(item) for tag, item in zip(best, items, strict=True)])
        )
    return hits


def _scene_precision(scores: NDArray[Any], truth: NDArray[np.float32], group: str) -> float:
    precisions = []
    for column in group_indices(group):
        asked = truth[:, column] >= 0
        if (truth[asked, column] == 1).any():
            precisions.append(average_precision_score(truth[asked, column], scores[asked, column]))
    return float(np.mean(precisions))


def score_tags(model: Any, tokenizer: Any, samples: Sequence[Sample]) -> dict[str, float]:  # noqa: ANN401 - untyped package
    """Score crops of every object and whole scenes.

    Args:
        model: A CLIP model in evaluation mode.
        tokenizer: Its tokenizer.
        samples: Scenes.

    Returns:
        Accuracy on crops per group, accuracy of the scene's background, mean average precision of
        scene tags; ``crops`` counts the crops.
    """
    texts = text_vectors(model, tokenizer)
    items = [(sample.image, item) for sample in samples for item in sample.objects]
    crops = image_vectors(model, [squash(crop(image, item.box)) for image, item in items])
    result = crop_hits(crops, texts, [item for _, item in items])
    views = [whole_view(sample) for sample in samples]
    scores = (image_vectors(model, [view.pixels for view in views]) @ texts.T).numpy()
    truth = np.stack([view.truth for view in views])
    columns = group_indices("background")
    right = scores[:, columns].argmax(1) == truth[:, columns].argmax(1)
    result["scene_background"] = float(right.mean())
    for group in ("shape", "color", "texture", "sign"):
        result[f"scene_{group}_map"] = _scene_precision(scores, truth, group)
    return result | {"crops": float(len(items))}
