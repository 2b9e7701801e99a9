"""Masks as COCO run lengths, turned into pixels and back, and compared without pixels.

Pure. Run lengths go down the columns of the image, beginning with a run of background that may
be 0 long; pycocotools does the packing and the set algebra. It reads beyond its memory when run
lengths lie, so masks that come from outside go through ``from_counts`` first, which checks them
without it; measuring and comparing trust the ``Mask`` they get.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from pipeline.records import Bitmap, Box, Mask, Quad

if TYPE_CHECKING:
    from pycocotools import _EncodedRLE

MAX_PIXELS = 2**32 - 1
"""Most pixels of an image: run lengths and positions are 32 bit in every COCO reader."""

MAX_SIDE = 2**28
"""Longest side of an image: pycocotools draws polygons on a grid 5 times finer, in 31 bits."""

# The packing of a run length, as in pycocotools' rleToString: six-bit characters from '0' on,
# five bits of value each, lowest first, and one bit that says whether more follow.
_FIRST, _VALUE, _MORE, _SIGN = 48, 0x1F, 0x20, 0x10
_MAX_CHARACTERS = 7  # 35 bits: enough for every difference of two 32-bit numbers


def encode(bitmap: Bitmap) -> Mask:
    """Pack a bitmap, the same run lengths that ``pycocotools.mask.encode`` gives.

    Args:
        bitmap: (H, W) bool in any memory order, H and W at least 1.

    Raises:
        ValueError: Not a bool array of two dimensions, or without pixels.
    """
    if bitmap.ndim != 2 or bitmap.dtype != np.bool_ or not bitmap.size:  # noqa: PLR2004
        raise ValueError(f"expected an (H, W) bool array, got {bitmap.dtype} {bitmap.shape}")
    height, width = bitmap.shape
    changes = _changes(bitmap)
    runs = np.diff(changes, prepend=0, append=bitmap.size)
    return _pack(height, width, runs)


def _changes(bitmap: Bitmap) -> NDArray[np.int64]:
    """Places, counted down the columns, where the mask begins or ends."""
    if bitmap.flags.f_contiguous:
        flat = bitmap.reshape(-1, order="F")
        places = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        return np.concatenate([np.zeros(int(flat[0]), np.int64), places])
    # Row-major pixels are not transposed, which would cost more than all else: changes are
    # found row against row in memory order, and only the few that there are get sorted.
    height, width = bitmap.shape
    rows = np.flatnonzero(bitmap.any(axis=1))
    first, last = (max(int(rows[0]) - 1, 0), int(rows[-1]) + 2) if rows.size else (0, 0)
    band = bitmap[first:last]
    y, x = np.divmod(np.flatnonzero(band[1:] != band[:-1]), width)
    top = bitmap[0].copy()
    top[1:] ^= bitmap[-1, :-1]  # a column begins where the one before it ended
    places = np.concatenate([np.flatnonzero(top) * height, x * height + (y + first + 1)])
    places.sort()
    return places


def decode(mask: Mask) -> Bitmap:
    """Unpack a mask to (H, W) bool, in Fortran order, as run lengths go down the columns.

    Raises:
        ValueError: The mask's counts are not run lengths of an image of its size.
    """
    return _columns(mask, 0, mask.width).T


def _columns(mask: Mask, left: int, right: int) -> Bitmap:
    """Pixels of some columns, (columns, H)."""
    ends = _unpack(mask.height, mask.width, mask.counts).cumsum()
    np.minimum(np.maximum(ends, left * mask.height, out=ends), right * mask.height, out=ends)
    lengths = ends.copy()
    lengths[0] -= left * mask.height
    lengths[1:] -= ends[:-1]
    covered = np.zeros(len(ends), dtype=np.bool_)
    covered[1::2] = True
    pixels: Bitmap = covered.repeat(lengths)
    return pixels.reshape(right - left, mask.height)


def area(mask: Mask) -> int:
    """Number of pixels that the mask covers."""
    return int(coco.area(_rle(mask)))


def tight_box(mask: Mask) -> Box | None:
    """Smallest whole-pixel box around the mask; None if it is empty."""
    x, y, width, height = np.asarray(coco.toBbox(_rle(mask))).tolist()
    return Box(x, y, width, height) if width > 0 else None


def from_uncompressed(height: int, width: int, counts: Sequence[int]) -> Mask:
    """Pack plain run lengths; runs of length 0 in between are joined away.

    Raises:
        ValueError: A count is negative, or they do not add up to ``height * width``, or that is
            more than COCO can hold.
    """
    _check_size(height, width)
    # Python's integers cannot overflow; a count that numpy cannot hold fails here.
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise ValueError(
            f"run lengths must be >= 0 and add up to {height} x {width} = {height * width}, "
            f"got a sum of {sum(counts)} and a smallest of {min(counts, default=0)}"
        )
    return _pack(height, width, _joined(np.array(counts, dtype=np.int64)))


def from_counts(height: int, width: int, counts: str) -> Mask:
    """Take packed run lengths from outside: checked, and in the one form ``encode`` gives.

    Raises:
        ValueError: ``counts`` is not run lengths of an image of that size.
    """
    return _pack(height, width, _joined(_unpack(height, width, counts)))


def to_uncompressed(mask: Mask) -> list[int]:
    """Plain run lengths, beginning with background.

    Raises:
        ValueError: The mask's counts are not run lengths of an image of its size.
    """
    runs: list[int] = _unpack(mask.height, mask.width, mask.counts).tolist()
    return runs


def _check_size(height: int, width: int) -> None:
    if min(height, width) < 1 or max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        raise ValueError(
            f"size must be at least 1 x 1, no side over {MAX_SIDE} and no more than {MAX_PIXELS} "
            f"pixels, got {height} x {width}"
        )


def _joined(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop empty runs and join their neighbours; only the first may be empty."""
    if bool((runs[1:] > 0).all()):
        return runs
    ends = np.cumsum(runs)
    # A place where an even number of runs end is no change of colour.
    places, times = np.unique(ends[:-1], return_counts=True)
    changes = places[(times % 2 == 1) & (places < ends[-1])]
    joined: NDArray[np.int64] = np.diff(changes, prepend=0, append=ends[-1])
    return joined


def _pack(height: int, width: int, runs: NDArray[np.int64]) -> Mask:
    packed = coco.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
    return Mask(height, width, _text(packed["counts"]))


def _text(counts: str | bytes) -> str:
    return counts if isinstance(counts, str) else counts.decode("ascii")


def _unpack(height: int, width: int, counts: str) -> NDArray[np.int64]:
    """Run lengths out of their packed form, trusting nothing.

    Source: ``rleFrString`` of pycocotools: signed numbers; from the fourth run on, each is the
    difference to the run two before it.

    Raises:
        ValueError: They are not run lengths of an image of that size.
    """
    _check_size(height, width)
    digits, starts, lengths = _split(counts)
    shifts = 5 * (np.arange(len(digits)) - starts.repeat(lengths))
    runs: NDArray[np.int64] = np.add.reduceat((digits & _VALUE) << shifts, starts)
    negative = (digits[starts + lengths - 1] & _SIGN) != 0
    runs -= negative * (np.int64(1) << 5 * lengths)
    for every_other in (runs[1::2], runs[2::2]):
        every_other.cumsum(out=every_other)
    # No sum of runs within bounds can overflow, so bounds come first.
    if runs.min() < 0 or runs.max() > height * width or int(runs.sum()) != height * width:
        raise ValueError(
            f"run lengths must be >= 0 and add up to {height} x {width} = {height * width}, "
            f"got {len(runs)} with a sum of {runs.sum()} and a smallest of {runs.min()}"
        )
    return runs


def _split(counts: str) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Six-bit digits, and where each number of them starts and how long it is.

    Raises:
        ValueError: A character is none that packing gives, or a number has no end.
    """
    if not counts or not counts.isascii():
        raise ValueError(f"counts must be ASCII characters, at least one; got {counts[:20]!r}")
    digits = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - _FIRST
    if digits.min() < 0 or digits.max() > _MORE + _VALUE:
        raise ValueError("counts has characters outside '0' to 'o'")
    ends = ((digits & _MORE) == 0).nonzero()[0]
    if not ends.size or ends[-1] != len(digits) - 1:
        raise ValueError("counts ends in the middle of a number")
    starts = np.zeros_like(ends)
    starts[1:] = ends[:-1] + 1
    lengths = ends - starts + 1
    if lengths.max() > _MAX_CHARACTERS:
        raise ValueError(f"counts has a number of more than {_MAX_CHARACTERS} characters")
    return digits, starts, lengths


def iou_matrix(masks: Sequence[Mask]) -> NDArray[np.float64]:
    """IoU of every mask with every mask, (N, N) in [0, 1].

    Raises:
        ValueError: The masks are not all of one size.
    """
    return _compare(masks, crowd=False)


def containment_matrix(masks: Sequence[Mask]) -> NDArray[np.float64]:
    """Share of mask i that lies inside mask j at [i, j], (N, N) in [0, 1].

    Raises:
        ValueError: The masks are not all of one size.
    """
    # COCO divides by the detection's area alone where the ground truth is a crowd.
    return _compare(masks, crowd=True)


def intersection_matrix(masks: Sequence[Mask]) -> NDArray[np.int64]:
    """Pixels that two masks share, (N, N).

    Raises:
        ValueError: The masks are not all of one size.
    """
    areas = np.array([area(mask) for mask in masks], dtype=np.float64)
    # Exact: the error of one division and one multiplication stays far below half a pixel.
    return np.rint(containment_matrix(masks) * areas[:, None]).astype(np.int64)


def _compare(masks: Sequence[Mask], *, crowd: bool) -> NDArray[np.float64]:
    sizes = {(mask.height, mask.width) for mask in masks}
    if len(sizes) > 1:
        raise ValueError(f"masks must be of one image size, got {sorted(sizes)}")
    if not masks:
        return np.zeros((0, 0), dtype=np.float64)
    rles = [_rle(mask) for mask in masks]
    return np.asarray(coco.iou(rles, rles, [int(crowd)] * len(masks)), dtype=np.float64)


def quad_mask(quad: Quad, width: int, height: int) -> Mask:
    """Pixels that a quad covers, as COCO readers draw a polygon; empty if it covers none.

    Corners outside the image are moved to its border first.
    """
    corners = np.clip([(point.x, point.y) for point in quad], 0.0, (width, height))
    return polygon_mask([corners.ravel().tolist()], width, height)


def polygon_mask(rings: Sequence[Sequence[float]], width: int, height: int) -> Mask:
    """Pixels inside any of the rings, as COCO readers draw them.

    Args:
        rings: Each ``[x0, y0, x1, y1, ...]``, at least three points inside the image. The time
            taken grows with their length in pixels.
    """
    drawn: list[_EncodedRLE] = coco.frPyObjects([list(ring) for ring in rings], height, width)  # type: ignore[arg-type]  # floats, whatever the stubs say
    return from_counts(height, width, _text(coco.merge(drawn)["counts"]))


def crop_bitmap(mask: Mask, box: Box) -> Bitmap:
    """Pixels of the mask inside a box only, without unpacking the rest.

    Args:
        mask: Of any size.
        box: Widened to whole pixels and cut to the image.

    Returns:
        (h, w) bool of the widened box; (0, 0) if it is outside the image.

    Raises:
        ValueError: The mask's counts are not run lengths of an image of its size.
    """
    left, right = max(math.floor(box.x), 0), min(math.ceil(box.x + box.width), mask.width)
    top, bottom = max(math.floor(box.y), 0), min(math.ceil(box.y + box.height), mask.height)
    if right <= left or bottom <= top:
        return np.zeros((0, 0), dtype=np.bool_)
    return np.ascontiguousarray(_columns(mask, left, right)[:, top:bottom].T)


def _rle(mask: Mask) -> _EncodedRLE:
    return {"size": [mask.height, mask.width], "counts": mask.counts}
