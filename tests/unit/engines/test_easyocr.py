"""EasyOCR through our hands, with random models, or a detector that finds what it is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.config import EasyOcrConfig
from pipeline.errors import ImageRejectedError, WeightsError
from pipeline.reasons import Reason
from pipeline.records import RgbImage
from pipeline.weights import ModelFiles

pytestmark = pytest.mark.models

CONFIG = EasyOcrConfig(engine="easyocr", model="./.", min_score=0.0)
RECOGNISER: dict[str, Any] = {
    "imgH": 64,
    "characters": "ABCabc12",
    "network_params": {"input_channel": 1, "output_channel": 16, "hidden_size": 16},
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    """Write a random tiny detector and recogniser."""
    import torch
    from easyocr.model.vgg_model import Model
    from safetensors.torch import save_file

    from pipeline.engines.tiny import TinyCraft

    def build(spoil: Callable[[dict[str, Any]], None] = lambda _state: None, **facts: Any) -> None:
        torch.manual_seed(3)
        detector = TinyCraft().state_dict()
        spoil(detector)
        save_file(detector, tmp_path / "det.safetensors")
        outputs = len(RECOGNISER["characters"]) + 1
        recogniser = Model(num_class=outputs, **RECOGNISER["network_params"]).state_dict()
        save_file(recogniser, tmp_path / "rec.safetensors")
        (tmp_path / "rec.json").write_text(json.dumps({**RECOGNISER, **facts}))

    return build


@pytest.fixture
def load(checked: Callable[[], ModelFiles]) -> Callable[..., Any]:
    def build(config: EasyOcrConfig = CONFIG) -> Any:
        from pipeline.engines.easyocr import EasyOcrReader

        return EasyOcrReader(checked(), config, "cpu")

    return build


@pytest.fixture
def bands() -> RgbImage:
    """Red above blue: grey values tell whether the two were swapped."""
    image = np.full((64, 160, 3), 255, np.uint8)
    image[16:32, 20:140] = (255, 0, 0)
    image[40:56, 20:140] = (0, 0, 255)
    return image


def _finds_bands(reader: Any) -> None:
    """Let the detector mark dark pixels, so that the random recogniser is asked something."""
    import torch

    def detect(images: Any) -> Any:
        # Normalised RGB: white is above 2 in every channel.
        dark = (images.min(dim=1).values < 0).float()[:, ::2, ::2]
        return torch.stack([dark, torch.zeros_like(dark)], dim=-1), dark

    reader._reader.detector.forward = detect


def test_answers_are_the_librarys_own_for_a_file(
    write: Any, load: Any, bands: RgbImage, tmp_path: Path
) -> None:
    from pipeline.engines.quiet import quiet

    write()
    engine = load()
    _finds_bands(engine)
    Image.fromarray(bands).save(tmp_path / "bands.png")
    # Not readtext(array) nor readtext(bytes): those swap red and blue on the way to grey.
    with quiet():
        words = engine._reader.readtext(str(tmp_path / "bands.png"))
    spans = engine.read([bands])[0]
    assert len(spans) == 2
    assert [(s.text, s.score, s.quad[0].x, s.quad[2].y) for s in spans] == [
        (text, float(score), box[0][0], box[2][1]) for box, text, score in words
    ]


def test_words_of_one_width_are_read_together_as_each_would_be_alone(
    write: Any, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from easyocr import easyocr as library

    from pipeline.engines.quiet import quiet

    write()
    reader = load()._reader
    grey = np.random.default_rng(0).integers(0, 256, (120, 400), np.uint8)
    upright = [[0, 60, 0, 20], [0, 300, 20, 40], [100, 170, 40, 60], [0, 50, 60, 80]]
    free = [
        [[200, 70], [260, 75], [259, 95], [199, 90]],
        [[0, 90], [310, 92], [310, 112], [0, 110]],
    ]
    with quiet():
        one_by_one = reader.recognize(grey, upright, free, batch_size=1, reformat=False)
    sizes: list[int] = []
    plain = library.get_text

    def spy(*arguments: Any) -> Any:
        sizes.append(len(arguments[5]))
        return plain(*arguments)

    monkeypatch.setattr(library, "get_text", spy)
    with quiet():
        together = reader.words(grey, upright, free)
    assert max(sizes) >= 3
    assert len(sizes) < len(upright) + len(free)
    expected = {str(box): (text, score) for box, text, score in one_by_one}
    assert {str(box): text for box, text, _ in together} == {k: t for k, (t, _) in expected.items()}
    for box, _, score in together:
        assert score == pytest.approx(expected[str(box)][1], abs=1e-5)


def test_the_detector_gets_rgb(write: Any, load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write()
    engine = load()
    seen: list[Any] = []
    plain = engine._reader.detector.forward

    def spy(images: Any) -> Any:
        seen.append(images)
        return plain(images)

    engine._reader.detector.forward = spy
    red = np.zeros((32, 32, 3), np.uint8)
    red[:, :, 0] = 255
    engine.read([red])
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (np.array([1, 0, 0]) - mean) / deviation
    np.testing.assert_allclose(seen[0][0, :, 16, 16].numpy(), expected, atol=1e-5)


def test_the_floor_cuts_and_nan_stays(
    write: Any, load: Any, bands: RgbImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    engine = load(CONFIG.model_copy(update={"min_score": 0.5}))
    corners = [[0, 0], [9, 0], [9, 9], [0, 9]]
    found = [(corners, "low", 0.4), (corners, "nan", float("nan")), (corners, " ", 0.9)]
    monkeypatch.setattr(engine._reader, "words", lambda *_: [*found, (corners, "x", 1)])
    assert [span.text for span in engine.read([bands])[0]] == ["nan", "x"]


def test_nan_in_the_detector_is_an_error_and_not_an_empty_answer(
    write: Any, load: Any, bands: RgbImage
) -> None:
    write(spoil=lambda state: state["head.bias"].fill_(float("nan")))
    with pytest.raises(ImageRejectedError) as caught:
        load().read([bands])
    assert caught.value.reason is Reason.NAN_OUTPUT


def test_loading_leaves_the_process_as_it_was(write: Any, load: Any, tmp_path: Path) -> None:
    write()
    path, files = list(sys.path), sorted(tmp_path.iterdir())
    load()
    assert sys.path == path
    assert sorted(tmp_path.iterdir()) == files


def test_another_text_height_is_explained(write: Any, load: Any) -> None:
    write(imgH=32)
    with pytest.raises(WeightsError, match="imgH is 32, expected 64"):
        load()


@pytest.mark.parametrize("name", ["det.safetensors", "rec.json"])
def test_a_missing_half_is_explained(write: Any, load: Any, tmp_path: Path, name: str) -> None:
    write()
    (tmp_path / name).unlink()
    with pytest.raises(WeightsError, match="found none"):
        load()


def test_the_published_files_load(load: Any, tmp_path: Path) -> None:
    import torch
    from easyocr.config import recognition_models
    from easyocr.craft import CRAFT
    from easyocr.model.vgg_model import Model

    facts = recognition_models["gen2"]["english_g2"]
    recogniser = Model(1, 256, 256, len(facts["characters"]) + 1)
    for name, model in (("craft_mlt_25k.pth", CRAFT()), ("english_g2.pth", recogniser)):
        # As the published ones are: from a parallel training.
        state = {f"module.{key}": value for key, value in model.state_dict().items()}
        torch.save(state, tmp_path / name)
    engine = load()
    assert engine._reader.character == facts["characters"]
    assert engine.read([np.zeros((32, 32, 3), np.uint8)]) == [()]


def test_code_in_a_published_file_is_not_run(load: Any, tmp_path: Path, trap: Any) -> None:
    import torch

    torch.save({"weight": trap}, tmp_path / "craft_mlt_25k.pth")
    with pytest.raises(WeightsError, match="files that hold code are refused"):
        load()
    assert not trap.mark.exists()
