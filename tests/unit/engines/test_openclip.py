"""open_clip through our hands, with a random model of a few thousand weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import OutOfMemoryError, WeightsError
from pipeline.records import RgbImage
from pipeline.weights import ModelFiles

pytestmark = pytest.mark.models

MODEL: dict[str, Any] = {
    "embed_dim": 16,
    "init_logit_bias": -4.0,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture
def build(tmp_path: Path, checked: Callable[[], ModelFiles]) -> Callable[..., Any]:
    """Write a random model, loaded with the given settings."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    def write(
        resize_mode: str = "shortest",
        batch_size: int = 4,
        precision: str = "fp32",
        spoil: Callable[[dict[str, Any]], None] = lambda _state: None,
    ) -> Any:
        from pipeline.engines.openclip import OpenClipEmbedder

        torch.manual_seed(0)
        state = open_clip.CLIP(**MODEL).state_dict()
        spoil(state)
        save_file(state, tmp_path / "open_clip_model.safetensors")
        config = {"model_cfg": MODEL, "preprocess_cfg": {"resize_mode": resize_mode}}
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        return OpenClipEmbedder(checked(), batch_size, "cpu", precision)  # type: ignore[arg-type]

    return write


def _noise(height: int = 40, width: int = 50, seed: int = 0) -> RgbImage:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_images_scaled_ahead_of_a_gpu_give_the_same_bytes(build: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    images = [_noise(40 + n, 50, seed=n) for n in range(7)]
    engine = build()
    here = engine.embed_images(images)
    with ThreadPoolExecutor(3) as engine._scaling:
        np.testing.assert_array_equal(engine.embed_images(images), here)


@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
def test_vectors_are_those_of_the_library(build: Any, tmp_path: Path, resize_mode: str) -> None:
    import open_clip
    import torch
    from PIL import Image

    images = [_noise(seed=n, height=20 + 13 * n) for n in range(4)]
    vectors = build(resize_mode).embed_images(images)
    model, _, transform = open_clip.create_model_and_transforms(
        f"local-dir:{tmp_path}", require_pretrained=True
    )
    pixels = torch.stack([transform(Image.fromarray(image)) for image in images])
    with torch.inference_mode():
        expected = model.eval().encode_image(pixels, normalize=True).numpy()
    np.testing.assert_array_equal(vectors, expected)


def test_prompts_are_those_of_the_library(build: Any, tmp_path: Path) -> None:
    import open_clip
    import torch

    prompts = [f"a photo of a {n}" for n in range(16)]
    vectors = build().embed_texts(prompts)
    model = open_clip.create_model(f"local-dir:{tmp_path}", require_pretrained=True).eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{tmp_path}")(prompts)
    with torch.inference_mode():
        expected = model.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_array_equal(vectors, expected)


def test_scale_and_bias_are_the_models(build: Any) -> None:
    engine = build()
    assert engine.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    assert engine.logit_bias == -4.0
    assert engine.dimensions == 16


def test_a_folder_without_weights_is_never_a_random_model(
    build: Any, tmp_path: Path, checked: Callable[[], ModelFiles]
) -> None:
    from pipeline.engines.openclip import OpenClipEmbedder

    build()
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(WeightsError, match="open_clip cannot load"):
        OpenClipEmbedder(checked(), 4, "cpu", "fp32")


@pytest.mark.parametrize("name", ["logit_scale", "visual.proj"])
def test_weights_that_miss_a_tensor_are_explained(build: Any, name: str) -> None:
    with pytest.raises(WeightsError, match=name):
        build(spoil=lambda state: state.pop(name))


def test_code_in_a_folders_weights_is_not_run(
    build: Any, tmp_path: Path, checked: Callable[[], ModelFiles], trap: Any
) -> None:
    import torch

    from pipeline.engines.openclip import OpenClipEmbedder

    build()
    (tmp_path / "open_clip_model.safetensors").unlink()
    torch.save({"visual.proj": trap}, tmp_path / "open_clip_pytorch_model.bin")
    with pytest.raises(WeightsError, match="open_clip cannot load") as caught:
        OpenClipEmbedder(checked(), 4, "cpu", "fp32")
    assert "weights_only" not in str(caught.value), "advises to run the code"
    assert not trap.mark.exists()


def test_nan_comes_through(build: Any) -> None:
    def spoil(state: dict[str, Any]) -> None:
        state["visual.proj"].fill_(float("nan"))

    assert np.isnan(build(spoil=spoil).embed_images([_noise()])).all()


def test_every_pass_has_the_full_shape(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = build(batch_size=4)
    shapes: list[int] = []
    encode = engine._model.encode_image

    def spy(pixels: Any) -> Any:
        shapes.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(engine._model, "encode_image", spy)
    engine.embed_images([_noise(seed=n) for n in range(6)])
    assert shapes == [4, 4]


def test_a_batch_that_does_not_fit_is_halved_from_then_on(
    build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [_noise(seed=n) for n in range(6)]
    engine = build(batch_size=2)
    expected = engine.embed_images(images)
    engine = build(batch_size=8)
    tried: list[int] = []
    encode = engine._model.encode_image

    def small_device(pixels: Any) -> Any:
        tried.append(len(pixels))
        if len(pixels) > 2:
            raise RuntimeError("CUDA out of memory.")
        return encode(pixels)

    monkeypatch.setattr(engine._model, "encode_image", small_device)
    np.testing.assert_array_equal(engine.embed_images(images), expected)
    assert tried == [8, 4, 2, 2, 2]
    engine.embed_images(images)
    assert tried[5:] == [2, 2, 2]


def test_a_device_without_any_room_is_an_error(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_device(_pixels: Any) -> Any:
        raise RuntimeError("CUDA out of memory.")

    engine = build()
    monkeypatch.setattr(engine._model, "encode_image", no_device)
    with pytest.raises(OutOfMemoryError):
        engine.embed_images([_noise()])


def test_bf16_is_close_and_normalised(build: Any) -> None:
    images = [_noise(seed=n) for n in range(3)]
    exact, rough = build().embed_images(images), build(precision="bf16").embed_images(images)
    assert rough.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rough, axis=1), 1, atol=1e-5)
    assert not np.array_equal(exact, rough)
    assert (exact * rough).sum(axis=1).min() > 0.999


def test_long_images_are_cut_around_their_middle() -> None:
    from pipeline.engines.openclip import middle

    image = np.arange(2 * 500 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 500, 3)
    np.testing.assert_array_equal(middle(image), image[:, 234:266])
    np.testing.assert_array_equal(middle(image.swapaxes(0, 1)), image.swapaxes(0, 1)[234:266])
    square = _noise(9, 9 * 16)
    np.testing.assert_array_equal(middle(square), square)


def test_the_folders_own_tokenizer_is_used_wherever_we_run(
    build: Any,
    tmp_path: Path,
    checked: Callable[[], ModelFiles],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import gzip

    from pipeline.engines.openclip import OpenClipEmbedder

    build()
    merges = "#version\nc a\nca t</w>\n"
    (tmp_path / "bpe_small.txt.gz").write_bytes(gzip.compress(merges.encode()))
    monkeypatch.chdir("/")
    engine = OpenClipEmbedder(checked(), 4, "cpu", "fp32")
    assert engine._tokenize.vocab_size < 600
    assert (engine._tokenize("cat")[0] > 0).sum() == 3
