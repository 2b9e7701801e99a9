"""Models to explain: the embedded toy CLIP, and random towers of every build."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import ModelsConfig
from pipeline.runfile import RunFile, load_run_file
from pipeline.weights import locate

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "data" / "samples"
TEXT = {"context_length": 8, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VIT = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
TIMM = {"timm_model_name": "test_vit", "timm_proj": "linear", "image_size": 160}


@pytest.fixture(scope="session")
def demo() -> RunFile:
    return load_run_file(ROOT / "configs" / "demo.yaml")


@pytest.fixture(scope="session")
def toy(demo: RunFile) -> Any:
    """The embedder of the demo."""
    from pipeline.engines.registry import load_embedder

    assert demo.config.stages.embed is not None
    return load_embedder(demo.config.stages.embed, demo.config, demo.base)


@pytest.fixture
def random_clip(tmp_path: Path) -> Callable[..., Any]:
    """Build an embedder with a random tower."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    from pipeline.engines.lean import complete_open_clip
    from pipeline.engines.openclip import OpenClipEmbedder

    # Whoever loaded open_clip before may have left timm out.
    complete_open_clip()

    def build(vision: dict[str, Any], resize_mode: str = "squash") -> Any:
        torch.manual_seed(0)
        model = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": TEXT}
        save_file(open_clip.CLIP(**model).state_dict(), tmp_path / "open_clip_model.safetensors")
        config = {"model_cfg": model, "preprocess_cfg": {"resize_mode": resize_mode}}
        (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
        return OpenClipEmbedder(locate("./.", ModelsConfig(), tmp_path), 4, "cpu", "fp32")

    return build
