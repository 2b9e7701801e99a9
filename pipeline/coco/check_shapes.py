"""Conformance of what an annotation covers: bbox, area, segmentation.

Nothing reaches pycocotools that was not checked here first: it crashes on run lengths that lie,
and draws polygons at any length.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pipeline import rle
from pipeline.coco.values import Frame, as_number, finite_numbers, is_whole, shown
from pipeline.coco.violations import Report
from pipeline.records import Box, JsonObject, Mask, Point

_MAX_RINGS: Final = 1000
_MAX_OUTLINE: Final = 2_000_000
"""Longest outline that is drawn, in pixels; pycocotools takes some 80 MB for it."""

_NESTED: Final = 0.99
"""Share of one ring inside another from which on it is a hole that was drawn as a part."""


@dataclass(frozen=True, slots=True)
class _Slack:
    """How far bbox and area may be off: not at all for run lengths, a little for polygons."""

    edge: float
    pixels: float
    share: float


_EXACT: Final = _Slack(edge=0, pixels=0, share=0)
_DRAWN: Final = _Slack(edge=1, pixels=2, share=0.01)


def check_shape(
    where: str, entry: JsonObject, frame: Frame, has_masks: bool, report: Report
) -> None:
    """Check bbox, area and segmentation of one annotation.

    Args:
        where: The annotation, for messages.
        entry: The annotation.
        frame: Its image's size.
        has_masks: Whether the file is one with masks, so that a missing one is a fault.
        report: Takes what is found.
    """
    box, area = _check_box(where, entry, frame, report), _check_area(where, entry, report)
    if "segmentation" not in entry:
        if has_masks:
            report.add(15, where, "no segmentation, though other annotations have one")
        elif box and area is not None and not math.isclose(area, box.width * box.height):
            got = f"got {area:g}"
            report.add(12, where, f"expected area {box.width * box.height:g}, w x h, {got}")
        return
    given = entry["segmentation"]
    if isinstance(given, dict):
        mask = _run_lengths(where, given, frame, report)
        if mask is not None:
            _compare(where, mask, rle.tight_box(mask), _EXACT, box, area, report)
    elif isinstance(given, list) and given:
        rings = _rings(where, given, frame, report)
        if rings is not None:
            mask = rle.polygon_mask(rings, frame.width, frame.height)
            _compare(where, mask, _outline_box(rings), _DRAWN, box, area, report)
    else:
        report.add(15, where, f"expected polygons or run lengths, got {shown(given)}")


def are_inside(coordinates: list[float], frame: Frame) -> bool:
    """Whether x, y, x, y, ... are all in the image or on its border."""
    xs, ys = coordinates[::2], coordinates[1::2]
    return min(xs) >= 0 and max(xs) <= frame.width and min(ys) >= 0 and max(ys) <= frame.height


def _check_box(where: str, entry: JsonObject, frame: Frame, report: Report) -> Box | None:
    numbers = finite_numbers(entry.get("bbox"), 4, 11, where, "bbox", report)
    if numbers is None:
        return None
    x, y, width, height = numbers
    if width <= 0 or height <= 0:
        report.add(11, where, f"bbox {shown(numbers)} is empty")
    elif not are_inside([x, y, x + width, y + height], frame):
        size = f"{frame.width} x {frame.height}"
        report.add(11, where, f"bbox {shown(numbers)} leaves the image of {size}")
    else:
        return Box(x, y, width, height)
    return None


def _check_area(where: str, entry: JsonObject, report: Report) -> float | None:
    area = as_number(entry.get("area"))
    if "area" not in entry:
        report.add(12, where, "expected an area, got no such key")
    elif area is None or not math.isfinite(area):
        report.add(21, where, f"expected a number as area, got {shown(entry['area'])}")
        return None
    return area


def _compare(
    where: str,
    mask: Mask,
    tight: Box | None,
    slack: _Slack,
    box: Box | None,
    area: float | None,
    report: Report,
) -> None:
    pixels = rle.area(mask)
    if not pixels or tight is None:
        report.add(20, where, "the mask has no pixel: drop it and count it")
        return
    if area is not None and abs(area - pixels) > max(slack.pixels, slack.share * pixels):
        report.add(12, where, f"expected area {pixels}, the mask's pixels, got {area:g}")
    if box is not None and _largest_gap(box, tight) > slack.edge:
        expected = [tight.x, tight.y, tight.width, tight.height]
        got = [box.x, box.y, box.width, box.height]
        report.add(13, where, f"expected bbox {expected}, tight around the mask, got {got}")


def _largest_gap(a: Box, b: Box) -> float:
    return max(
        abs(a.x - b.x),
        abs(a.y - b.y),
        abs(a.x + a.width - b.x - b.width),
        abs(a.y + a.height - b.y - b.height),
    )


def _run_lengths(where: str, given: JsonObject, frame: Frame, report: Report) -> Mask | None:
    size, counts = given.get("size"), given.get("counts")
    expected = [frame.height, frame.width]
    if not isinstance(size, list) or size != expected or not all(is_whole(v) for v in size):
        report.add(17, where, f"expected size {expected}, height first, got {shown(size)}")
    elif isinstance(counts, list):
        return _plain(where, counts, frame, report)
    elif not isinstance(counts, str):
        report.add(17, where, f"expected a text as counts, got {shown(counts)}")
    else:
        return _packed(where, counts, frame, report)
    return None


def _plain(where: str, counts: list[object], frame: Frame, report: Report) -> Mask | None:
    whole = [count for count in counts if is_whole(count)]
    if len(whole) < len(counts):
        report.add(18, where, f"expected whole numbers as counts, got {shown(counts)}")
        return None
    try:
        return rle.from_uncompressed(frame.height, frame.width, whole)
    except ValueError as error:
        report.add(18, where, str(error))
        return None


def _packed(where: str, counts: str, frame: Frame, report: Report) -> Mask | None:
    try:
        mask = rle.from_counts(frame.height, frame.width, counts)
    except ValueError as error:
        report.add(17, where, str(error))
        return None
    if mask.counts != counts:
        report.add(17, where, "packed otherwise than encoders do: runs of 0, or padded numbers")
    return mask


def _rings(
    where: str, given: list[object], frame: Frame, report: Report
) -> list[list[float]] | None:
    if len(given) > _MAX_RINGS:
        report.add(16, where, f"{len(given)} polygons for one object; more than {_MAX_RINGS}")
        return None
    rings = [_ring(where, ring, frame, report) for ring in given]
    sound = [ring for ring in rings if ring is not None]
    if len(sound) < len(rings):
        return None
    if sum(_outline(ring) for ring in sound) > _MAX_OUTLINE:
        report.add(16, where, f"the outline is longer than {_MAX_OUTLINE} pixels")
        return None
    if any(_walks_back(ring) for ring in sound) or _are_nested(sound, frame):
        report.add(19, where, "polygons cannot hold a hole: write run lengths")
        return None
    return sound


def _ring(where: str, ring: object, frame: Frame, report: Report) -> list[float] | None:
    if not isinstance(ring, list):
        report.add(15, where, f"expected a list of polygons, got {shown(ring)} in it")
        return None
    numbers = finite_numbers(ring, len(ring), 16, where, "polygon", report)
    if numbers is None:
        return None
    if len(numbers) % 2 or len(set(_points(numbers))) < 3:  # noqa: PLR2004
        report.add(16, where, f"expected x, y of three points or more, got {shown(numbers)}")
    elif not are_inside(numbers, frame):
        report.add(16, where, f"polygon {shown(numbers)} leaves the image")
    elif not _ring_area(numbers):
        report.add(16, where, f"polygon {shown(numbers)} is closed around no area")
    else:
        return numbers
    return None


def _points(ring: list[float]) -> list[tuple[float, float]]:
    return list(zip(ring[::2], ring[1::2], strict=False))


def _edges(ring: list[float]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    points = _points(ring)
    return [(a, b) for a, b in zip(points, [*points[1:], points[0]], strict=True) if a != b]


def _ring_area(ring: list[float]) -> float:
    return abs(math.fsum(ax * by - bx * ay for (ax, ay), (bx, by) in _edges(ring))) / 2


def _outline(ring: list[float]) -> float:
    return sum(max(abs(ax - bx), abs(ay - by)) for (ax, ay), (bx, by) in _edges(ring))


def _walks_back(ring: list[float]) -> bool:
    """Whether an edge is walked both ways: the bridge to a hole, in one polygon around both."""
    edges = set(_edges(ring))
    return any((b, a) in edges for a, b in edges)


def _are_nested(rings: list[list[float]], frame: Frame) -> bool:
    if len(rings) == 1:
        return False
    masks = [rle.polygon_mask([ring], frame.width, frame.height) for ring in rings]
    inside = rle.containment_matrix(masks) > _NESTED
    return int(inside.sum()) > sum(rle.area(mask) > 0 for mask in masks)


def _outline_box(rings: list[list[float]]) -> Box:
    points = [Point(x, y) for ring in rings for x, y in _points(ring)]
    xs, ys = [point.x for point in points], [point.y for point in points]
    return Box(min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
