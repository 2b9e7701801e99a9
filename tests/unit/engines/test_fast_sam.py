"""Our mask generator against the library's: same weights, same settings, same masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import rle
from pipeline.config import ModelsConfig, SegmentAnythingConfig
from pipeline.synthetic import make_scene
from pipeline.weights import locate

pytestmark = pytest.mark.models

TINY = "tiny-synthetic-sam"


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Load the trained tiny model."""
    from pipeline.engines.segment_anything import SamSegmenter

    files = locate(TINY, ModelsConfig(), tmp_path_factory.mktemp("base"))

    def engine(mode: Any, **options: Any) -> Any:
        config = SegmentAnythingConfig(
            engine="segment_anything", model=TINY, mode=mode, **{**files.defaults, **options}
        )
        return SamSegmenter(files, config, "cpu", "bf16" if mode == "fast" else "fp32")

    return engine


@pytest.fixture(scope="session")
def segment(load: Callable[..., Any]) -> Callable[..., Any]:
    """Segment an image with the trained tiny model."""
    return lambda image, mode, **options: load(mode, **options).segment([image])[0]


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set torch's threads, and put them back.

    Yields:
        ``torch.set_num_threads``.
    """
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_exact_masks_are_those_of_the_library(load: Any, threads: Callable[[int], None]) -> None:
    """The equality that a release rests on, on few scenes; the benchmark looks at 200."""
    threads(1)  # the library's small products wait for each other's threads
    exact, stock = load("exact"), load("stock")
    masks = 0
    for seed in range(5101, 5113):
        image = make_scene(seed).image
        ours, expected = exact.segment([image])[0], stock.segment([image])[0]
        assert _masks(ours) == _masks(expected), f"scene {seed}"
        assert _scores(ours) == pytest.approx(_scores(expected), abs=1e-5), f"scene {seed}"
        masks += len(ours)
    assert masks > 24


def test_masks_do_not_depend_on_the_number_of_threads(
    load: Any, threads: Callable[[int], None]
) -> None:
    images = [make_scene(seed).image for seed in (5101, 5107)]
    answers = []
    for count in (1, 2, 3):
        threads(count)
        engine = load("exact", points_per_batch=24)  # 11 batches: never shared out evenly
        answers.append([engine.segment([image])[0] for image in images])
    assert answers[0] == answers[1] == answers[2]
    assert all(answers[0])


@pytest.mark.parametrize(
    "options", [{}, {"crop_n_layers": 1, "points_per_side": 6}], ids=["whole", "crops"]
)
def test_images_that_share_batches_have_the_masks_they_have_alone(
    load: Any, options: dict[str, Any], threads: Callable[[int], None]
) -> None:
    threads(2)
    images = [make_scene(seed).image for seed in (5101, 5102, 5103)]
    images = [images[0], images[1][:90], images[2][:, :70]]
    # 50 does not divide the prompts of an image: batches hold the end of one and the start of
    # another.
    engine = load("exact", points_per_batch=50, **options)
    alone = [_masks(engine.segment([image])[0]) for image in images]
    engine._generator.images_at_once = 3
    assert [_masks(regions) for regions in engine.segment(images)] == alone
    assert all(alone)


@pytest.mark.parametrize(
    "options",
    [
        {"crop_n_layers": 1, "points_per_side": 8, "crop_n_points_downscale_factor": 2},
        {"min_mask_region_area": 0, "box_nms_thresh": 0.9},
        {"min_mask_region_area": 400, "pred_iou_thresh": 0.2},
        {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "points_per_side": 6},
        {"pred_iou_thresh": 0.99},
        {
            "crop_n_layers": 2,
            "points_per_side": 3,
            "min_mask_region_area": 60,
            "pred_iou_thresh": 0.1,
            "stability_score_thresh": 0.5,
        },
        {"points_per_batch": 1, "points_per_side": 3},
    ],
    ids="-".join,
)
def test_every_filter_is_that_of_the_library(segment: Any, options: dict[str, Any]) -> None:
    scene = make_scene(5104).image[:200]
    exact, stock = (segment(scene, mode, **options) for mode in ("exact", "stock"))
    assert _masks(exact) == _masks(stock)


@pytest.mark.parametrize("size", [(1, 90), (90, 1), (30, 200), (256, 9)])
def test_images_of_every_shape_have_the_masks_of_the_library(
    segment: Any, size: tuple[int, int]
) -> None:
    image = make_scene(5104).image[: size[0], : size[1]]
    options = {"points_per_side": 4, "pred_iou_thresh": 0.1, "stability_score_thresh": 0.3}
    exact, stock = (segment(image, mode, **options) for mode in ("exact", "stock"))
    assert _masks(exact) == _masks(stock)


def test_batches_of_prompts_change_nothing_but_rounding(segment: Any) -> None:
    image = make_scene(5105).image
    many, few = segment(image, "exact"), segment(image, "exact", points_per_batch=5)
    assert _masks(many) == _masks(few)


def test_an_answer_does_not_depend_on_the_images_before_it(segment: Any) -> None:
    image = make_scene(5106).image
    assert segment(image, "exact") == segment(image, "exact")


@pytest.mark.parametrize("mode", ["stock", "exact"])
def test_crops_without_any_mask_are_no_error(segment: Any, mode: str) -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    nothing = {"crop_n_layers": 1, "points_per_side": 2, "pred_iou_thresh": 1.0}
    assert segment(image, mode, **nothing) == ()


@pytest.mark.parametrize("has_bf16", [True, False])
def test_bf16_is_multiplied_on_every_processor(
    has_bf16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from pipeline.engines.fast_sam import products

    if has_bf16 and not products.cpu_has_bf16():
        pytest.skip("this processor has no bf16")
    monkeypatch.setattr(products, "_takes", lambda dtype: has_bf16 or dtype != torch.bfloat16)
    x, weight = torch.ones(3, 8, dtype=torch.bfloat16), torch.ones(5, 8, dtype=torch.bfloat16)
    torch.testing.assert_close(products.linear(x, weight), torch.full((3, 5), 8.0).bfloat16())


def test_fast_says_so_where_it_is_not(
    load: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.engines import segment_anything

    for has_bf16, said in ((True, 0), (False, 1)):
        caplog.clear()
        monkeypatch.setattr(segment_anything, "cpu_has_bf16", lambda has=has_bf16: has)
        load("fast")
        assert sum("`mode: exact` is faster here" in line for line in caplog.messages) == said


def test_bf16_finds_nearly_the_same(segment: Any) -> None:
    image = make_scene(5101).image
    fast, exact = segment(image, "fast"), segment(image, "exact")
    assert len(fast) == pytest.approx(len(exact), abs=1)
    ious = rle.iou_matrix([region.mask for region in (*exact, *fast)])
    assert ious[: len(exact), len(exact) :].max(1).mean() > 0.95


@settings(deadline=None, max_examples=60)
@given(
    side=st.sampled_from([4, 16, 33]),
    model=st.sampled_from([16, 64, 100]),
    height=st.integers(1, 130),
    width=st.integers(1, 130),
    seed=st.integers(0, 10_000),
)
def test_scaling_has_the_bits_of_torch(
    side: int, model: int, height: int, width: int, seed: int
) -> None:
    import torch
    from segment_anything.utils.amg import batched_mask_to_box, calculate_stability_score

    from pipeline.engines.fast_sam.interpolation import Frame, Interpolator

    scale = model / max(height, width)
    inside = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
    logits = _blobs(seed, side)
    grown = _scaled(torch.from_numpy(logits), model, inside, (height, width))
    interpolator = Interpolator(Frame(model, inside, (height, width)), side, 0.0, 1.0)
    measures = interpolator.measure(logits)
    expected = calculate_stability_score(grown, 0.0, 1.0).numpy()
    np.testing.assert_array_equal(measures.stability, expected)
    np.testing.assert_array_equal(measures.boxes, batched_mask_to_box(grown > 0).numpy())
    for mask, pixels in zip(logits, grown > 0, strict=True):
        np.testing.assert_array_equal(interpolator.draw(mask), pixels.numpy())


def _blobs(seed: int, side: int) -> Any:
    """Masks of all kinds: noise, smooth ones, one without a pixel, one of nothing else."""
    random = np.random.default_rng(seed)
    noise = random.normal(-1, 3, (3, side, side))
    ramp = np.add.outer(np.arange(side), np.arange(side)) - random.uniform(0, 2 * side)
    flat = np.stack([np.full((side, side), -9.0), np.full((side, side), 9.0)])
    return np.concatenate([noise, ramp[None], flat]).astype(np.float32)


def _scaled(logits: Any, model: int, inside: tuple[int, int], size: tuple[int, int]) -> Any:
    from torch.nn.functional import interpolate

    framed = interpolate(logits[:, None], (model, model), mode="bilinear", align_corners=False)
    framed = framed[..., : inside[0], : inside[1]]
    return interpolate(framed, size, mode="bilinear", align_corners=False)[:, 0]


def _masks(regions: Any) -> list[tuple[str, float, float]]:
    return sorted((r.mask.counts, r.point.x, r.point.y) for r in regions)


def _scores(regions: Any) -> list[float]:
    return sorted(r.predicted_iou for r in regions) + sorted(r.stability for r in regions)
