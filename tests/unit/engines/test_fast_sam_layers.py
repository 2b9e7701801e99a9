"""Each part of the fast path against the library's, with random weights and odd sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

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


@pytest.fixture(params=["cache-sized pieces", "all at once, as on a GPU"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.engines.fast_sam import attention, encoder, upscaling

    small = request.param.startswith("cache")
    monkeypatch.setattr(attention, "_CACHE_BYTES", 1 if small else 2**40)
    monkeypatch.setattr(encoder, "_CACHE_BYTES", 1 if small else 2**40)
    monkeypatch.setattr(encoder, "_BAND_BYTES", 1 if small else 2**40)
    monkeypatch.setattr(upscaling, "_TOKENS_AT_ONCE", {"cpu": 2} if small else {})
    if not small:
        monkeypatch.setattr(encoder, "_head_by_head", encoder._in_bands)


@pytest.fixture
def model() -> Any:
    import torch

    from pipeline.engines.tiny import build_tiny_sam

    torch.manual_seed(3)
    sam = build_tiny_sam(SIZES).eval().requires_grad_(requires_grad=False)
    for name, weight in sam.named_parameters():
        if "rel_pos" in name or "pos_embed" in name or name.endswith("bias"):
            weight.normal_(0, 0.3)
    return sam


@pytest.mark.usefixtures("pieces")
def test_the_encoder_encodes_alike(model: Any) -> None:
    import torch

    from pipeline.engines.fast_sam.encoder import ImageEncoder

    pixels = np.random.default_rng(0).integers(0, 256, (64, 80, 3), np.uint8)
    image = torch.as_tensor(pixels).permute(2, 0, 1)[None]
    expected = model.image_encoder(model.preprocess(image))
    features = ImageEncoder(model, torch.float32).encode(pixels)
    assert features.shape == expected.shape
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=2e-5)


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
