"""AP and AR as the field states them: by pycocotools, with faster-coco-eval as second opinion."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final, Literal

import faster_coco_eval
import numpy as np
from faster_coco_eval import COCOeval_faster
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.records import JsonObject

NAMES: Final = (
    "AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large",
    "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large",
)  # fmt: skip
_AGREE: Final = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Precision over recall, all sizes, at most 100 labels per image; -1 without truth.

    Attributes:
        ious: (T,) thresholds.
        recalls: (R,) at which precision is stated.
        precision: (T, K, R), classes in the order of their ids.
        scores: The same, lowest score that counts there.
        recall: (T, K), highest.
    """

    ious: NDArray[np.float64]
    recalls: NDArray[np.float64]
    precision: NDArray[np.float64]
    scores: NDArray[np.float64]
    recall: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Averages:
    """Both opinions; a number is None where there is no truth of that size.

    Attributes:
        pycocotools: ``NAMES`` → number.
        faster_coco_eval: The same.
        agree: Whether all numbers are equal to 1e-9.
        classes: Category id → AP.
        curves: What pycocotools made them from.
    """

    pycocotools: Mapping[str, float | None]
    faster_coco_eval: Mapping[str, float | None]
    agree: bool
    classes: Mapping[int, float | None]
    curves: Curves


def average(
    truth: JsonObject, results: Sequence[JsonObject], kind: Literal["bbox", "segm"]
) -> Averages:
    """Measure results against a COCO document.

    Args:
        truth: ``images``, ``annotations`` and ``categories``.
        results: With image_id, category_id, score, and bbox or segmentation.
        kind: Whether boxes or masks are compared.
    """
    judged = _judged(COCO, COCOeval, truth, results, kind)
    first = _stats(judged)
    second = _stats(_judged(faster_coco_eval.COCO, COCOeval_faster, truth, results, kind))
    curves = _curves(judged)
    classes = {
        int(ident): _mean(curves.precision[:, place])
        for place, ident in enumerate(judged.params.catIds)
    }
    return Averages(first, second, _same(first, second), classes, curves)


def _judged(
    index: Any,  # noqa: ANN401  the class COCO of either library
    judge: Any,  # noqa: ANN401  their COCOeval
    truth: JsonObject,
    results: Sequence[JsonObject],
    kind: str,
) -> Any:  # noqa: ANN401  an evaluation of either library
    with contextlib.redirect_stdout(io.StringIO()):
        known = index()
        known.dataset = deepcopy(truth)
        known.createIndex()
        found = known.loadRes(deepcopy(list(results))) if results else _nothing(index, truth)
        evaluation = judge(known, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def _stats(evaluation: Any) -> dict[str, float | None]:  # noqa: ANN401  as above
    stats = [float(value) for value in evaluation.stats[: len(NAMES)]]
    named = zip(NAMES, stats, strict=True)
    return {name: None if value < 0 else value for name, value in named}


def _curves(evaluation: Any) -> Curves:  # noqa: ANN401  as above
    params, made = evaluation.params, evaluation.eval
    precision, scores = (
        np.asarray(made[key], np.float64)[:, :, :, 0, -1].transpose(0, 2, 1)
        for key in ("precision", "scores")
    )
    recall = np.asarray(made["recall"], np.float64)[:, :, 0, -1]
    return Curves(np.asarray(params.iouThrs), np.asarray(params.recThrs), precision, scores, recall)


def _nothing(index: Any, truth: JsonObject) -> Any:  # noqa: ANN401  as above
    empty = index()
    empty.dataset = {**truth, "annotations": []}
    empty.createIndex()
    return empty


def _mean(values: Any) -> float | None:  # noqa: ANN401  an array of numpy's
    valid = values[values > -1]
    return float(valid.mean()) if valid.size else None


def _same(a: Mapping[str, float | None], b: Mapping[str, float | None]) -> bool:
    return all(
        one is other if one is None or other is None else abs(one - other) <= _AGREE
        for one, other in ((a[name], b[name]) for name in NAMES)
    )
