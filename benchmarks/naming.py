"""How right names are from crops and from patches, and what relevance tells of wrong ones.

On scenes that no model was fitted on, with their true masks, and the embedded CLIP.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID253

from benchmarks.figures import Outcome
from benchmarks.options import Options
from benchmarks.runs import DEMO
from pipeline import rle
from pipeline.config import PolicyConfig
from pipeline.fuse.naming import Named, name_regions, with_relevance
from pipeline.fuse.vocabulary import Vocabulary, prompts_of
from pipeline.infer import Engines
from pipeline.infer.crops import region_crops
from pipeline.infer.pooling import cut, pool, squares
from pipeline.records import Point, PooledVectors, PromptVectors, Region, RegionVectors
from pipeline.runfile import load_run_file
from pipeline.synthetic.scenes import Scene, make_scene
from pipeline.synthetic.vocabulary import COLORS, DEV_SEEDS, SHAPES

SCENES = 60
TILES = (1, 2, 4)
LEAST_AREA = 64


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What an embedder said of a scene's regions."""

    scene: Scene
    regions: tuple[Region, ...]
    crops: RegionVectors
    pooled: dict[int, PooledVectors]


def measure_naming(options: Options) -> Outcome:
    """Name shapes by crops and by patches.

    Returns:
        Shares of right names; CPU milliseconds per region; and for each vocabulary the chance that
        a right name has a higher relevance than the name of another object of the same scene.
    """
    torch.set_num_threads(options.threads)
    engines = Engines(load_run_file(DEMO))
    engines.embedder.embed_images([np.zeros((64, 64, 3), np.uint8)])
    seconds: dict[str, float] = dict.fromkeys(["crops", *(f"dense{n}" for n in TILES)], 0.0)
    asked = [_asked(make_scene(seed), engines, seconds) for seed in DEV_SEEDS[:SCENES]]
    regions = sum(len(one.regions) for one in asked)
    figures: dict[str, Any] = {"scenes": SCENES, "regions": regions}
    for kind, classes in (("shape", SHAPES), ("color", tuple(f"{c} shape" for c in COLORS))):
        figures |= _judged(kind, classes, asked, engines)
    each = {f"cpu_ms_per_region_{k}": round(1e3 * s / regions, 1) for k, s in seconds.items()}
    return Outcome(figures=figures | each)


def _asked(scene: Scene, engines: Engines, seconds: dict[str, float]) -> Asked:
    image = scene.image
    masks = [(rle.encode(np.asarray(one.mask, np.bool_)), one) for one in scene.objects]
    regions = tuple(
        Region(mask, box, rle.area(mask), 1.0, 1.0, Point(0, 0))
        for mask, _ in masks
        if (box := rle.tight_box(mask)) is not None
    )
    start, n = time.process_time(), len(regions)
    vectors = engines.embedder.embed_images(region_crops(image, regions))
    seconds["crops"] += time.process_time() - start
    pooled = {}
    for tiles in TILES:
        start = time.process_time()
        places = squares(image.shape[0], image.shape[1], tiles)
        patches = engines.embedder.embed_patches([cut(image, place) for place in places])
        pooled[tiles] = pool(regions, patches, places)
        seconds[f"dense{tiles}"] += time.process_time() - start
    return Asked(scene, regions, RegionVectors(vectors[:n], vectors[n:]), pooled)


def _judged(
    kind: str, classes: Sequence[str], asked: Sequence[Asked], engines: Engines
) -> dict[str, Any]:
    vocabulary = _vocabulary(classes, engines)
    right: dict[str, list[bool]] = {}
    own: dict[int, list[float]] = {tiles: [] for tiles in TILES}
    others: dict[int, list[float]] = {tiles: [] for tiles in TILES}
    for one in asked:
        truth = [_truth(kind, thing) for thing in one.scene.objects]
        ways = {"crops": one.crops}
        ways |= {f"dense{n}": RegionVectors(p.inside, p.inside) for n, p in one.pooled.items()}
        for way, vectors in ways.items():
            named = name_regions(one.regions, vectors, vocabulary, 0.5)
            hits = [name.class_name == true for name, true in zip(named, truth, strict=True)]
            right.setdefault(way, []).extend(hits)
        for tiles, pooled in one.pooled.items():
            own[tiles] += _leads(one, pooled, vocabulary, truth)
            for at, true in enumerate(truth):
                for wrong in sorted(set(truth) - {true}):
                    names = [wrong if n == at else name for n, name in enumerate(truth)]
                    others[tiles].append(_leads(one, pooled, vocabulary, names)[at])
    figures: dict[str, Any] = {
        f"{kind}_right_{way}": round(float(np.mean(hits)), 3) for way, hits in right.items()
    }
    for tiles in TILES:
        figures[f"{kind}_relevance_auc_dense{tiles}"] = round(_auc(own[tiles], others[tiles]), 3)
        share = float(np.mean(np.array(own[tiles]) < 0))
        figures[f"{kind}_right_names_flagged_at_0_dense{tiles}"] = round(share, 3)
        share = float(np.mean(np.array(others[tiles]) < 0))
        figures[f"{kind}_wrong_names_flagged_at_0_dense{tiles}"] = round(share, 3)
    return figures


def _truth(kind: str, thing: Any) -> str:  # noqa: ANN401  a SceneObject
    return str(thing.shape) if kind == "shape" else f"{thing.color} shape"


def _vocabulary(classes: Sequence[str], engines: Engines) -> Vocabulary:
    templates = load_run_file(Path(DEMO)).config.policy.templates
    named = [{"name": name} for name in classes]
    policy = PolicyConfig.model_validate(
        {"classes": tuple(named), "templates": templates, "background": ()}
    )
    prompts = prompts_of(policy)
    vectors = engines.embedder.embed_texts(prompts)
    embedder = engines.embedder
    known = dict(zip(prompts, vectors, strict=True))
    return Vocabulary.build(policy, PromptVectors(known, embedder.logit_scale, embedder.logit_bias))


def _leads(
    one: Asked, pooled: PooledVectors, vocabulary: Vocabulary, names: Sequence[str]
) -> list[float]:
    named = [
        Named(region, name, 1.0, None, 0.0) for region, name in zip(one.regions, names, strict=True)
    ]
    found = with_relevance(named, pooled, vocabulary)
    return [name.relevance for name in found if name.relevance is not None]


def _auc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Chance that one of the first is above one of the second; equal ones count half."""
    a, b = np.array(higher)[:, None], np.array(lower)[None]
    return float(np.mean((a > b) + 0.5 * (a == b)))
