"""OCR: the libraries as people call them against our engines around them.

EasyOCR's own weights cannot be had here, so its arms run on the embedded tiny models: what they
find compares with each other, and their seconds with each other. RapidOCR's weights are real and
far larger, so none of its figures compares with EasyOCR's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch  # noqa: TID253
from PIL import Image

from benchmarks.arms import Arm, in_turns
from benchmarks.figures import Comparison, Outcome, compared, significant
from benchmarks.options import Options
from benchmarks.pictures import Pictures, drawn
from pipeline.config import EasyOcrConfig, ModelsConfig, RapidOcrConfig
from pipeline.engines.base import TextReader
from pipeline.engines.easyocr import EasyOcrReader
from pipeline.engines.quiet import quiet
from pipeline.engines.rapidocr import RapidOcrReader
from pipeline.weights import locate

Texts = list[list[str]]
"""Per image, sorted."""

SAME_TEXTS: Final = 0.95
"""Share of the library's texts that an engine around it must give."""

_FLOOR: Final = 0.05
_TINY: Final = "tiny-synthetic-ocr"


def measure_ocr(options: Options) -> Outcome:
    """Time both libraries, called and through our engines, on the same pictures."""
    torch.set_num_threads(options.threads)
    number, size = (2, (256, 256)) if options.short else (24, (768, 1024))
    with drawn(number, size, words=1.0) as pictures:
        return Outcome((_easyocr(pictures, options), _rapidocr(pictures, options)))


def _easyocr(pictures: Pictures, options: Options) -> Comparison:
    files = locate(_TINY, ModelsConfig(), Path())
    engine = EasyOcrReader(
        files, EasyOcrConfig(engine="easyocr", model=_TINY, min_score=_FLOOR), "cpu"
    )
    # The library's reader with models put in; ``readtext`` is the library's.
    reader: Any = engine._reader  # noqa: SLF001

    def call() -> Texts:
        with quiet():
            found = [reader.readtext(str(path)) for path in pictures.paths]
        return [_sorted((text, score) for _, text, score in words) for words in found]

    arms = [Arm("readtext", call), Arm("ours", _reading(engine, pictures))]
    return _laid_out("EasyOCR, tiny models", arms, pictures, options)


def _rapidocr(pictures: Pictures, options: Options) -> Comparison:
    from rapidocr import RapidOCR

    config = RapidOcrConfig(engine="rapidocr", min_score=_FLOOR, threads=options.threads)
    engine = RapidOcrReader(locate("rapidocr", ModelsConfig(), Path()), config)
    library: Any = RapidOCR(params={"Global.log_level": "critical", "Global.text_score": _FLOOR})

    def call() -> Texts:
        found = []
        for path in pictures.paths:
            result = library(str(path))
            words = zip(result.txts or (), result.scores or (), strict=True)
            found.append(_sorted(words))
        return found

    arms = [Arm("RapidOCR()", call), Arm("ours", _reading(engine, pictures))]
    return _laid_out("RapidOCR, weights of its wheel", arms, pictures, options)


def _reading(engine: TextReader, pictures: Pictures) -> Callable[[], Texts]:
    def read() -> Texts:
        images = [np.asarray(Image.open(path).convert("RGB")) for path in pictures.paths]
        spans = engine.read(images)
        return [_sorted((span.text, span.score) for span in found) for found in spans]

    return read


def _sorted(words: Any) -> list[str]:  # noqa: ANN401  pairs of any kind
    return sorted(str(text).strip() for text, score in words if text.strip() and score >= _FLOOR)


def _laid_out(
    name: str, arms: Sequence[Arm[Texts]], pictures: Pictures, options: Options
) -> Comparison:
    taken = in_turns(arms, options.repeats, warm_up=not options.short)
    reference = taken[arms[0].name].answer
    answers, lost = {}, []
    for arm in arms:
        texts = taken[arm.name].answer
        share = shared(reference, texts)
        answers[arm.name] = {"texts": sum(map(len, texts)), "same": significant(share)}
        if share < SAME_TEXTS:
            lost.append(f"{name}, {arm.name}: {share:.3f} of the texts are the library's")
    if not any(reference):
        lost.append(f"{name}: no text found at all, nothing was compared")
    height, width = pictures.images[0].shape[:2]
    title = f"{name}, {len(pictures.paths)} images {width}x{height}"
    return compared(title, arms, taken, answers=answers, lost=lost)


def shared(reference: Texts, texts: Texts) -> float:
    """Say which share of all texts of either both have, image by image."""
    both = either = 0
    for theirs, ours in zip(reference, texts, strict=True):
        rest = list(theirs)
        for text in ours:
            if text in rest:
                rest.remove(text)
        common = len(theirs) - len(rest)
        both += common
        either += len(theirs) + len(ours) - common
    return both / either if either else 1.0
