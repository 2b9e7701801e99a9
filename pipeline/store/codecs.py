"""Findings ⇄ Arrow rows, one codec per stage. Numbers come back bit for bit.

Vectors are stored as raw little-endian float32: a list column costs a Python object per number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.reasons import Reason
from pipeline.records import (
    Box,
    ImageInfo,
    Mask,
    Point,
    PooledVectors,
    Region,
    RegionVectors,
    StageName,
    TextSpan,
)

Row: TypeAlias = dict[str, Any]
Vector: TypeAlias = NDArray[np.float32]
FindingT = TypeVar("FindingT")


@dataclass(frozen=True, slots=True)
class Rejection:
    """The decoder's remembered answer for bytes that are not a usable image."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, eq=False)
class PromptVector:
    """A prompt's vector with the constants of the model that made it."""

    prompt: str
    vector: Vector
    logit_scale: float
    logit_bias: float | None


class Codec(Protocol, Generic[FindingT]):
    """How one kind of finding is laid out in a table; the key column is the store's."""

    schema: pa.Schema

    def to_row(self, finding: FindingT) -> Row:
        """Lay a finding out as plain values."""

    def from_row(self, row: Row) -> FindingT:
        """Give the finding back as it was."""


def _to_bytes(array: NDArray[np.float32]) -> bytes:
    return array.astype("<f4").tobytes()


def _from_bytes(data: bytes) -> Vector:
    return np.frombuffer(data, "<f4").astype(np.float32)


class DecodeCodec:
    """ImageInfo, or why there is none."""

    schema = pa.schema(
        [
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("orientation", pa.int8()),
            ("mime", pa.string()),
            ("mode", pa.string()),
            ("n_frames", pa.int32()),
            ("notes", pa.list_(pa.string())),
            ("reason", pa.string()),
            ("detail", pa.string()),
        ]
    )

    def to_row(self, finding: ImageInfo | Rejection) -> Row:
        """Lay the answer out; columns of the other case stay null."""
        if isinstance(finding, Rejection):
            return {"reason": finding.reason.value, "detail": finding.detail}
        return {
            "width": finding.width,
            "height": finding.height,
            "orientation": finding.orientation,
            "mime": finding.mime,
            "mode": finding.mode,
            "n_frames": finding.n_frames,
            "notes": list(finding.notes),
        }

    def from_row(self, row: Row) -> ImageInfo | Rejection:
        """Give the answer back."""
        if row["reason"] is not None:
            return Rejection(Reason(row["reason"]), row["detail"])
        notes = tuple(row["notes"])
        info = {name: row[name] for name in self.schema.names[:6]}
        return ImageInfo(**info, notes=notes)


class VectorCodec:
    """One unit vector per image."""

    schema = pa.schema([("vector", pa.binary())])

    def to_row(self, finding: Vector) -> Row:
        """Lay the vector out."""
        return {"vector": _to_bytes(finding)}

    def from_row(self, row: Row) -> Vector:
        """Give the vector back, (D,) float32."""
        return _from_bytes(row["vector"])


_REGION = pa.struct(
    [
        ("counts", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("box", pa.list_(pa.float64(), 4)),
        ("area", pa.int64()),
        ("predicted_iou", pa.float64()),
        ("stability", pa.float64()),
        ("point", pa.list_(pa.float64(), 2)),
    ]
)


class RegionsCodec:
    """All regions of an image, in the segmenter's order."""

    schema = pa.schema([("regions", pa.list_(_REGION))])

    def to_row(self, finding: Sequence[Region]) -> Row:
        """Lay the regions out."""
        return {"regions": [self._region_to_row(region) for region in finding]}

    def from_row(self, row: Row) -> tuple[Region, ...]:
        """Give the regions back."""
        return tuple(self._region_from_row(region) for region in row["regions"])

    @staticmethod
    def _region_to_row(region: Region) -> Row:
        box, point = region.box, region.point
        return {
            "counts": region.mask.counts,
            "height": region.mask.height,
            "width": region.mask.width,
            "box": [box.x, box.y, box.width, box.height],
            "area": region.area,
            "predicted_iou": region.predicted_iou,
            "stability": region.stability,
            "point": [point.x, point.y],
        }

    @staticmethod
    def _region_from_row(row: Row) -> Region:
        return Region(
            mask=Mask(row["height"], row["width"], row["counts"]),
            box=Box(*row["box"]),
            area=row["area"],
            predicted_iou=row["predicted_iou"],
            stability=row["stability"],
            point=Point(*row["point"]),
        )


class RegionVectorsCodec:
    """Cropped and masked vectors of an image's regions, flattened row by row."""

    schema = pa.schema(
        [
            ("n", pa.int32()),
            ("cropped", pa.binary()),
            ("masked", pa.binary()),
        ]
    )

    def to_row(self, finding: RegionVectors) -> Row:
        """Lay the two matrices out."""
        return {
            "n": len(finding.cropped),
            "cropped": _to_bytes(finding.cropped),
            "masked": _to_bytes(finding.masked),
        }

    def from_row(self, row: Row) -> RegionVectors:
        """Give the two (N, D) matrices back."""
        n = row["n"]
        cropped, masked = _from_bytes(row["cropped"]), _from_bytes(row["masked"])
        width = len(cropped) // n if n else 0
        return RegionVectors(cropped.reshape(n, width), masked.reshape(n, width))


class PooledVectorsCodec:
    """Means inside and outside of an image's regions, flattened row by row."""

    schema = pa.schema(
        [
            ("n", pa.int32()),
            ("inside", pa.binary()),
            ("outside", pa.binary()),
        ]
    )

    def to_row(self, finding: PooledVectors) -> Row:
        """Lay the two matrices out."""
        return {
            "n": len(finding.inside),
            "inside": _to_bytes(finding.inside),
            "outside": _to_bytes(finding.outside),
        }

    def from_row(self, row: Row) -> PooledVectors:
        """Give the two (N, D) matrices back."""
        inside, outside = _from_bytes(row["inside"]), _from_bytes(row["outside"])
        shape = row["n"], len(inside) // row["n"] if row["n"] else 0
        return PooledVectors(inside.reshape(shape), outside.reshape(shape))


_SPAN = pa.struct(
    [("quad", pa.list_(pa.float64(), 8)), ("text", pa.string()), ("score", pa.float64())]
)


def _utf8(text: str) -> str:
    # A reader's decoder may leave half a surrogate pair; Arrow takes whole characters only.
    return text.encode("utf-8", "replace").decode("utf-8")


class TextsCodec:
    """Text spans of an image, in the reader's order."""

    schema = pa.schema([("texts", pa.list_(_SPAN))])

    def to_row(self, finding: Sequence[TextSpan]) -> Row:
        """Lay the spans out."""
        spans = [
            {
                "quad": [v for p in s.quad for v in (p.x, p.y)],
                "text": _utf8(s.text),
                "score": s.score,
            }
            for s in finding
        ]
        return {"texts": spans}

    def from_row(self, row: Row) -> tuple[TextSpan, ...]:
        """Give the spans back."""
        return tuple(self._span(span) for span in row["texts"])

    @staticmethod
    def _span(row: Row) -> TextSpan:
        x0, y0, x1, y1, x2, y2, x3, y3 = row["quad"]
        quad = (Point(x0, y0), Point(x1, y1), Point(x2, y2), Point(x3, y3))
        return TextSpan(quad=quad, text=row["text"], score=row["score"])


class PromptCodec:
    """Text vectors, keyed by the digest of their prompt."""

    schema = pa.schema(
        [
            ("prompt", pa.string()),
            ("vector", pa.binary()),
            ("logit_scale", pa.float64()),
            ("logit_bias", pa.float64()),
        ]
    )

    def to_row(self, finding: PromptVector) -> Row:
        """Lay the prompt out."""
        return {
            "prompt": finding.prompt,
            "vector": _to_bytes(finding.vector),
            "logit_scale": finding.logit_scale,
            "logit_bias": finding.logit_bias,
        }

    def from_row(self, row: Row) -> PromptVector:
        """Give the prompt back."""
        vector = _from_bytes(row["vector"])
        return PromptVector(row["prompt"], vector, row["logit_scale"], row["logit_bias"])


CODECS: dict[StageName, Codec[Any]] = {
    StageName.DECODE: DecodeCodec(),
    StageName.EMBED: VectorCodec(),
    StageName.SEGMENT: RegionsCodec(),
    StageName.EMBED_REGIONS: RegionVectorsCodec(),
    StageName.POOL_REGIONS: PooledVectorsCodec(),
    StageName.READ: TextsCodec(),
}
PROMPT_CODEC = PromptCodec()
