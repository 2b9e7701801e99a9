"""Scores of the tiny OCR networks, through ``easyocr``'s own code."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import easyocr
import numpy as np
import torch
import yaml  # type: ignore[import-untyped]
from easyocr import detection
from easyocr.recognition import AlignCollate
from PIL import Image
from safetensors.torch import load_file

from data.train_tiny.ocr_data import CHARACTERS, HEIGHT, draw_crop, word_batch
from pipeline.engines.tiny import TinyCraft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from data.train_tiny.cache import Sample

    Box = Sequence[float]

STRINGS = 64
MATCH = 0.5


def box_iou(one: Box, other: Box) -> float:
    """Overlap of two boxes.

    Args:
        one: (x0, y0, x1, y1).
        other: (x0, y0, x1, y1).

    Returns:
        Intersection over union, 0..1.
    """
    wide = min(one[2], other[2]) - max(one[0], other[0])
    tall = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or tall <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return wide * tall / (sum(areas) - wide * tall)


def best_path(logits: torch.Tensor) -> list[str]:
    """Read the most likely character per frame, repeats and blanks removed.

    Args:
        logits: (B, T, characters + 1), 0 is the blank.

    Returns:
        One text per row.
    """
    texts = []
    for row in logits.argmax(-1).tolist():
        kept = [c for c, before in zip(row, [0, *row[:-1]], strict=True) if c and c != before]
        texts.append("".join(CHARACTERS[c - 1] for c in kept))
    return texts


def _gray(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).convert("L"))


def _true_crop(image: NDArray[np.uint8], box: Sequence[int]) -> Image.Image:
    x0, y0, x1, y1 = box
    margin = max(1, round(0.1 * (y1 - y0)))
    part = _gray(image)[max(0, y0 - margin) : y1 + margin, max(0, x0 - margin) : x1 + margin]
    return Image.fromarray(np.ascontiguousarray(part))


@torch.no_grad()
def score_reader(model: Any, samples: Sequence[Sample]) -> dict[str, float]:  # noqa: ANN401 - untyped package
    """Read words at their true boxes, and random strings drawn like the training crops.

    Args:
        model: A recogniser in evaluation mode.
        samples: Scenes with words.

    Returns:
        Share of exact texts of both kinds.
    """
    words = [(s.image, text, box) for s in samples for text, box, _ in s.words]
    collate = AlignCollate(HEIGHT, 6 * HEIGHT, keep_ratio_with_pad=True)
    images = collate([_true_crop(image, box) for image, _, box in words])
    read = best_path(model(images, None))
    crops = [draw_crop(np.random.default_rng([9, index])) for index in range(STRINGS)]
    strings = best_path(model(word_batch(crops)[0], None))
    return {
        "words": float(np.mean([a == b[1] for a, b in zip(read, words, strict=True)])),
        "strings": float(np.mean([a == b.text for a, b in zip(strings, crops, strict=True)])),
    }


def _find(model: Any, image: NDArray[np.uint8]) -> list[tuple[float, ...]]:  # noqa: ANN401 - untyped package
    polygons = detection.get_textbox(
        model, image, 2560, 1.0, 0.7, 0.4, 0.4, poly=False, device="cpu"
    )[0]
    corners = [np.array(polygon).reshape(-1, 2) for polygon in polygons]
    return [(*points.min(0), *points.max(0)) for points in corners]


@torch.no_grad()
def score_detector(model: Any, samples: Sequence[Sample]) -> dict[str, float]:  # noqa: ANN401 - untyped package
    """Find words through EasyOCR's own post-processing.

    Args:
        model: A detector in evaluation mode.
        samples: Scenes.

    Returns:
        Share of words found at an IoU of 0.5, the mean IoU, and boxes per scene that match no word.
    """
    overlaps, boxes = [], 0
    for sample in samples:
        found = _find(model, np.ascontiguousarray(sample.image))
        boxes += len(found)
        for _, box, _ in sample.words:
            overlaps.append(max((box_iou(box, other) for other in found), default=0.0))
    hits = sum(overlap >= MATCH for overlap in overlaps)
    return {
        "found": hits / max(1, len(overlaps)),
        "box_iou": float(np.mean(overlaps)),
        "extra_per_scene": (boxes - hits) / len(samples),
    }


class TinyReader(easyocr.Reader):  # type: ignore[misc]
    """``easyocr.Reader`` with the tiny networks; detect, recognize and readtext are the library's.

    Args:
        folder: Where ``det.safetensors``, ``rec.safetensors`` and ``rec.json`` lie.
        home: Scratch folder in the layout EasyOCR expects of custom networks.
    """

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        networks = home / "user_network"
        networks.mkdir(parents=True)
        notes = json.loads((folder / "rec.json").read_text())
        # EasyOCR takes custom readers only as a pickled state dict with a data-parallel prefix.
        state = load_file(folder / "rec.safetensors")
        prefixed = {
            f"module.{k}": v.float() if v.is_floating_point() else v for k, v in state.items()
        }
        torch.save(prefixed, home / "tinyrec.pth")
        (networks / "tinyrec.py").write_text("from easyocr.model.vgg_model import Model\n")
        described = {
            "imgH": notes["imgH"],
            "lang_list": ["en"],
            "character_list": notes["characters"],
            "network_params": notes["network_params"],
        }
        (networks / "tinyrec.yaml").write_text(yaml.safe_dump(described))
        super().__init__(
            ["en"],
            gpu=False,
            model_storage_directory=str(home),
            user_network_directory=str(networks),
            recog_network="tinyrec",
            download_enabled=False,
            verbose=False,
            quantize=False,
        )

    def getDetectorPath(self, detect_network: str) -> str:  # noqa: N802 - the library's name
        """Name the detector without looking for CRAFT's weights.

        Args:
            detect_network: Kept for the library's own use.

        Returns:
            Path of the tiny detector.
        """
        self.detect_network = detect_network
        self.get_textbox = detection.get_textbox
        return str(self._folder / "det.safetensors")

    def initDetector(self, detector_path: str) -> TinyCraft:  # noqa: N802 - the library's name
        """Load the tiny detector.

        Args:
            detector_path: Path of its safetensors file.

        Returns:
            The detector in evaluation mode.
        """
        model = TinyCraft()
        model.load_state_dict(load_file(detector_path))
        return model.eval()


def score_readtext(folder: Path, samples: Sequence[Sample]) -> dict[str, float]:
    """Run ``readtext`` on scenes with and without words.

    Args:
        folder: The ``ocr`` folder of the shipped models.
        samples: Scenes.

    Returns:
        Counts of words, of words read exactly, of words found at an IoU of 0.5, and of texts on
        scenes without words.
    """
    counts = {"words": 0.0, "exact": 0.0, "found": 0.0, "wordless": 0.0, "false_texts": 0.0}
    with tempfile.TemporaryDirectory() as home:
        reader = TinyReader(folder, Path(home))
        for sample in samples:
            lines = reader.readtext(np.ascontiguousarray(sample.image))
            texts = [line[1] for line in lines]
            corners = [np.array(line[0], float) for line in lines]
            for text, box, _ in sample.words:
                counts["words"] += 1
                counts["exact"] += text in texts
                overlaps = [box_iou(box, (*c.min(0), *c.max(0))) for c in corners]
                counts["found"] += max(overlaps, default=0.0) >= MATCH
            if not sample.words:
                counts["wordless"] += 1
                counts["false_texts"] += len(lines)
    return counts
