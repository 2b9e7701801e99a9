"""Models of open_clip's own list: fetched once, trusted once, then as checked as all others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ModelsConfig
from pipeline.errors import WeightsError
from pipeline.weights import locate

pytestmark = pytest.mark.models

MODEL: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
NAME = "ViT-B-32/openai"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelsConfig:
    """A hub that has a model of a few thousand weights under a known name."""
    import open_clip
    from safetensors.torch import save_file

    def download(tag: dict[str, Any], cache_dir: str) -> str:
        assert tag["hf_hub"] == "timm/vit_base_patch32_clip_224.openai/"
        Path(cache_dir).mkdir()
        path = Path(cache_dir) / "anything.safetensors"
        save_file(open_clip.CLIP(**MODEL, quick_gelu=True).state_dict(), path)
        return str(path)

    monkeypatch.setattr(open_clip, "download_pretrained", download)
    monkeypatch.setattr(open_clip, "get_model_config", lambda _name: json.loads(json.dumps(MODEL)))
    return ModelsConfig(directory=tmp_path / "models")


def _pull(name: str, config: ModelsConfig) -> Any:
    from pipeline.engines.registry import pull_model

    told: list[tuple[str, int, int | None]] = []
    files = pull_model(name, config, lambda *step: told.append(step))
    assert [step[0] for step in told] == ["open_clip_model.safetensors"]
    return files


def test_a_pulled_model_needs_no_network_and_no_tag(config: ModelsConfig) -> None:
    from pipeline.engines.openclip import OpenClipEmbedder

    files = _pull(NAME, config)
    assert locate(NAME, config, Path()) == files
    assert files.kind == "open_clip"
    assert OpenClipEmbedder(files, 2, "cpu", "fp32").embed_texts(["x"]).shape == (1, 16)
    assert [path.name for path in files.folder.parent.iterdir()] == ["openai"]


def test_the_tags_activation_and_preprocessing_are_kept(config: ModelsConfig) -> None:
    written = json.loads((_pull(NAME, config).folder / "open_clip_config.json").read_text())
    assert written["model_cfg"]["quick_gelu"] is True
    assert written["preprocess_cfg"]["resize_mode"] == "shortest"
    assert written["preprocess_cfg"]["mean"][0] == pytest.approx(0.48145466)


def test_what_was_pulled_is_pinned(config: ModelsConfig) -> None:
    weights = _pull(NAME, config).folder / "open_clip_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match="expected sha256"):
        locate(NAME, config, Path())


@pytest.mark.parametrize(
    ("name", "hint"), [("ViT-B-32/no-such-tag", "laion2b_s34b_b79k"), ("no-such-arch", "ARCH/")]
)
def test_unknown_tags_are_explained(config: ModelsConfig, name: str, hint: str) -> None:
    from pipeline.engines.registry import pull_model

    with pytest.raises(WeightsError, match=hint):
        pull_model(name, config, print)


def test_no_network_leaves_nothing_behind(
    config: ModelsConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip

    from pipeline.engines.registry import pull_model

    def unplugged(*args: object, **options: object) -> str:
        raise RuntimeError("Name or service not known")

    monkeypatch.setattr(open_clip, "download_pretrained", unplugged)
    with pytest.raises(WeightsError, match=r"Name or service not known(.|\n)*then copy"):
        pull_model(NAME, config, print)
    assert list((tmp_path / "models" / "ViT-B-32").iterdir()) == []
