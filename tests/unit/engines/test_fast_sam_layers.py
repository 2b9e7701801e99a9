"""Each part of the fast path against the library's, with random weights and odd sizes."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from pipeline import rle

pytestmark = pytest.mark.models

SIZES: dict[str, Any] = {
    "image_size": 80,
    "patch_size": 16,
    "width": 24,
    "depth": 2,
    "heads": 3,
    "window": 3,  # does not divide the grid of 5 x 5: windows are padded
    "global_attention": [1],
    "prompt_width": 16,
    "decoder_mlp": 16,
    "decoder_heads": 2,
    "iou_hidden": 16,
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}


@pytest.fixture
def workers() -> Any:
    from pipeline.engines.fast_sam.workers import Workers

    return Workers()


@pytest.fixture(params=["cache-sized pieces", "all at once, as on a GPU"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.engines.fast_sam import attention, encoder, upscaling

    small = request.param.startswith("cache")
    monkeypatch.setattr(attention, "_CACHE_BYTES", 1 if small else 2**40)
    monkeypatch.setattr(encoder, "_CACHE_BYTES", 1 if small else 2**40)
    monkeypatch.setattr(encoder, "_BAND_BYTES", 1 if small else 2**40)
    monkeypatch.setattr(upscaling, "_TOKENS_AT_ONCE", {"cpu": 2} if small else {})
    if not small:
        monkeypatch.setattr(
            encoder, "_head_by_head", lambda _workers, *qkv: encoder._in_bands(*qkv)
        )


@pytest.fixture
def model() -> Any:
    import torch

    from pipeline.engines.tiny import build_tiny_sam

    torch.manual_seed(3)
    return _lively(build_tiny_sam(SIZES))


PUBLISHED: dict[str, Any] = {"vit_b": (12, 12), "vit_l": (24, 16), "vit_h": (32, 16)}
"""Layers and heads; every fourth part of the layers ends with one that sees the whole image."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_architecture_is_answered_alike(name: str) -> None:
    """Layers, heads and global attention as published; narrow, on a frame of 9 x 9 tokens."""
    import torch
    from segment_anything import sam_model_registry

    from pipeline.config import SegmentAnythingConfig
    from pipeline.engines.fast_sam import MaskGenerator
    from pipeline.engines.segment_anything import StockGenerator
    from pipeline.engines.tiny import build_tiny_sam

    depth, heads = PUBLISHED[name]
    ends = list(range(depth // 4 - 1, depth, depth // 4))
    published = inspect.getsource(sam_model_registry[name])
    for text in (f"encoder_depth={depth}", f"encoder_num_heads={heads}", str(ends)):
        assert text in published, f"not what the library builds: {text}"
    sizes = SIZES | {
        "image_size": 144,
        "width": 4 * heads,
        "depth": depth,
        "heads": heads,
        "window": 4,
        "global_attention": ends,
        "decoder_heads": 8,
        "prompt_width": 32,
    }
    config = SegmentAnythingConfig(
        engine="segment_anything",
        model="./.",
        points_per_side=3,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
    )
    found = []
    image = np.random.default_rng(3).integers(0, 256, (70, 101, 3), np.uint8)
    for ours in (True, False):
        torch.manual_seed(5)
        model = _lively(build_tiny_sam(sizes))
        make = (
            MaskGenerator(model, config, torch.float32) if ours else StockGenerator(model, config)
        )
        with torch.inference_mode():
            masks = make.generate(image, 7)
        assert len(masks) > 20
        found.append([mask for mask in masks if rle.area(mask.mask)])
    exact, stock = found
    assert len(exact) == len(stock) > 2
    # Logits of random weights are near the threshold everywhere: a pixel of 7070 may flip.
    ious = rle.iou_matrix([one.mask for one in (*exact, *stock)])
    assert ious[: len(exact), len(exact) :].max(0).min() > 0.999
    assert sorted(one.point for one in exact) == sorted(one.point for one in stock)
    equal = {one.mask for one in exact} & {one.mask for one in stock}
    assert len(equal) >= 0.9 * len({one.mask for one in stock})


def _lively(sam: Any) -> Any:
    """Make positions and biases count, as they do in a trained model."""
    sam = sam.eval().requires_grad_(requires_grad=False)
    for name, weight in sam.named_parameters():
        if "rel_pos" in name or "pos_embed" in name or name.endswith("bias"):
            weight.normal_(0, 0.3)
    return sam


@pytest.mark.usefixtures("pieces")
def test_the_encoder_encodes_alike(model: Any, workers: Any) -> None:
    import torch

    from pipeline.engines.fast_sam.encoder import ImageEncoder

    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    image = torch.as_tensor(pixels).permute(2, 0, 1)[None]
    expected = model.image_encoder(model.preprocess(image))
    encoder = ImageEncoder(model, torch.float32, workers)
    features = encoder.encode([pixels])
    assert features.shape == expected.shape
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=2e-5)
    flat = np.zeros((80, 7, 3), np.uint8)
    several = encoder.encode([flat, pixels, flat])
    torch.testing.assert_close(several[1:2], expected, rtol=1e-4, atol=2e-5)
    torch.testing.assert_close(several[0], several[2])


@pytest.mark.usefixtures("pieces")
def test_the_decoder_decodes_alike(model: Any) -> None:
    import torch

    from pipeline.engines.fast_sam.decoder import PromptDecoder

    features, points = torch.randn(1, 16, 5, 5), torch.rand(6, 2) * 80
    masks, scores = _library(model, features, points)
    decoder = PromptDecoder(model, torch.float32)
    prompted = decoder.attend(decoder.share(features), points)
    torch.testing.assert_close(decoder.scores(prompted), scores, rtol=1e-4, atol=1e-5)
    kept = scores > scores.median()
    assert 0 < int(kept.sum()) < kept.numel()
    drawn = decoder.logits(prompted, kept)
    torch.testing.assert_close(drawn, masks[kept], rtol=1e-4, atol=1e-5)
    assert decoder.logits(prompted, torch.zeros_like(kept)).shape == (0, 20, 20)


@pytest.mark.usefixtures("pieces")
def test_prompts_of_several_images_are_decoded_alike(model: Any) -> None:
    import torch

    from pipeline.engines.fast_sam.decoder import PromptDecoder

    features, points = torch.randn(4, 16, 5, 5), torch.rand(7, 2) * 80
    counts = [3, 1, 3]
    decoder = PromptDecoder(model, torch.float32)
    # The first of the images has no prompts in this batch.
    prompted = decoder.attend(decoder.share(features).asked(1, counts), points)
    expected = [
        _library(model, one[None], own)
        for one, own in zip(features[1:], points.split(counts), strict=True)
    ]
    scores = torch.cat([scores for _, scores in expected])
    torch.testing.assert_close(decoder.scores(prompted), scores, rtol=1e-4, atol=1e-5)
    kept = scores > scores.median()
    masks = torch.cat([masks for masks, _ in expected])[kept]
    torch.testing.assert_close(decoder.logits(prompted, kept), masks, rtol=1e-4, atol=1e-5)


def _library(model: Any, features: Any, points: Any) -> Any:
    import torch

    labels = torch.ones((len(points), 1), dtype=torch.int)
    sparse, dense = model.prompt_encoder(points=(points[:, None], labels), boxes=None, masks=None)
    return model.mask_decoder(
        image_embeddings=features,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )
