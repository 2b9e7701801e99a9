"""Text with EasyOCR: its detector, its recogniser, its post-processing; the loading is ours.

EasyOCR reads pickles without restriction and looks into ``~/.EasyOCR`` and the network for files.
Here a checked folder is all it ever sees, and tensors are all that is taken from it.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2  # noqa: TID253
import easyocr  # noqa: TID253
import numpy as np
import torch  # noqa: TID253
from easyocr import config as library  # noqa: TID253
from easyocr.craft import CRAFT  # noqa: TID253
from easyocr.detection import get_textbox  # noqa: TID253
from easyocr.model.model import Model as ResNetModel  # noqa: TID253
from easyocr.model.vgg_model import Model as VggModel  # noqa: TID253
from easyocr.utils import CTCLabelConverter, get_image_list  # noqa: TID253
from numpy.typing import NDArray
from torch import Tensor, nn  # noqa: TID253

from pipeline.config import EasyOcrConfig
from pipeline.engines.base import EngineInfo
from pipeline.engines.checkpoints import fill, load_state
from pipeline.engines.devices import Device
from pipeline.engines.quads import quad_inside, reading_order
from pipeline.engines.quiet import quiet
from pipeline.engines.tiny import TinyCraft
from pipeline.errors import ImageRejectedError, WeightsError
from pipeline.reasons import Reason
from pipeline.records import RgbImage, TextSpan
from pipeline.weights import ModelFiles

TINY_RECOGNISER: Final = "rec.json"
_TINY_DETECTOR: Final = "det.safetensors"
_DETECTOR: Final = str(library.detection_models["craft"]["filename"])

_SIZES: Final = {"gen1": (ResNetModel, 512), "gen2": (VggModel, 256)}
"""Architecture and width of EasyOCR's generations of recognisers.
Source: easyocr 1.7.2, ``Reader.__init__``."""

_WORDS_AT_ONCE: Final = 16

_DEFAULT_SYMBOLS: Final = "0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ "
"""Allowed whatever the languages, where a recogniser names no symbols of its own.
Source: easyocr 1.7.2, ``Reader.setLanguageList``."""


@dataclass(frozen=True, slots=True)
class _Recogniser:
    """A recogniser that is not loaded yet.

    Attributes:
        network: EasyOCR's name of the alphabet that is closest; gives language files.
        characters: What it can read, in the order of its outputs after the blank.
        symbols: Characters that are always allowed, whatever the languages.
        path: Its weights.
    """

    network: str
    characters: str
    symbols: str
    model: nn.Module
    path: Path


class _Reader(easyocr.Reader):  # type: ignore[misc]  # the library is untyped
    """EasyOCR's reader with models put in from outside; it opens no weight file itself."""

    def __init__(
        self,
        languages: Sequence[str],
        device: Device,
        folder: Path,
        detector: nn.Module,
        recogniser: _Recogniser,
    ) -> None:
        self._own_detector = detector
        super().__init__(
            list(languages),
            gpu=device if device != "cpu" else False,
            model_storage_directory=str(folder),
            user_network_directory=str(folder),
            recog_network=recogniser.network,
            download_enabled=False,
            recognizer=False,
            verbose=False,
            quantize=False,
        )
        # It makes the folder importable, for networks that come as Python files.
        sys.path.remove(str(folder))
        self.character = recogniser.characters
        self.setLanguageList(list(languages), {"symbols": recogniser.symbols})
        self.recognizer = recogniser.model.to(device).eval()
        self.converter = CTCLabelConverter(recogniser.characters, {}, {})
        # The library reads word by word where its device equals "cpu"; an object does not.
        self.device = torch.device(device)

    def words(self, grey: NDArray[np.uint8], upright: list[Any], free: list[Any]) -> list[Any]:
        """Read boxes in batches of words that are equally wide.

        A batch is padded to its widest word: with one box of 640 pixels among narrow ones it takes
        longer than word by word (measured), and every narrow word is read as a different image.
        Here a word gets the width that it would have by itself.

        Args:
            grey: (H, W).
            upright: x0, x1, y0, y1.
            free: Four corners.

        Returns:
            Corners, text and score of each word, in no order.
        """
        groups: dict[int, tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
        for kind, boxes in enumerate((upright, free)):
            for box in boxes:
                alone = ([box], []) if kind == 0 else ([], [box])
                _, width = get_image_list(*alone, grey, model_height=library.imgH)
                groups[width][kind].append(box)
        read = (
            self.recognize(grey, *group, batch_size=_WORDS_AT_ONCE, reformat=False)
            for group in groups.values()
        )
        return [word for words in read for word in words]

    def getDetectorPath(self, detect_network: str) -> None:  # noqa: N802  overrides the library's
        """Take the name of the network; no file is looked for, as the detector is ours."""
        self.detect_network = detect_network
        self.get_textbox = get_textbox

    def initDetector(self, detector_path: None) -> nn.Module:  # noqa: N802, ARG002  as above
        """Give the detector of the folder, on the device of the reader."""
        return self._own_detector.to(self.device).eval()


class EasyOcrReader:
    """EasyOCR with the weights of one folder, in fp32 and without quantisation on every device.

    Images are answered one at a time: an answer depends on its image only.

    Args:
        files: The checked folder: ``craft_mlt_25k.pth`` and one of EasyOCR's recognisers, or the
            tiny ``det.safetensors``, ``rec.safetensors`` and ``rec.json``.
        config: Languages and the floor on scores.
        device: Where the models live.

    Raises:
        WeightsError: The files are no detector and recogniser that EasyOCR can use.
    """

    def __init__(self, files: ModelFiles, config: EasyOcrConfig, device: Device) -> None:
        self.info = EngineInfo("easyocr", files.name, files.digest, device, "fp32")
        self._min_score = config.min_score
        detector = _watched(_detector(files.folder))
        recogniser = _recogniser(files.folder)
        with quiet():
            self._reader = _Reader(config.languages, device, files.folder, detector, recogniser)

    def read(self, images: Sequence[RgbImage]) -> list[tuple[TextSpan, ...]]:
        """Read text; per image top to bottom, then left to right; empty texts are left out.

        Raises:
            ImageRejectedError: The detector answered with NaN.
        """
        return [self._texts(image) for image in images]

    def _texts(self, image: RgbImage) -> tuple[TextSpan, ...]:
        # ``readtext`` takes arrays for BGR where it makes them grey, and for RGB where it looks
        # for text. So its two halves are called, each with what it would get from a file.
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
        with torch.inference_mode(), quiet():
            level, free = self._reader.detect(image, reformat=False)
            words = self._reader.words(grey, level[0], free[0])
        height, width = grey.shape
        spans = (
            TextSpan(quad_inside(corners, width, height), str(text).strip(), float(score))
            for corners, text, score in words
        )
        # Written so that a score of NaN stays in: whoever asks must see it.
        return reading_order(s for s in spans if s.text and not s.score < self._min_score)


def _watched(detector: nn.Module) -> nn.Module:
    """Raise when the detector answers with NaN, in which the library would find no text."""

    def check(_module: nn.Module, _inputs: object, outputs: tuple[Tensor, Tensor]) -> None:
        """Refuse the image when a score is not finite.

        Raises:
            ImageRejectedError: The detector answered with NaN.
        """
        if not bool(torch.isfinite(outputs[0]).all()):
            raise ImageRejectedError(Reason.NAN_OUTPUT, "the text detector answered with NaN")

    detector.register_forward_hook(check)
    return detector


def _detector(folder: Path) -> nn.Module:
    tiny = folder / _TINY_DETECTOR
    path = tiny if tiny.is_file() else folder / _DETECTOR
    if not path.is_file():
        raise WeightsError(f"{folder}: expected {_DETECTOR} or {_TINY_DETECTOR} in it, found none")
    detector: nn.Module = TinyCraft() if path == tiny else CRAFT()
    fill(detector, load_state(path), path)
    return detector


def _recogniser(folder: Path) -> _Recogniser:
    tiny = folder / TINY_RECOGNISER
    return _tiny_recogniser(tiny) if tiny.is_file() else _library_recogniser(folder)


def _library_recogniser(folder: Path) -> _Recogniser:
    for generation, (build, width) in _SIZES.items():
        for network, facts in library.recognition_models[generation].items():
            path = folder / facts["filename"]
            if path.is_file():
                characters = facts["characters"]
                model = build(1, width, width, len(characters) + 1)
                fill(model, load_state(path), path)
                symbols = facts.get("symbols", _DEFAULT_SYMBOLS)
                return _Recogniser(network, characters, symbols, model, path)
    raise WeightsError(
        f"{folder}: expected one of EasyOCR's recognisers (english_g2.pth, latin_g2.pth, ...) or "
        f"{TINY_RECOGNISER} in it, found none"
    )


def _tiny_recogniser(path: Path) -> _Recogniser:
    facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if facts["imgH"] != library.imgH:
        raise WeightsError(
            f"{path}: imgH is {facts['imgH']}, expected {library.imgH}: EasyOCR keeps one height "
            "for all readers of a process"
        )
    characters = facts["characters"]
    model = VggModel(num_class=len(characters) + 1, **facts["network_params"])
    weights = path.with_suffix(".safetensors")
    fill(model, load_state(weights), weights)
    return _Recogniser("english_g2", characters, characters, model, weights)
