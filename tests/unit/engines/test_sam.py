"""Segment Anything through our hands, with a random model of a few thousand weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline import rle
from pipeline.config import SegmentAnythingConfig
from pipeline.errors import ImageRejectedError, OutOfMemoryError, WeightsError
from pipeline.reasons import Reason
from pipeline.records import RgbImage
from pipeline.weights import ModelFiles

pytestmark = pytest.mark.models

SIZES: dict[str, Any] = {
    "image_size": 64,
    "patch_size": 16,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "window": 2,
    "global_attention": [0],
    "prompt_width": 16,
    "decoder_mlp": 16,
    "decoder_heads": 2,
    "iou_hidden": 16,
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}
EVERYTHING: dict[str, Any] = {
    "points_per_side": 4,
    "points_per_batch": 16,
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 1.0,
}


@pytest.fixture
def build(tmp_path: Path, checked: Callable[[], ModelFiles]) -> Callable[..., Any]:
    """Write a random model that finds something, loaded with the given settings."""
    import torch
    from safetensors.torch import save_file

    def write(
        precision: str = "fp32",
        spoil: Callable[[dict[str, Any]], None] = lambda _state: None,
        **settings: Any,
    ) -> Any:
        from pipeline.engines.segment_anything import SamSegmenter
        from pipeline.engines.tiny import build_tiny_sam

        torch.manual_seed(1)
        state = build_tiny_sam(SIZES).state_dict()
        state["mask_decoder.iou_prediction_head.layers.2.bias"].fill_(0.6)
        spoil(state)
        save_file(state, tmp_path / "model.safetensors")
        (tmp_path / "sam_config.json").write_text(json.dumps({"model": SIZES}))
        config = SegmentAnythingConfig(
            engine="segment_anything", model="./.", **{**EVERYTHING, **settings}
        )
        return SamSegmenter(checked(), config, "cpu", precision)  # type: ignore[arg-type]

    return write


@pytest.fixture
def image() -> RgbImage:
    pixels = np.random.default_rng(0).integers(0, 60, (48, 64, 3), np.uint8)
    pixels[10:30, 12:40] = (230, 40, 20)
    return pixels


def test_masks_are_those_of_the_library(build: Any, tmp_path: Path, image: RgbImage) -> None:
    from segment_anything import SamAutomaticMaskGenerator

    engine = build(mode="stock")
    plain = SamAutomaticMaskGenerator(engine._generator.library.predictor.model, **EVERYTHING)
    expected = {
        (rle.encode(np.asfortranarray(r["segmentation"])), r["predicted_iou"])
        for r in plain.generate(image)
        if r["segmentation"].any()
    }
    regions = engine.segment([image])[0]
    assert len(regions) > 1, "the random model finds too little to show anything"
    assert {(region.mask, region.predicted_iou) for region in regions} == expected


def test_every_setting_reaches_the_generator(build: Any) -> None:
    settings = {
        "pred_iou_thresh": 0.11,
        "stability_score_thresh": 0.12,
        "stability_score_offset": 0.13,
        "box_nms_thresh": 0.14,
        "crop_n_layers": 1,
        "crop_nms_thresh": 0.15,
        "crop_overlap_ratio": 0.16,
        "crop_n_points_downscale_factor": 2,
        "min_mask_region_area": 17,
        "points_per_batch": 18,
        "points_per_side": 6,
    }
    assert settings.keys() == SegmentAnythingConfig.model_fields.keys() - {
        "engine",
        "model",
        "mode",
    }
    generator = build(mode="stock", **settings)._generator.library
    assert [len(grid) for grid in generator.point_grids] == [36, 9]
    shown = {key: getattr(generator, key) for key in settings if key not in _GRIDS}
    assert shown == {key: value for key, value in settings.items() if key not in _GRIDS}


_GRIDS = {"points_per_side", "crop_n_points_downscale_factor"}


def test_small_regions_can_be_removed(build: Any, image: RgbImage) -> None:
    plain, cleaned = (build(min_mask_region_area=n).segment([image])[0] for n in (0, 10**6))
    assert cleaned
    assert [r.mask for r in cleaned] != [r.mask for r in plain]


def test_nan_is_an_error_and_not_an_empty_answer(build: Any, image: RgbImage) -> None:
    def spoil(state: dict[str, Any]) -> None:
        state["mask_decoder.iou_prediction_head.layers.2.bias"].fill_(float("nan"))

    with pytest.raises(ImageRejectedError) as caught:
        build(spoil=spoil).segment([image])
    assert caught.value.reason is Reason.NAN_OUTPUT


def test_scores_above_one_are_clipped(build: Any, image: RgbImage) -> None:
    def spoil(state: dict[str, Any]) -> None:
        state["mask_decoder.iou_prediction_head.layers.2.bias"].fill_(1.5)

    scores = [region.predicted_iou for region in build(spoil=spoil).segment([image])[0]]
    assert scores
    assert set(scores) == {1.0}


def test_equal_scores_have_one_order(build: Any, image: RgbImage) -> None:
    from pipeline.engines.segment_anything import _best_first

    regions = build().segment([image])[0]
    assert tuple(sorted(set(regions), key=_best_first)) == regions
    assert len({_best_first(region) for region in regions}) == len(regions)


def test_empty_masks_are_dropped() -> None:
    from pipeline.engines.segment_anything import _found, _region

    record = {
        "segmentation": {"size": [4, 5], "counts": [20]},
        "predicted_iou": 0.9,
        "stability_score": 0.9,
        "point_coords": [[1.0, 2.0]],
    }
    assert _region(_found(record)) is None
    record["segmentation"] = {"size": [4, 5], "counts": [19, 1]}
    region = _region(_found(record))
    assert region is not None
    assert (region.area, region.box.x, region.box.y) == (1, 4, 3)


def test_large_images_are_decoded_few_prompts_at_a_time(
    build: Any, image: RgbImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build(mode="stock", points_per_batch=64)
    used: list[int] = []

    def generate(images: list[RgbImage], points_per_batch: int) -> list[list[Any]]:
        used.append(points_per_batch)
        return [[] for _ in images]

    monkeypatch.setattr(engine, "_generate", generate)
    engine.segment([image, np.zeros((1080, 1920, 3), np.uint8)])
    engine.segment([np.zeros((9000, 9000, 3), np.uint8), image])
    assert used == [64, 43, 1, 64]


def test_prompts_that_do_not_fit_are_halved_from_then_on(
    build: Any, image: RgbImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build()
    generate = engine._generate
    tried: list[int] = []

    def small_device(images: list[RgbImage], points_per_batch: int) -> Any:
        tried.append(points_per_batch)
        if points_per_batch > room:
            raise RuntimeError("CUDA out of memory.")
        return generate(images, points_per_batch)

    room = 4
    monkeypatch.setattr(engine, "_generate", small_device)
    engine.segment([image, image])
    assert tried == [16, 8, 4, 4]
    room = 0
    with pytest.raises(OutOfMemoryError):
        engine.segment([image])


def test_images_that_do_not_fit_together_are_halved_before_their_prompts(
    build: Any, image: RgbImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = build()
    engine._generator.images_at_once = 4
    generate = engine._generate
    tried: list[tuple[int, int]] = []

    def small_device(images: list[RgbImage], points_per_batch: int) -> Any:
        tried.append((len(images), points_per_batch))
        if len(images) * points_per_batch > room:
            raise RuntimeError("CUDA out of memory.")
        return generate(images, points_per_batch)

    room = 32
    monkeypatch.setattr(engine, "_generate", small_device)
    assert len(engine.segment([image] * 5)) == 5
    assert tried == [(4, 16), (2, 16), (2, 16), (1, 16)]
    assert engine.images_at_once == 2
    room, tried[:] = 8, []
    assert len(engine.segment([image] * 2)) == 2
    assert tried == [(2, 16), (1, 16), (1, 8), (1, 8)]
    assert engine.images_at_once == 1


def test_one_image_is_asked_for_at_a_time_on_a_cpu(build: Any) -> None:
    assert [build(mode=mode).images_at_once for mode in ("exact", "stock")] == [1, 1]


def test_nan_for_one_image_ends_that_image_alone(
    build: Any, image: RgbImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.infer.questions import Asked, ask
    from pipeline.records import Failure, StageName

    engine = build()
    engine._generator.images_at_once = 4
    expected = engine.segment([image])[0]
    encode = engine._generator._finder._encoder.encode

    def spoilt(images: Any) -> Any:
        features = encode(images)
        for number, pixels in enumerate(images):
            if pixels.max() < 9:
                features[number] = float("nan")
        return features

    monkeypatch.setattr(engine._generator._finder._encoder, "encode", spoilt)
    pixels = [image, np.zeros((48, 64, 3), np.uint8), image]
    asked = [Asked(str(n), str(n), one) for n, one in enumerate(pixels)]
    answers = ask(StageName.SEGMENT, SimpleNamespace(segmenter=engine), asked)  # type: ignore[arg-type]
    assert isinstance(answers[1], Failure)
    assert answers[1].reason is Reason.NAN_OUTPUT
    others = [answer for answer in answers if not isinstance(answer, Failure)]
    assert [[region.mask for region in one] for one in others] == 2 * [[r.mask for r in expected]]


def test_bf16_encodes_roughly_and_decodes_exactly(build: Any, image: RgbImage) -> None:
    exact, rough = (
        build(mode="stock", precision=precision).segment([image])[0]
        for precision in ("fp32", "bf16")
    )
    assert rough
    assert exact != rough
    assert rough[0].predicted_iou == pytest.approx(exact[0].predicted_iou, abs=0.05)


def test_a_checkpoint_of_unknown_architecture_is_explained(
    build: Any, tmp_path: Path, checked: Callable[[], ModelFiles]
) -> None:
    from pipeline.engines.segment_anything import SamSegmenter

    build()
    (tmp_path / "sam_config.json").unlink()
    config = SegmentAnythingConfig(engine="segment_anything", model="./.")
    with pytest.raises(WeightsError, match="vit_b, vit_l, vit_h"):
        SamSegmenter(checked(), config, "cpu", "fp32")
    (tmp_path / "other.pth").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"expected one checkpoint.*other\.pth"):
        SamSegmenter(checked(), config, "cpu", "fp32")


def test_code_in_a_published_checkpoint_is_not_run(
    tmp_path: Path, checked: Callable[[], ModelFiles], trap: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from pipeline.engines import segment_anything as module
    from pipeline.engines.tiny import build_tiny_sam

    # The published sizes take seconds to build; which ones is not what is tested here.
    monkeypatch.setattr(
        module, "sam_model_registry", {"vit_b": lambda checkpoint: build_tiny_sam(SIZES)}
    )
    path = tmp_path / "sam_vit_b.pth"
    config = SegmentAnythingConfig(engine="segment_anything", model="./.", **EVERYTHING)
    torch.save({"weight": trap}, path)
    with pytest.raises(WeightsError, match="files that hold code are refused"):
        module.SamSegmenter(checked(), config, "cpu", "fp32")
    assert not trap.mark.exists()
    torch.save(build_tiny_sam(SIZES).state_dict(), path)
    assert module.SamSegmenter(checked(), config, "cpu", "fp32").info.device == "cpu"
