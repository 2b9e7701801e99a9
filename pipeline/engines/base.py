"""What an engine is: arrays in, records out. Four questions, one protocol each.

Every method takes a batch and answers in the same order with as many answers. Images are upright
RGB uint8 arrays (H, W, 3) of any size; engines resize for themselves and never see a path.
Engines hold their model for as long as they live and are used by one thread at a time. Out of
memory they halve their batch (``batching``), and raise when one image does not fit; vectors and
scores that are not numbers they pass on: ``pipeline.infer`` singles out images that failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Box, Region, RgbImage, TextSpan, Vectors
from pipeline.relevance import Fading, Field, Method, RelevanceMap


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Identity of a loaded engine, for provenance and for the doctor.

    Attributes:
        engine: Kind of engine, as in the run file.
        model: Model name.
        weights: sha256 over the weight files, 64 hexadecimal digits.
        device: ``cpu``, ``cuda``, ``mps`` or ``onnxruntime``.
        precision: ``fp32`` or ``bf16``.
    """

    engine: str
    model: str
    weights: str
    device: str
    precision: str


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """What a model says of each cell of an image.

    Attributes:
        vectors: (rows, columns, D) float32, unit length, in the space of texts.
        frame: What the cells cover together, in pixels of the image; may reach beyond it.
    """

    vectors: NDArray[np.float32]
    frame: Box


@runtime_checkable
class Embedder(Protocol):
    """Image and text vectors in one space."""

    @property
    def info(self) -> EngineInfo:
        """Identity of the loaded model."""

    @property
    def logit_scale(self) -> float:
        """Factor on the cosine of image and text vectors."""

    @property
    def logit_bias(self) -> float | None:
        """Added after scaling; None where the model was trained with a softmax."""

    def embed_images(self, images: Sequence[RgbImage]) -> Vectors:
        """Embed images; row i belongs to image i, (N, D), unit length."""

    def embed_texts(self, prompts: Sequence[str]) -> Vectors:
        """Embed prompts; row i belongs to prompt i, (N, D), unit length."""

    def embed_patches(self, images: Sequence[RgbImage]) -> list[Patches]:
        """Embed every cell of each image by itself.

        Raises:
            EngineError: The model has no cells.
        """


@runtime_checkable
class Explainer(Protocol):
    """Says which parts of an image speak for a text. Explains one embedder."""

    def maps(self, image: RgbImage, texts: Vectors, method: Method) -> list[RelevanceMap]:
        """Make one map per text vector (N, D), in pixels of the image."""

    def fade(self, image: RgbImage, text: NDArray[np.float32], cells: Field) -> Fading | None:
        """Take the image away and bring it back, cells with the highest value first."""


@runtime_checkable
class Segmenter(Protocol):
    """Class-less masks of everything in an image."""

    @property
    def info(self) -> EngineInfo:
        """Identity of the loaded model."""

    @property
    def images_at_once(self) -> int:
        """How many images to hand over together; may fall when memory is short."""

    def segment(self, images: Sequence[RgbImage]) -> list[tuple[Region, ...]]:
        """Find regions; per image best predicted IoU first, none of them empty."""


@runtime_checkable
class TextReader(Protocol):
    """Text in an image, with where it stands."""

    @property
    def info(self) -> EngineInfo:
        """Identity of the loaded model."""

    def read(self, images: Sequence[RgbImage]) -> list[tuple[TextSpan, ...]]:
        """Read text; per image top to bottom, then left to right; empty texts are left out."""
