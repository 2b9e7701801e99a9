"""RapidOCR through our hands: the library's own answers, in our frame and order."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pipeline.config import ModelsConfig, RapidOcrConfig
from pipeline.errors import WeightsError
from pipeline.records import RgbImage
from pipeline.weights import locate

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def engine() -> Any:
    from pipeline.engines.rapidocr import RapidOcrReader

    files = locate("rapidocr", ModelsConfig(), Path())
    return RapidOcrReader(files, RapidOcrConfig(engine="rapidocr", min_score=0.0, threads=1))


@pytest.fixture(scope="module")
def sign() -> RgbImage:
    picture = Image.new("RGB", (260, 120), (20, 60, 170))
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(34)
    draw.text((130, 12), "EXIT", fill=(250, 210, 40), font=font)
    draw.text((16, 66), "Gate 42", fill=(240, 90, 80), font=font)
    return np.asarray(picture)


def test_words_are_read_where_they_are(engine: Any, sign: RgbImage) -> None:
    first, second = engine.read([sign])[0]
    assert (first.text, second.text) == ("EXIT", "Gate 42")
    assert first.quad[0].x == pytest.approx(130, abs=8)
    assert second.quad[0].x == pytest.approx(16, abs=8)
    assert first.quad[0].y < second.quad[0].y


def test_colours_arrive_as_the_library_reads_them_from_a_file(engine: Any, sign: RgbImage) -> None:
    png = io.BytesIO()
    Image.fromarray(sign).save(png, "PNG")
    expected = engine._engine(png.getvalue())
    assert [span.score for span in engine.read([sign])[0]] == list(map(float, expected.scores))


def test_the_floor_cuts(sign: RgbImage, engine: Any) -> None:
    from pipeline.engines.rapidocr import RapidOcrReader

    files = locate("rapidocr", ModelsConfig(), Path())
    strict = RapidOcrReader(files, RapidOcrConfig(engine="rapidocr", min_score=1.0, threads=1))
    assert strict.read([sign]) == [()]


def test_a_plain_image_has_no_text(engine: Any) -> None:
    assert engine.read([np.full((64, 64, 3), 128, np.uint8)]) == [()]


def test_tall_images_are_padded_as_the_library_pads_wide_ones() -> None:
    from pipeline.engines.rapidocr import widened

    tall = np.full((400, 8, 3), 9, np.uint8)
    padded = widened(tall)
    assert padded.shape == (400, 100, 3)
    np.testing.assert_array_equal(padded[:, :8], tall)
    assert not padded[:, 8:].any()
    for image in (tall.swapaxes(0, 1), np.zeros((64, 8, 3), np.uint8)):
        assert widened(image) is image


def test_waiting_threads_sleep(engine: Any) -> None:
    parts = (engine._engine.text_det, engine._engine.text_rec, engine._engine.text_cls)
    for part in parts:
        options = part.session.session.get_session_options()
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
        assert options.intra_op_num_threads == 1


def test_threads_and_models_are_handed_over() -> None:
    from pipeline.engines.rapidocr import _parameters

    files = locate("rapidocr", ModelsConfig(), Path())
    one, default = (
        _parameters(files, RapidOcrConfig(engine="rapidocr", threads=n)) for n in (1, 0)
    )
    key = "EngineConfig.onnxruntime.intra_op_num_threads"
    assert (one[key], default[key]) == (1, -1)
    assert {Path(one[f"{part}.model_path"]) for part in ("Det", "Rec", "Cls")} == {
        file.path for file in files.files
    }


def test_a_missing_model_is_explained(tmp_path: Path) -> None:
    from pipeline.engines.rapidocr import RapidOcrReader

    (tmp_path / "x_det_y.onnx").write_bytes(b"")
    files = locate("./.", ModelsConfig(), tmp_path)
    with pytest.raises(WeightsError, match="_rec_"):
        RapidOcrReader(files, RapidOcrConfig(engine="rapidocr"))
