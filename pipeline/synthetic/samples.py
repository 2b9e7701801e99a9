"""The sample images in ``data/samples``, with their ground truth in COCO form.

``python -m pipeline.synthetic.samples data/samples`` writes them again, the same to the byte.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from pipeline.synthetic.scenes import make_scene
from pipeline.synthetic.vocabulary import SAMPLE_SEEDS, SHAPES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.synthetic.scenes import Scene

COUNT: Final = 24
CATEGORIES: Final = (*SHAPES, "text")
"""Category names in order of their ids, from 1."""
_FRAMES: Final = ((256, 256), (320, 256), (384, 288), (256, 320), (288, 288))
_QUALITY: Final = 92


class SamplePlan(NamedTuple):
    """How one sample is made.

    Attributes:
        name: File name.
        seed: Seed of the scene.
        width: Width in pixels.
        height: Height in pixels.
        word_chance: 1 where a word is wanted, otherwise 0.
    """

    name: str
    seed: int
    width: int
    height: int
    word_chance: float


def sample_plans(count: int = COUNT) -> tuple[SamplePlan, ...]:
    """List the samples: two thirds PNG and one third JPEG, a word on every third.

    Args:
        count: Number of samples.

    Returns:
        One plan per sample.
    """
    plans = []
    for index, seed in enumerate(SAMPLE_SEEDS[:count]):
        width, height = _FRAMES[index % len(_FRAMES)]
        suffix = "jpg" if index % 3 == 1 else "png"
        name = f"scene-{index:02d}.{suffix}"
        plans.append(SamplePlan(name, seed, width, height, 1.0 if index % 3 == 0 else 0.0))
    return tuple(plans)


def sample_scene(plan: SamplePlan) -> Scene:
    """Make the scene of a plan.

    Args:
        plan: One of ``sample_plans``.

    Returns:
        The scene, before any lossy compression.
    """
    return make_scene(plan.seed, plan.width, height=plan.height, word_chance=plan.word_chance)


def _region(mask: NDArray[np.bool_], box: tuple[int, int, int, int]) -> dict[str, Any]:
    packed = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    x0, y0, x1, y1 = box
    counts = packed["counts"]
    return {
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(np.count_nonzero(mask)),
        "iscrowd": 0,
        "segmentation": {
            "size": [int(side) for side in packed["size"]],
            "counts": counts if isinstance(counts, str) else counts.decode("ascii"),
        },
    }


def _annotations(scene: Scene) -> list[dict[str, Any]]:
    rows = [
        {
            "category_id": 1 + CATEGORIES.index(item.shape),
            **_region(item.mask, item.box),
            "color": item.color,
            "texture": item.texture,
        }
        for item in scene.objects
    ]
    for word in scene.words:
        x0, y0, x1, y1 = word.box
        mask = np.zeros(scene.image.shape[:2], bool)
        mask[y0:y1, x0:x1] = True
        rows.append({"category_id": len(CATEGORIES), **_region(mask, word.box), "text": word.text})
    return rows


def coco_truth(plans: tuple[SamplePlan, ...]) -> dict[str, Any]:
    """Describe samples in COCO form.

    Args:
        plans: The samples.

    Returns:
        Images with their ``background``, annotations with compressed run-length masks, exact areas
        and tight boxes [x, y, width, height], ``color`` and ``texture`` on shapes and ``text`` on
        words (whose mask is their ink box), and the categories of ``CATEGORIES``.

    Source: cocodataset.org, "Data format".
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, plan in enumerate(plans, 1):
        scene = sample_scene(plan)
        frame = {"file_name": plan.name, "width": plan.width, "height": plan.height}
        images.append({"id": number, **frame, "background": scene.background})
        for row in _annotations(scene):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **row})
    categories = [
        {"id": number, "name": name, "supercategory": "text" if name == "text" else "shape"}
        for number, name in enumerate(CATEGORIES, 1)
    ]
    info = {"description": "Synthetic scenes, exact by construction", "version": "1"}
    return {
        "info": info,
        "licenses": [{"id": 1, "name": "Apache-2.0", "url": ""}],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def write_samples(folder: Path, count: int = COUNT) -> None:
    """Write the sample images and their truth.

    Args:
        folder: Receives ``images/`` and ``truth.coco.json``; created when missing.
        count: Number of samples.
    """
    plans = sample_plans(count)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for plan in plans:
        image = Image.fromarray(sample_scene(plan).image)
        image.save(folder / "images" / plan.name, quality=_QUALITY)
    text = json.dumps(coco_truth(plans), indent=1)
    (folder / "truth.coco.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_samples(Path(sys.argv[1]))
