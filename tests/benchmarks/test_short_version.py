"""The short version of the benchmarks: passes as things are, fails when an arm is damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.__main__ import SHORT, main, report
from benchmarks.options import Options
from pipeline import rle

# The time limit is for what hangs: a busy machine gives a minute of work a twentieth of itself.
pytestmark = [pytest.mark.models, pytest.mark.timeout(1200)]

BRIEF = Options(repeats=1, short=True)


def test_the_short_version_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--short", "--threads", "1"])
    shown = capsys.readouterr()
    assert code == 0, shown.out
    assert all(f"{name} …" in shown.err for name in SHORT)


def lost(measure: Callable[[Options], Any]) -> list[str]:
    said: list[str] = []
    code = report({"damaged": measure(BRIEF)}, said.append)
    found = [line for line in said if line.startswith("LOST")]
    assert code == (1 if found else 0)
    return found


def test_a_mask_that_is_a_few_pixels_off_is_lost_equality(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.sam.measure import measure_equality, measure_postprocessing
    from pipeline.engines.fast_sam.generator import MaskGenerator

    whole = MaskGenerator.generate

    def shaved(self: MaskGenerator, *asked: Any) -> Any:
        return [replace(found, mask=_shaved(found.mask)) for found in whole(self, *asked)]

    monkeypatch.setattr(MaskGenerator, "generate", shaved)
    assert any("byte-equal" in line for line in lost(measure_equality))
    assert any("bit for bit" in line for line in lost(measure_postprocessing))


def test_a_mask_less_is_lost_equality(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.sam.measure import measure_equality
    from pipeline.engines.fast_sam.generator import MaskGenerator

    whole = MaskGenerator.generate
    monkeypatch.setattr(MaskGenerator, "generate", lambda *asked: whole(*asked)[1:])
    assert any("another number of masks" in line for line in lost(measure_equality))


def test_vectors_of_another_picture_are_lost_equality(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.clip import measure_clip
    from pipeline.engines.openclip import OpenClipEmbedder

    embed = OpenClipEmbedder.embed_images
    monkeypatch.setattr(
        OpenClipEmbedder,
        "embed_images",
        lambda self, images: embed(self, [i[::-1] for i in images]),
    )
    assert len(lost(measure_clip)) == 2


def test_a_text_less_is_lost_equality(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.ocr import measure_ocr
    from pipeline.engines.easyocr import EasyOcrReader

    read = EasyOcrReader.read
    monkeypatch.setattr(
        EasyOcrReader, "read", lambda self, images: [found[1:] for found in read(self, images)]
    )
    assert any("EasyOCR" in line for line in lost(measure_ocr))


def test_a_file_with_other_masks_is_lost_equality(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import coco

    labels = coco._labels

    def upside_down(image: Any) -> Any:
        return labels(replace(image, masks=tuple(mask[::-1] for mask in image.masks)))

    monkeypatch.setattr(coco, "_labels", upside_down)
    assert any("byte for byte" in line for line in lost(coco.measure_coco))


def _shaved(mask: Any) -> Any:
    bitmap = np.array(rle.decode(mask))
    rows = np.flatnonzero(bitmap.any(1))
    bitmap[rows[0]] = False
    return rle.encode(bitmap)
