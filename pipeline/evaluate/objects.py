"""Objects against truth: AP, rates per class, confusion, calibration and sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.errors import Fault, FaultKind
from pipeline.evaluate.sides import IOU, Compared, box_mask
from pipeline.metrics.calibration import Calibration, calibrate
from pipeline.metrics.cocoeval import Averages, average
from pipeline.metrics.intervals import Counts, Interval, rate
from pipeline.metrics.matching import box_overlaps, by_overlap, by_score, mask_overlaps
from pipeline.records import JsonObject, Mask
from pipeline.truth import Shape

BACKGROUND: Final = "background"
_MISPLACED: Final = 0.1
_IN_CROWD: Final = 0.5
_SIZES: Final = (("small", 0.0, 32.0**2), ("medium", 32.0**2, 96.0**2), ("large", 96.0**2, 1e10))
"""Areas in pixels, as COCO counts sizes."""


@dataclass(frozen=True, slots=True)
class Size:
    """Recall of objects of one size."""

    name: str
    truth: int
    tp: int
    recall: Interval | None


@dataclass(frozen=True, slots=True, eq=False)
class ObjectFigures:
    """How good the objects are.

    Attributes:
        mask: None where the truth has boxes only.
        classes: In the order of the categories.
        accepted: Of those that stand without a person's look.
        pairs: Who is whom, image by image.
        confusion: Rows truth, columns found, background last.
    """

    box: Averages
    mask: Averages | None
    classes: Mapping[str, Counts]
    accepted: Counts
    pairs: Sequence[Pairs]
    confusion: NDArray[np.int64]
    calibration: Calibration
    sizes: tuple[Size, ...]
    faults: tuple[Fault, ...]

    @property
    def overall(self) -> Counts:
        """All classes together."""
        return sum(self.classes.values(), Counts())


@dataclass(frozen=True, slots=True)
class Pairs:
    """Who is whom in one image.

    Attributes:
        hits: Found → truth of the same class, at an IoU from ``IOU`` on.
        confused: The same for what is left, of another class.
        misplaced: The same for what is left, of the same class, less well in place.
        ignored: Found ones that lie in a crowd: neither right nor wrong.
    """

    image: Compared
    truth: tuple[Shape, ...]
    overlaps: NDArray[np.float64]
    hits: Mapping[int, int]
    confused: Mapping[int, int]
    misplaced: Mapping[int, int]
    ignored: frozenset[int]

    def outcomes(self) -> Iterator[tuple[Shape, bool]]:
        """Give what was found, and whether it is right.

        Yields:
            Each found object that counts.
        """
        for place, shape in enumerate(self.image.found.objects):
            if place not in self.ignored:
                yield shape, place in self.hits


def measure(images: Sequence[Compared], classes: Sequence[str]) -> ObjectFigures:
    """Measure the objects of a run."""
    paired = [pair(image) for image in images]
    outcomes = [outcome for pairs in paired for outcome in pairs.outcomes()]
    has_masks = all(s.mask is not None for image in images for s in image.truth.objects)
    return ObjectFigures(
        _average(images, classes, masks=False),
        _average(images, classes, masks=True) if has_masks else None,
        _per_class(paired, classes),
        overall([pair(image.as_accepted()) for image in images], classes),
        paired,
        _confusion(paired, classes),
        calibrate([shape.score for shape, _ in outcomes], [right for _, right in outcomes]),
        _sizes(paired),
        tuple(fault for pairs in paired for fault in _faults(pairs)),
    )


def pair(image: Compared) -> Pairs:
    """Pair what was found in an image with its truth."""
    found = image.found.objects
    truth = tuple(shape for shape in image.truth.objects if not shape.crowd)
    overlaps = _overlaps(found, truth)
    scores = [shape.score for shape in found]
    same = np.array(
        [[one.class_name == other.class_name for other in truth] for one in found], np.bool_
    ).reshape(overlaps.shape)
    hits = by_score(np.where(same, overlaps, 0.0), scores, IOU)
    left = _without(np.where(same, 0.0, overlaps), hits)
    confused = by_overlap(left, IOU)
    near = _without(np.where(same, overlaps, 0.0), {**hits, **confused})
    misplaced = by_overlap(near, _MISPLACED)
    explained = {*hits, *confused, *misplaced}
    return Pairs(image, truth, overlaps, hits, confused, misplaced, _ignored(image, explained))


def _overlaps(found: Sequence[Shape], truth: Sequence[Shape]) -> NDArray[np.float64]:
    masks = [[shape.mask for shape in side if shape.mask is not None] for side in (found, truth)]
    if len(masks[0]) == len(found) and len(masks[1]) == len(truth):
        return mask_overlaps(masks[0], masks[1])
    return box_overlaps([shape.box for shape in found], [shape.box for shape in truth])


def _without(overlaps: NDArray[np.float64], matches: Mapping[int, int]) -> NDArray[np.float64]:
    left = overlaps.copy()
    left[list(matches.keys())] = 0.0
    left[:, list(matches.values())] = 0.0
    return left


def _ignored(image: Compared, explained: set[int]) -> frozenset[int]:
    crowds = [shape for shape in image.truth.objects if shape.crowd]
    return frozenset(
        place
        for place, shape in enumerate(image.found.objects)
        if place not in explained and any(_inside(shape, crowd) for crowd in crowds)
    )


def _inside(shape: Shape, crowd: Shape) -> bool:
    a, b = shape.box, crowd.box
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    inside = max(width, 0.0) * max(height, 0.0)
    return shape.class_name == crowd.class_name and inside >= _IN_CROWD * a.width * a.height


def _average(images: Sequence[Compared], classes: Sequence[str], *, masks: bool) -> Averages:
    ids = {name: place for place, name in enumerate(classes, start=1)}
    truth: JsonObject = {
        "info": {},
        "images": [{"id": i.id, "width": i.width, "height": i.height} for i in images],
        "categories": [{"id": ident, "name": name} for name, ident in ids.items()],
        "annotations": [],
    }
    results: list[JsonObject] = []
    for image in images:
        for shape in image.truth.objects:
            head = {"id": len(truth["annotations"]) + 1, "iscrowd": int(shape.crowd)}
            entry = _entry(image, shape, ids, masks=masks)
            truth["annotations"].append({**head, **_box(shape), **entry, "area": shape.area})
        results += [
            {**_entry(image, shape, ids, masks=masks), "score": shape.score}
            for shape in image.found.objects
        ]
    return average(truth, results, "segm" if masks else "bbox")


def _entry(image: Compared, shape: Shape, ids: Mapping[str, int], *, masks: bool) -> dict[str, Any]:
    entry = {"image_id": image.id, "category_id": ids[shape.class_name]}
    return {**entry, "segmentation": _rle(image, shape)} if masks else {**entry, **_box(shape)}


def _box(shape: Shape) -> dict[str, list[float]]:
    box = shape.box
    return {"bbox": [box.x, box.y, box.width, box.height]}


def _rle(image: Compared, shape: Shape) -> dict[str, Any]:
    mask: Mask = shape.mask or box_mask(shape.box, image.width, image.height)
    return {"size": [mask.height, mask.width], "counts": mask.counts}


def overall(paired: Sequence[Pairs], classes: Sequence[str]) -> Counts:
    """Count all classes together."""
    return sum(_per_class(paired, classes).values(), Counts())


def _per_class(paired: Sequence[Pairs], classes: Sequence[str]) -> dict[str, Counts]:
    tp: Counter[str] = Counter()
    found: Counter[str] = Counter()
    truth: Counter[str] = Counter()
    for pairs in paired:
        truth.update(shape.class_name for shape in pairs.truth)
        for shape, right in pairs.outcomes():
            found[shape.class_name] += 1
            tp[shape.class_name] += right
    return {
        name: Counts(tp[name], found[name] - tp[name], truth[name] - tp[name]) for name in classes
    }


def _confusion(paired: Sequence[Pairs], classes: Sequence[str]) -> NDArray[np.int64]:
    place = {name: n for n, name in enumerate((*classes, BACKGROUND))}
    matrix = np.zeros((len(place), len(place)), np.int64)
    for pairs in paired:
        met = {**pairs.hits, **pairs.confused}
        for n, shape in enumerate(pairs.image.found.objects):
            if n not in pairs.ignored:
                true = pairs.truth[met[n]].class_name if n in met else BACKGROUND
                matrix[place[true], place[shape.class_name]] += 1
        for n, shape in enumerate(pairs.truth):
            if n not in met.values():
                matrix[place[shape.class_name], place[BACKGROUND]] += 1
    return matrix


def _sizes(paired: Sequence[Pairs]) -> tuple[Size, ...]:
    sizes = []
    for name, low, high in _SIZES:
        hits = [
            n in pairs.hits.values()
            for pairs in paired
            for n, shape in enumerate(pairs.truth)
            if low <= shape.area < high
        ]
        sizes.append(Size(name, len(hits), sum(hits), rate(sum(hits), len(hits))))
    return tuple(sizes)


def _faults(pairs: Pairs) -> Iterable[Fault]:
    image = pairs.image
    met = {**pairs.hits, **pairs.confused, **pairs.misplaced}
    for n, shape in enumerate(image.found.objects):
        if n in pairs.hits or n in pairs.ignored:
            continue
        true = pairs.truth[met[n]] if n in met else None
        kind = FaultKind.SPURIOUS
        if n in met:
            kind = FaultKind.CONFUSED if n in pairs.confused else FaultKind.MISPLACED
        iou = float(pairs.overlaps[n, met[n]]) if n in met else None
        yield Fault(kind, shape.score, image, found=shape, true=true, iou=iou)
    for n, shape in enumerate(pairs.truth):
        if n not in met.values():
            share = shape.area / (image.width * image.height)
            yield Fault(FaultKind.MISSED, min(share**0.5, 1.0), image, true=shape)
