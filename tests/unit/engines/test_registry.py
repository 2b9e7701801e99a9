"""Who would answer is known without loading anything, and depends on what can change an answer."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import (
    EasyOcrConfig,
    FakeEmbedConfig,
    FakeReadConfig,
    FakeSegmentConfig,
    ModelsConfig,
    OpenClipConfig,
    RapidOcrConfig,
    RunConfig,
    SegmentAnythingConfig,
    StagesConfig,
)
from pipeline.engines import devices, registry
from pipeline.engines.registry import EngineConfig, EngineIdentity, identify
from pipeline.errors import WeightsError
from pipeline.weights import entries
from pipeline.weights import lock as lock_module

HEAVY = ("torch", "open_clip", "segment_anything", "easyocr", "rapidocr", "onnxruntime", "cv2")


def _run(**settings: Any) -> RunConfig:
    return RunConfig(
        name="r",
        images=(Path("i"),),
        workspace=Path("w"),
        stages=StagesConfig(segment=FakeSegmentConfig(engine="fake")),
        **{"device": "cpu", **settings},
    )


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    # A lock file with a mask model that has defaults of its own; and a folder ``./own``.
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "model.safetensors").write_bytes(b"weights")
    model = {
        "name": "masks",
        "kind": "segment_anything",
        "place": "store",
        "files": [{"path": "m.bin", "size": 1, "sha256": hashlib.sha256(b"m").hexdigest()}],
        "licence": "MIT",
        "source": "nowhere",
        "defaults": {"points_per_side": 7, "pred_iou_thresh": 0.5},
    }
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "m.bin").write_bytes(b"m")
    monkeypatch.setenv("AUTOLABEL_MODELS_DIR", str(tmp_path))
    (tmp_path / "models.lock").write_text(json.dumps({"models": [model]}))
    monkeypatch.setattr(lock_module, "LOCK_PATH", tmp_path / "models.lock")
    entries.cache_clear()
    yield tmp_path
    entries.cache_clear()


def _identify(config: EngineConfig, base: Path = Path(), **settings: Any) -> EngineIdentity:
    return identify(config, _run(**settings), base)


def _sam(**settings: Any) -> SegmentAnythingConfig:
    return SegmentAnythingConfig(engine="segment_anything", **{"model": "masks", **settings})


FAKES: list[FakeEmbedConfig | FakeSegmentConfig | FakeReadConfig] = [
    FakeEmbedConfig(engine="fake"),
    FakeSegmentConfig(engine="fake"),
    FakeReadConfig(engine="fake"),
]


@pytest.mark.parametrize("config", FAKES)
def test_fakes_differ_from_one_another(config: Any) -> None:
    others = {_identify(other).weights for other in FAKES if other != config}
    assert _identify(config).weights not in others


def test_settings_that_change_answers_change_the_identity(models: Path) -> None:
    plain = _identify(_sam())
    assert _identify(_sam(pred_iou_thresh=0.7)) != plain
    assert _identify(_sam(mode="stock"), precision="bf16") != plain
    assert _identify(_sam(points_per_side=7)) == plain


def test_settings_about_speed_do_not(models: Path) -> None:
    assert _identify(_sam(points_per_batch=8)) == _identify(_sam())
    slow, fast = (OpenClipConfig(engine="open_clip", model="./own", batch_size=n) for n in (1, 64))
    assert _identify(slow, models) == _identify(fast, models)
    one, two = (RapidOcrConfig(engine="rapidocr", threads=n) for n in (1, 2))
    assert "threads" not in registry._identity(one, _toy_files(models), "fp32").settings
    assert one != two


def _toy_files(models: Path) -> Any:
    return registry._files("./own", "rapidocr", ModelsConfig(), models)


def test_other_weights_are_another_identity(models: Path) -> None:
    config = OpenClipConfig(engine="open_clip", model="./own")
    before = _identify(config, models)
    (models / "own" / "model.safetensors").write_bytes(b"Weights")
    assert _identify(config, models) != before


def test_the_models_own_defaults_stand_where_the_run_file_says_nothing(models: Path) -> None:
    settings = _identify(_sam(points_per_side=9)).settings
    assert settings["points_per_side"] == 9
    assert settings["pred_iou_thresh"] == 0.5
    assert (
        settings["box_nms_thresh"] == SegmentAnythingConfig.model_fields["box_nms_thresh"].default
    )


def test_wrong_defaults_in_the_lock_are_explained(models: Path) -> None:
    text = (models / "models.lock").read_text().replace("0.5", '"high"')
    (models / "models.lock").write_text(text)
    entries.cache_clear()
    with pytest.raises(WeightsError, match=r"defaults of masks are wrong(.|\n)*pred_iou_thresh"):
        _identify(_sam())


def test_a_model_for_another_engine_is_explained(models: Path) -> None:
    with pytest.raises(WeightsError, match="'masks' is for `engine: segment_anything`"):
        _identify(OpenClipConfig(engine="open_clip", model="masks"))


def test_masks_are_found_on_the_cpu_where_the_run_asks_for_mps(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_has_mps", lambda: True)
    run = _run(device="mps")
    placed = {
        mode: registry._sam_placed(_sam(mode=mode), run) for mode in ("exact", "fast", "stock")
    }
    assert placed == {"exact": ("cpu", "fp32"), "fast": ("cpu", "bf16"), "stock": ("cpu", "fp32")}
    assert registry._placed(run)[0] == "mps"


def test_readers_are_fp32_whatever_the_run_file_says(models: Path) -> None:
    config = EasyOcrConfig(engine="easyocr", model="./own")
    assert _identify(config, models, precision="bf16").precision == "fp32"


@pytest.mark.parametrize("config", [*FAKES, OpenClipConfig(engine="open_clip", model="./own")])
def test_an_identity_is_plain_json(models: Path, config: Any) -> None:
    identity = _identify(config, models)
    assert json.loads(json.dumps(asdict(identity))) == asdict(identity)


def test_offline_is_said_before_libraries_are_imported(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "0")
    registry._stay_offline(ModelsConfig(offline=False))
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    registry._stay_offline(ModelsConfig(offline=True))
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"


_LIGHT = """
import sys
from pathlib import Path
from pipeline.config import *
from pipeline.engines.registry import identify, load_embedder, load_reader, load_segmenter
embed, segment = FakeEmbedConfig(engine="fake"), FakeSegmentConfig(engine="fake")
run = RunConfig(name="r", images=(Path("i"),), workspace=Path("w"), device="cpu",
                stages=StagesConfig(segment=segment))
identify(RapidOcrConfig(engine="rapidocr"), run, Path())
identify(embed, run, Path())
load_embedder(embed, run, Path())
load_segmenter(segment, run, Path())
load_reader(FakeReadConfig(engine="fake"), run, Path())
print(sorted(set(sys.argv[1:]) & sys.modules.keys()))
"""


def test_no_heavy_library_is_imported_to_identify_or_for_fakes() -> None:
    command = [sys.executable, "-c", _LIGHT, *HEAVY]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_mode_counts_as_far_as_its_masks_differ(models: Path) -> None:
    exact, stock, fast = (_identify(_sam(mode=mode)) for mode in ("exact", "stock", "fast"))
    assert exact == stock == _identify(_sam(mode="exact"), precision="bf16")
    rough = _identify(_sam(mode="stock"), precision="bf16")
    assert len({repr(identity) for identity in (exact, fast, rough)}) == 3
