"""Text with RapidOCR on onnxruntime; the weights come inside its wheel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import onnxruntime  # noqa: TID253
from rapidocr import RapidOCR  # noqa: TID253
from rapidocr.inference_engine.onnxruntime.main import OrtInferSession  # noqa: TID253
from rapidocr.utils.output import RapidOCROutput  # noqa: TID253

from pipeline.config import RapidOcrConfig
from pipeline.engines.base import EngineInfo
from pipeline.engines.quads import quad_inside, reading_order
from pipeline.engines.quiet import quiet
from pipeline.errors import EngineError, WeightsError
from pipeline.records import RgbImage, TextSpan
from pipeline.weights import ModelFiles

_ROLES: Final = {"Det.model_path": "_det_", "Rec.model_path": "_rec_", "Cls.model_path": "_cls_"}
_ERRORS_ONLY: Final = 3
_MAX_ASPECT: Final = 8


class RapidOcrReader:
    """RapidOCR's detector, direction classifier and recogniser.

    Images are answered one at a time, on the CPU.

    Args:
        files: The checked files of the wheel.
        config: Floor on scores, and threads.

    Raises:
        WeightsError: A model of the three is not among the files.
    """

    def __init__(self, files: ModelFiles, config: RapidOcrConfig) -> None:
        self.info = EngineInfo("rapidocr", files.name, files.digest, "onnxruntime", "fp32")
        self._min_score = config.min_score
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        with quiet(), _threads_that_sleep():
            self._engine = RapidOCR(params=_parameters(files, config))
            # Now, and not at the first image that has text: whatever is wrong is no image's fault.
            for part in ("det", "cls", "rec"):
                getattr(self._engine, f"_load_{part}_model")()

    def read(self, images: Sequence[RgbImage]) -> list[tuple[TextSpan, ...]]:
        """Read text; per image top to bottom, then left to right; empty texts are left out.

        Raises:
            EngineError: Text was found, but not read.
        """
        return [self._texts(image) for image in images]

    def _texts(self, image: RgbImage) -> tuple[TextSpan, ...]:
        bgr = np.ascontiguousarray(image[:, :, ::-1])  # what it takes arrays for
        result = self._engine(widened(bgr))
        if not isinstance(result, RapidOCROutput):
            raise EngineError(f"rapidocr stopped half-way, with a {type(result).__name__}")
        if result.boxes is None or result.txts is None or result.scores is None:
            return ()
        height, width = image.shape[:2]
        found = zip(result.boxes, result.txts, result.scores, strict=True)
        spans = (
            TextSpan(quad_inside(box.tolist(), width, height), text.strip(), float(score))
            for box, text, score in found
        )
        return reading_order(s for s in spans if s.text and not s.score < self._min_score)


@contextmanager
def _threads_that_sleep() -> Iterator[None]:
    """Have onnxruntime's threads sleep between two products, in sessions that are opened inside.

    As they come they spin: reading took twice the CPU seconds for the same wall time (measured),
    which are not there for the models beside it. RapidOCR has no parameter for it.

    Yields:
        Nothing.
    """
    library: Any = OrtInferSession
    usual = library._init_sess_opts  # noqa: SLF001

    def sleeping(settings: Any) -> Any:  # noqa: ANN401  untyped
        """Make the usual session options, but with threads that sleep while they wait."""
        options = usual(settings)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    library._init_sess_opts = staticmethod(sleeping)  # noqa: SLF001
    try:
        yield
    finally:
        library._init_sess_opts = staticmethod(usual)  # noqa: SLF001


def widened(image: RgbImage) -> RgbImage:
    """Pad tall images with black at their right, as the library pads wide ones above and below.

    It scales the short side to 736 pixels: 400x8 would become 36800x736, which took 73 s.

    Args:
        image: (H, W, 3).

    Returns:
        The same, or 4 times as high as it is wide if it was more than 8 times as high.

    Source: rapidocr 3.10, ``apply_vertical_padding`` and ``width_height_ratio``.
    """
    height, width = image.shape[:2]
    if height <= _MAX_ASPECT * width:
        return image
    return np.pad(image, ((0, 0), (0, height * 2 // _MAX_ASPECT - width), (0, 0)))


def _parameters(files: ModelFiles, config: RapidOcrConfig) -> dict[str, Any]:
    # With paths given, it never looks for models elsewhere, nor fetches any.
    return {
        **{key: _path(files, part) for key, part in _ROLES.items()},
        "Global.text_score": config.min_score,
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": config.threads or -1,
    }


def _path(files: ModelFiles, part: str) -> str:
    named = [file.path for file in files.files if part in file.path.name]
    if len(named) != 1:
        raise WeightsError(f"{files.folder}: expected one *{part}*.onnx, found {len(named)}")
    return str(named[0])
