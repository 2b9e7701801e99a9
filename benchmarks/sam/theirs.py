"""What people use today, as arms: FiftyOne's model and the pipeline of transformers.

FiftyOne: its own ``SegmentAnythingModel`` with the steps of ``apply_model`` for one image, item,
collate, predict. Only the weights come from us, through ``config.model``, and no database is
needed, as nothing is stored. transformers: ``pipeline("mask-generation")`` with converted weights.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch  # noqa: TID253
from PIL import Image

from benchmarks.arms import Arm, Clock
from benchmarks.sam.arms import Found, Work, answer_as, build
from benchmarks.sam.models import model_of
from pipeline import rle
from pipeline.engines.fast_sam import FoundMask
from pipeline.records import Bitmap

FIFTYONE, TRANSFORMERS = "FiftyOne", "transformers"

_NAN: Final = float("nan")


def arm_of(name: str, work: Work) -> Arm[Found]:
    """Build any arm by its name."""
    builders: dict[str, Callable[[Work], Arm[Found]]] = {
        FIFTYONE: _fiftyone,
        TRANSFORMERS: _transformers,
    }
    make = builders.get(name)
    return build(name, work) if make is None else make(work)


def _fiftyone(work: Work) -> Arm[Found]:
    import fiftyone.utils.sam as fos

    model, clock = model_of(work.architecture), Clock()
    settings = work.config().model_dump(exclude={"engine", "model", "mode"})
    config = fos.SegmentAnythingModelConfig(
        {"model": model, "model_path": "given", "auto_kwargs": settings}
    )
    theirs = fos.SegmentAnythingModel(config)
    answer_as(work, theirs._sam_auto_generator, model, clock)  # noqa: SLF001  its one generator
    item_of = theirs.build_get_item()
    folder = tempfile.TemporaryDirectory(prefix="autolabel-bench-")
    paths = _as_files(work, Path(folder.name))

    def run() -> Found:
        found = []
        for path in paths:
            item = item_of({"id": path.stem, "filepath": str(path)})
            with theirs:
                labels = theirs.predict_all([item])[0]
            with clock:
                found.append(
                    [_detected(label, item["original_size"]) for label in labels.detections]
                )
        return found

    return Arm(FIFTYONE, _holding(folder, run), clock)


def _transformers(work: Work) -> Arm[Found]:
    from transformers import pipeline
    from transformers.utils import logging as theirs

    from benchmarks.sam.converted import converted, processor_of  # noqa: PLC0415

    theirs.set_verbosity(logging.ERROR)
    library, clock = model_of(work.architecture), Clock()
    model = converted(library)
    _answer_there(work, model, clock)
    config = work.config()
    generator: Any = pipeline(
        "mask-generation", model=model, image_processor=processor_of(library), device="cpu"
    )
    options = {
        "points_per_batch": config.points_per_batch,
        "points_per_crop": config.points_per_side,
        "pred_iou_thresh": config.pred_iou_thresh,
        "stability_score_thresh": config.stability_score_thresh,
        "stability_score_offset": config.stability_score_offset,
        "crops_nms_thresh": config.box_nms_thresh,
    }
    pictures = [Image.fromarray(image) for image in work.images]

    def run() -> Found:
        found = []
        for picture in pictures:
            answer = generator(picture, **options)
            with clock:
                pairs = zip(answer["masks"], answer["scores"].tolist(), strict=True)
                found.append([_plain(np.asarray(mask, np.bool_), score) for mask, score in pairs])
        return found

    return Arm(TRANSFORMERS, run, clock)


def _answer_there(work: Work, model: Any, clock: Clock) -> None:  # noqa: ANN401
    scene = work.scene
    if scene is None:
        return
    ask, decode = model.forward, model.mask_decoder.forward
    asked: list[Any] = []

    def remember(**inputs: Any) -> Any:  # noqa: ANN401
        asked[:] = [inputs["input_points"][0, :, 0].double().numpy()]
        return ask(**inputs)

    def answer(**options: Any) -> tuple[torch.Tensor, torch.Tensor]:  # noqa: ANN401
        if work.models:
            decode(**options)
        with clock:
            logits, scores = scene.all_logits(asked[0])
        return logits[None], scores[None]

    model.forward = remember
    model.mask_decoder.forward = answer


def _as_files(work: Work, folder: Path) -> list[Path]:
    paths = [folder / f"{number}.png" for number in range(len(work.images))]
    for path, image in zip(paths, work.images, strict=True):
        Image.fromarray(image).save(path)
    return paths


def _holding(folder: Any, run: Callable[[], Found]) -> Callable[[], Found]:  # noqa: ANN401
    """Keep a temporary folder for as long as the arm is there."""

    def held() -> Found:
        assert folder is not None
        return run()

    return held


def _detected(label: Any, size: tuple[int, int]) -> FoundMask:  # noqa: ANN401
    height, width = size
    left, top, _, _ = label.bounding_box
    y, x = round(top * height), round(left * width)
    whole = np.zeros((height, width), np.bool_)
    whole[y : y + label.mask.shape[0], x : x + label.mask.shape[1]] = label.mask
    return _plain(whole, float(label.score))


def _plain(mask: Bitmap, score: float) -> FoundMask:
    """Keep what these answers have: neither stability nor point."""
    return FoundMask(rle.encode(mask), score, _NAN, (_NAN, _NAN))
