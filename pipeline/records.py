"""The nouns of the house: what is known about images, what models found, what was decided.

All values are frozen. Frames and units are the same everywhere: pixels of the upright image,
origin at the top left corner, x to the right, y down. Scores are in [0, 1], higher is better.
Values that hold arrays compare by identity.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.reasons import Reason

RgbImage: TypeAlias = NDArray[np.uint8]
"""(H, W, 3) uint8, RGB, upright, C-contiguous."""

Bitmap: TypeAlias = NDArray[np.bool_]
"""(H, W) bool: True where the mask covers the pixel."""

Vectors: TypeAlias = NDArray[np.float32]
"""(N, D) float32, every row of length 1."""


class StageName(StrEnum):
    """One question asked of every image."""

    DECODE = "decode"
    EMBED = "embed"
    SEGMENT = "segment"
    EMBED_REGIONS = "embed_regions"
    POOL_REGIONS = "pool_regions"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Point:
    """A position in pixels."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Box:
    """An upright rectangle as COCO writes it: left, top, width, height in pixels."""

    x: float
    y: float
    width: float
    height: float


Quad: TypeAlias = tuple[Point, Point, Point, Point]
"""Four corners, clockwise as seen, starting at the top left of the text's reading direction."""


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask as COCO run lengths; ``pipeline.rle`` turns it into pixels and back.

    Attributes:
        height: Rows of the image.
        width: Columns of the image.
        counts: Compressed column-major run lengths, ASCII, as pycocotools writes them.
    """

    height: int
    width: int
    counts: str


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that scan found and could read.

    Attributes:
        root: Index of the folder in the run file's ``images`` list.
        path: Path below that folder, posix, as it is on disk.
        digest: sha256 of the file's bytes, 64 hexadecimal digits.
        n_bytes: Size of the file.
    """

    root: int
    path: str
    digest: str
    n_bytes: int


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What the decoder knows of an image that it could decode.

    Attributes:
        width: Columns of the upright image.
        height: Rows of the upright image.
        orientation: EXIF orientation 1-8 that was applied to get there; 1 if none was given.
        mime: Media type by content, whatever the file's name says.
        mode: Pixel mode in the file, in Pillow's terms (``CMYK``, ``I;16``, ...).
        n_frames: Frames or pages in the file; the first one is used.
        notes: Codes for things a person may want to know (``wrong_extension``, ...).
    """

    width: int
    height: int
    orientation: int
    mime: str
    mode: str
    n_frames: int = 1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One distinct image: its bytes, every path it was found at, and what it looks like.

    Attributes:
        source: The first path in scan order; labels name this one.
        duplicates: Further files with the same bytes, in scan order.
        info: What the decoder found.
    """

    source: SourceFile
    duplicates: tuple[SourceFile, ...]
    info: ImageInfo

    @property
    def digest(self) -> str:
        """Identity of the image: sha256 of its bytes."""
        return self.source.digest


@dataclass(frozen=True, slots=True)
class Quarantined:
    r"""A file that could not be labelled, and why.

    Attributes:
        root: Index of the folder in the run file's ``images`` list.
        path: Path below that folder; bytes that are not UTF-8 are written as ``\\xNN``.
        reason: The code.
        detail: What was expected and found.
        stage: The stage that could not answer, or None if the file never got that far.
        digest: sha256 of the bytes, or None if they could not be read.
    """

    root: int
    path: str
    reason: Reason
    detail: str
    stage: StageName | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A stage could not answer for one image; the image is quarantined, the run goes on."""

    stage: StageName
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Region:
    """A class-less mask proposed by a segmenter.

    Attributes:
        mask: The pixels; never empty.
        box: Tight box around them, whole pixels.
        area: Number of pixels.
        predicted_iou: The model's own estimate of the mask's IoU.
        stability: IoU between the mask cut at a higher and at a lower logit.
        point: The prompt point that gave the mask.
    """

    mask: Mask
    box: Box
    area: int
    predicted_iou: float
    stability: float
    point: Point


@dataclass(frozen=True, slots=True, eq=False)
class RegionVectors:
    """Embeddings of an image's regions, in the order of its regions.

    Attributes:
        cropped: (N, D), each region's box with a margin, surroundings visible.
        masked: (N, D), the same crop with everything outside the mask greyed out.
    """

    cropped: Vectors
    masked: Vectors


@dataclass(frozen=True, slots=True, eq=False)
class PooledVectors:
    """What the patches of an image say that lie on a region, and those that do not.

    Both are means of unit vectors, weighted by the pixels that a patch has on that side: the
    product with a text is the mean relevance of that side for the text. In the order of regions.

    Attributes:
        inside: (N, D), patches under the mask; not of unit length.
        outside: (N, D), everything else; zeros where the mask covers all.
    """

    inside: Vectors
    outside: Vectors


@dataclass(frozen=True, slots=True)
class TextSpan:
    """A piece of text as a reader returned it, usually a word or a line."""

    quad: Quad
    text: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """Everything the models said about one image, raw; a stage that was not asked is None."""

    image: ImageRecord
    vector: NDArray[np.float32] | None = None
    regions: tuple[Region, ...] = ()
    region_vectors: RegionVectors | None = None
    texts: tuple[TextSpan, ...] = ()
    pooled: PooledVectors | None = None


@dataclass(frozen=True, slots=True, eq=False)
class PromptVectors:
    """Text embeddings of prompts, with what turns a cosine into a logit.

    Attributes:
        vectors: prompt → (D,) float32 of length 1.
        logit_scale: Factor on the cosine, the model's learnt temperature.
        logit_bias: Added after scaling; None for models trained with a softmax (CLIP),
            a number for models trained with a sigmoid (SigLIP).
    """

    vectors: dict[str, NDArray[np.float32]]
    logit_scale: float
    logit_bias: float | None


class Decision(StrEnum):
    """What becomes of a label: into the dataset, to a person first, or not at all."""

    ACCEPT = "accept"
    REVIEW = "review"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision, always with its reason in words a reviewer understands."""

    decision: Decision
    reason: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a label comes from.

    Attributes:
        engine: Kind of engine (``open_clip``, ``segment_anything``, ...).
        model: Model name; names of the embedded toy models begin with ``tiny-synthetic``.
        weights: sha256 over the weight files.
        fingerprint: Fingerprint of the stage that produced it.
    """

    engine: str
    model: str
    weights: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A class with the score it got."""

    class_name: str
    score: float


@dataclass(frozen=True, slots=True)
class Tag:
    """The image as a whole shows this class.

    Attributes:
        score: Probability after prompt ensembling.
        threshold: The score this class had to reach.
    """

    class_name: str
    score: float
    threshold: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Instance:
    """One object: a mask with a name.

    Attributes:
        class_name: Best class of the vocabulary.
        score: Probability of that class for this region.
        runner_up: Second best class, or None if the vocabulary has one class only.
        background: Probability that the region shows none of the classes.
        region: The mask and its raw scores.
        verdict: What becomes of it.
        merged: Number of further regions that covered the same object and were folded in.
    """

    class_name: str
    score: float
    runner_up: Candidate | None
    background: float
    region: Region
    verdict: Verdict
    merged: int = 0


@dataclass(frozen=True, slots=True)
class TextRegion:
    """A line of text, placed in reading order and attached to what carries it.

    Attributes:
        spans: The words or pieces it was joined from, in reading order.
        quad: Corners around all of them.
        text: The transcription, words joined by one space.
        score: Lowest score of its spans: a line is as sure as its weakest word.
        order: Place in the reading order of the image, from 0.
        owner: Index into ``ImageLabels.instances`` of the smallest region that carries it,
            or None.
        verdict: What becomes of it.
    """

    spans: tuple[TextSpan, ...]
    quad: Quad
    text: str
    score: float
    order: int
    owner: int | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """All labels of one image, dropped ones included: nothing vanishes without a reason."""

    image: ImageRecord
    tags: tuple[Tag, ...] = ()
    instances: tuple[Instance, ...] = ()
    texts: tuple[TextRegion, ...] = ()
    provenance: dict[StageName, Provenance] = field(default_factory=dict)


JsonObject: TypeAlias = dict[str, Any]
"""A parsed JSON object at the edge of the house; inside, values are typed."""
