"""The shipped files, scored through the packages' own classes."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from data.train_tiny.cache import make_samples
from data.train_tiny.clip_data import tags_of, whole_view
from data.train_tiny.clip_eval import crop, text_vectors
from data.train_tiny.ocr_eval import score_readtext
from data.train_tiny.prompts import TAGS, group_indices
from data.train_tiny.runs import write_json
from data.train_tiny.sam_eval import MIN_AREA, automatic, match, score_prompts
from data.train_tiny.shipped import HOME, open_sam, open_tags, weight_hashes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from data.train_tiny.cache import Sample, Shape

SCENES: Final = 120
SIGNS: Final = 80
WORDLESS: Final = 40
_REGION_GROUPS: Final = ("shape", "color", "texture", "color-shape")

Figure = dict[str, float]


def share(hits: float, count: float) -> Figure:
    """A proportion with its 95 % half-width.

    Args:
        hits: Number of successes.
        count: Number of trials.

    Returns:
        value, n and half_width (Wilson's interval, the wider of its two sides).

    Source: Wilson (1927), score interval for a proportion.
    """
    count, z = max(count, 1.0), 1.96
    value = hits / count
    centre = (value + z * z / (2 * count)) / (1 + z * z / count)
    spread = math.sqrt(value * (1 - value) / count + (z / (2 * count)) ** 2)
    half = z * spread / (1 + z * z / count)
    wide = max(abs(centre - half - value), abs(centre + half - value))
    return {"value": round(value, 4), "n": int(count), "half_width": round(wide, 4)}


class _Tagger:
    """The shipped CLIP model behind its own preprocessing."""

    def __init__(self) -> None:
        self._model, self._prepare, tokenizer = open_tags()
        self._texts = text_vectors(self._model, tokenizer)

    @torch.no_grad()
    def best(self, image: NDArray[np.uint8]) -> dict[str, int]:
        """Name the best tag of each group.

        Args:
            image: uint8 (H, W, 3), RGB.

        Returns:
            Position in ``TAGS`` per group.
        """
        vector = self._model.encode_image(self._prepare(Image.fromarray(image))[None])
        scores = (functional.normalize(vector, dim=-1) @ self._texts.T)[0]
        groups = {tag.group for tag in TAGS}
        columns = {group: group_indices(group) for group in groups}
        return {group: rows[int(scores[rows].argmax())] for group, rows in columns.items()}


def _region_hits(
    tagger: _Tagger, image: NDArray[np.uint8], box: tuple[int, int, int, int], item: Shape
) -> dict[str, bool]:
    best = tagger.best(crop(image, box))
    return {group: best[group] in tags_of(item) for group in _REGION_GROUPS}


def _corners(record: dict[str, Any]) -> tuple[int, int, int, int]:
    x, y, wide, tall = (int(side) for side in record["bbox"])
    return x, y, x + wide, y + tall


def _scene_rows(
    sample: Sample, records: Sequence[dict[str, Any]], tagger: _Tagger
) -> tuple[dict[str, float], list[dict[str, bool]]]:
    true = [(i, mask) for i, mask in enumerate(sample.masks) if np.count_nonzero(mask) > MIN_AREA]
    pairs = match([record["segmentation"] for record in records], [mask for _, mask in true])
    hits = [(record, true[p][0]) for record, p in zip(records, pairs, strict=True) if p >= 0]
    shapes = [(record, at) for record, at in hits if at < len(sample.objects)]
    counts = {
        "found": len(records),
        "wanted": len(true),
        "hits": len(hits),
        "wanted_shapes": sum(at < len(sample.objects) for at, _ in true),
        "hits_shapes": len(shapes),
    }
    return {key: float(value) for key, value in counts.items()}, [
        _region_hits(tagger, sample.image, _corners(record), sample.objects[at])
        for record, at in shapes
    ]


def _group_shares(prefix: str, rows: Sequence[dict[str, bool]]) -> dict[str, Figure]:
    return {
        f"{prefix}_{group}": share(sum(row[group] for row in rows), len(rows))
        for group in _REGION_GROUPS
    }


def _end_to_end(samples: Sequence[Sample], tagger: _Tagger) -> dict[str, Figure]:
    model, settings = open_sam()
    totals, regions = dict[str, float](), list[dict[str, bool]]()
    for sample in samples:
        counts, rows = _scene_rows(sample, automatic(model, settings, sample.image), tagger)
        totals = {key: totals.get(key, 0.0) + value for key, value in counts.items()}
        regions += rows
    prompts = score_prompts(model, samples)
    count = prompts.pop("masks")
    return {
        "mask_recall": share(totals["hits"], totals["wanted"]),
        "mask_recall_shapes": share(totals["hits_shapes"], totals["wanted_shapes"]),
        "mask_precision": share(totals["hits"], totals["found"]),
        "mask_precision_shapes": share(totals["hits_shapes"], totals["found"]),
        **_group_shares("region", regions),
        **{f"prompt_{k}": {"value": round(v, 4), "n": int(count)} for k, v in prompts.items()},
    }


def _true_regions(samples: Sequence[Sample], tagger: _Tagger) -> dict[str, Figure]:
    rows = [_region_hits(tagger, s.image, o.box, o) for s in samples for o in s.objects]
    scenes = 0
    for sample in samples:
        truth = whole_view(sample).truth
        scenes += truth[tagger.best(sample.image)["background"]] == 1
    return {
        **_group_shares("true_box", rows),
        "scene_background": share(float(scenes), len(samples)),
    }


def _reading(seeds: range) -> dict[str, Figure]:
    signs = make_samples(seeds[SCENES : SCENES + SIGNS], word_chance=1.0)
    start = SCENES + SIGNS
    bare = make_samples(seeds[start : start + WORDLESS], word_chance=0.0)
    counts = score_readtext(HOME / "ocr", [*signs, *bare])
    return {
        "words_exact": share(counts["exact"], counts["words"]),
        "words_found": share(counts["found"], counts["words"]),
        "false_texts_per_wordless_scene": {
            "value": round(counts["false_texts"] / counts["wordless"], 4),
            "n": int(counts["wordless"]),
        },
    }


def _schedules() -> dict[str, Any]:
    logs = {path.stem: json.loads(path.read_text()) for path in (HOME / "curves").glob("*.json")}
    return {
        name: {"steps": logs[name]["steps"], "seed": logs[name]["seed"]}
        for name in ("clip", "sam", "ocr-rec", "ocr-det")
        if name in logs
    }


def score(seeds: range, path: Path) -> None:
    """Score the shipped models on one range of seeds and write the figures.

    Args:
        seeds: One of the ``*_SEEDS`` ranges.
        path: JSON file to write.
    """
    samples, tagger = make_samples(seeds[:SCENES]), _Tagger()
    figures = {**_true_regions(samples, tagger), **_end_to_end(samples, tagger), **_reading(seeds)}
    content = {
        "about": "Synthetic scenes only. half_width: 95 %. Masks match at IoU 0.5, each once.",
        "seeds": {"first": seeds.start, "scenes": SCENES, "signs": SIGNS, "wordless": WORDLESS},
        "training": _schedules(),
        "sha256": weight_hashes(),
        "figures": figures,
    }
    write_json(path, content)
    print(json.dumps(figures, indent=1), flush=True)
