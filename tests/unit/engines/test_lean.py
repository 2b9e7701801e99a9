"""What is left out of imports is there for whoever asks for it. In processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.models

_LEAN = """
import sys
from pipeline.engines.lean import complete_open_clip, lean
with lean():
    import pipeline.engines.openclip
unwanted = {"transformers", "timm", "torch._dynamo"} & set(sys.modules)
assert not unwanted, unwanted
import open_clip, torch
"""


def run(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LEAN + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_compiler_answers_and_compiles_when_it_is_asked() -> None:
    run("""
from torchvision.ops import roi_align
asked = sys.modules["torchvision.ops.roi_align"].is_compile_supported
boxes = torch.tensor([[0, 0.0, 0.0, 4.0, 4.0]])
assert roi_align(torch.ones(1, 1, 8, 8), boxes, 2).tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]
assert "torch._dynamo" not in sys.modules
import torch._dynamo.utils
assert asked("cpu") == torch._dynamo.utils.is_compile_supported("cpu")
assert torch._dynamo.config.recompile_limit > 0
""")


def test_towers_of_other_libraries_are_built_once_they_are_asked_for() -> None:
    run("""
tower = {"embed_dim": 8, "text_cfg": {"context_length": 8, "vocab_size": 32, "width": 8,
         "heads": 2, "layers": 1},
         "vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "token", "image_size": 160}}
try:
    open_clip.CustomTextCLIP(**tower)
    raise SystemExit("built without timm")
except RuntimeError as error:
    assert "timm" in str(error)
complete_open_clip()
open_clip.CustomTextCLIP(**tower)
assert open_clip.hf_model.transformers.__name__ == "transformers"
""")


def test_more_of_the_compiler_than_the_one_question_is_the_real_thing() -> None:
    run("""
for name in [name for name in sys.modules if name.startswith("torchvision")]:
    del sys.modules[name]
with lean():
    from torch._dynamo.utils import counters
import torch._dynamo.utils
assert counters is torch._dynamo.utils.counters
""")
