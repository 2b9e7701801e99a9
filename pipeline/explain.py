"""Why the model saw what it says: a relevance map per tag and named region, drawn and scored.

<workspace>/runs/<run-id>/explain/index.json    every map's scores
                                  <key>.png     image | map | mask
"""

from __future__ import annotations

import hashlib
import heapq
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline import rle
from pipeline.decoding import DecoderPool
from pipeline.engines.base import Embedder, Explainer
from pipeline.engines.registry import explainer_of, identify, load_embedder
from pipeline.errors import ConfigError, ImageRejectedError, WorkspaceError
from pipeline.evidence import Evidence
from pipeline.infer.crops import crop_box
from pipeline.labels import CurrentImage, CurrentLabels, Kind, MergedLabel, Status
from pipeline.labels.runs import FinishedRun, RunImage
from pipeline.panels import side_by_side
from pipeline.records import Bitmap, Box, JsonObject, RgbImage, SourceFile, StageName
from pipeline.relevance import (
    Method,
    RelevanceMap,
    pixel_auroc,
    points_at,
    share_inside,
    spread,
)
from pipeline.runfile import RunFile
from pipeline.store import durable_write
from pipeline.truth import TrueMasks

if TYPE_CHECKING:
    from pipeline.app import Listener

FOLDER: Final = "explain"
INDEX: Final = "index.json"
WORDS: Final = "words"
"""Kind of what is no label: words of the person who asks."""

_SAME: Final = 0.5
_SURROUNDINGS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be explained.

    Attributes:
        images: File names or patterns (``*.png``); none means those the run is least sure of.
        words: Class names, or any words; none means every tag and object.
        method: How maps are made.
        limit: Most images.
        truth: COCO file whose masks maps are held against.
        fade: Whether to score by deletion and insertion too: 34 more passes per map.
    """

    images: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    method: Method = Method.CHEFER
    limit: int = 12
    truth: Path | None = None
    fade: bool = False


@dataclass(frozen=True, slots=True)
class MapScores:
    """How good a map is; None where it takes a mask and there is none.

    Attributes:
        held_against: Whose mask: ``truth``, ``own`` (the object's), ``class`` (all objects of the
            tag's class in the image).
        points: Whether its peak lies on the mask.
        auroc: Chance that a pixel of the mask has more relevance than one beside it.
        inside: Share of the relevance that lies on the mask.
        deletion: Area below the deletion curve, lower is better.
        insertion: Area below the insertion curve, higher is better.
    """

    held_against: str | None = None
    points: bool | None = None
    auroc: float | None = None
    inside: float | None = None
    deletion: float | None = None
    insertion: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """One map.

    Attributes:
        sha256: Of the image.
        label_id: None for words that are no label of the image.
        kind: ``tag``, ``object`` or ``words``.
        words: What was asked for: the class, or the words.
        score: The label's.
        panel: File in the explain folder.
    """

    sha256: str
    file_name: str
    label_id: str | None
    kind: str
    words: str
    score: float | None
    method: Method
    relevance: RelevanceMap
    size: tuple[int, int]
    scores: MapScores
    panel: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What ``explain`` made.

    Attributes:
        folder: Where it lies.
        maps: One per label or words asked for.
        skipped: File name → why it could not be explained.
    """

    folder: Path
    run_id: str
    maps: tuple[Explained, ...]
    skipped: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    """What to explain: a direction in what part of an image."""

    label: MergedLabel | None
    words: str
    box: Box | None  # None: the whole image
    mask: Bitmap | None
    held_against: str | None

    @property
    def kind(self) -> str:
        return WORDS if self.label is None else self.label.content.kind.value


def explain(run: RunFile, question: Question, listener: Listener) -> Explanation:
    """Explain labels of the latest run, as they stand.

    Raises:
        ConfigError: Nothing is embedded, or the run file names another model than the run used,
            or no image has the name that was asked for.
        EngineError: The method does not suit the model.
        ReviewError: There is no finished run.
        WeightsError: The model's weights are missing.
    """
    current = CurrentLabels(run.config.workspace)
    _check_same_model(run, current.run)
    truth = None if question.truth is None else TrueMasks(question.truth)
    chosen = _chosen(current, question)
    listener.phase("load models", 1)
    maker = _Maker(run, current.run, question, truth)
    listener.advance(1)
    listener.phase("explain", len(chosen))
    maps: list[Explained] = []
    skipped: dict[str, str] = {}
    with DecoderPool(run.config.images, run.config.input) as decoder:
        for image in chosen:
            try:
                pixels = decoder.decode(_source(image.image, run.config.images)).pixels
            except ImageRejectedError as error:
                skipped[image.image.file_name] = str(error)
            else:
                maps += maker.explain(image, pixels)
            listener.advance(1)
    _write_index(maker.folder, current.run, maps)
    return Explanation(maker.folder, current.run.run_id, tuple(maps), skipped)


def _check_same_model(run: RunFile, finished: FinishedRun) -> None:
    config = run.config.stages.embed
    used = [row for row in finished.provenance.values() if row["stage"] == StageName.EMBED.value]
    if config is None or not used:
        raise ConfigError(
            f"{run.path}: relevance maps explain what stages.embed saw, and there is none in "
            f"{'the run file' if config is None else f'run {finished.run_id}'}"
        )
    weights = identify(config, run.config, run.base).weights
    if weights != used[0]["weights"]:
        raise ConfigError(
            f"{run.path}: run {finished.run_id} was made with {used[0]['model']} "
            f"({used[0]['weights'][:12]}), but stages.embed is now {weights[:12]}. Run again, "
            "so that what is explained is what decided"
        )


def _chosen(current: CurrentLabels, question: Question) -> list[CurrentImage]:
    if not question.images:
        return heapq.nsmallest(question.limit, current, key=_sureness)
    names = question.images
    found = [image for image in current if any(_is_named(image.image, name) for name in names)]
    for name in names:
        if not any(_is_named(image.image, name) for image in found):
            example = next((image.image.file_name for image in current), "none")
            raise ConfigError(
                f"--images {name!r}: no image of run {current.run.run_id} has that name; "
                f"names are like {example!r}, patterns like '*.jpg'"
            )
    return found


def _is_named(image: RunImage, name: str) -> bool:
    return name == image.path or fnmatch(image.file_name, name)


def _sureness(image: CurrentImage) -> float:
    """Least sure first: how near the image's closest call was; images without labels come last."""
    margins = [
        label.facts.margin
        for label in image.labels
        if label.facts.margin is not None and label.content.kind is not Kind.TEXT
    ]
    return min(margins, default=math.inf)


def _source(image: RunImage, roots: Sequence[Path]) -> SourceFile:
    path = Path(image.path)
    for place, root in enumerate(roots):
        if path.is_relative_to(root):
            below = path.relative_to(root).as_posix()
            return SourceFile(place, below, image.sha256, image.n_bytes)
    raise WorkspaceError(
        f"{path} is in none of the run file's image folders any more; run again first"
    )


class _Maker:
    """Makes, scores and draws the maps of one run."""

    def __init__(
        self, run: RunFile, finished: FinishedRun, question: Question, truth: TrueMasks | None
    ) -> None:
        assert run.config.stages.embed is not None, "was checked"
        self._embedder: Embedder = load_embedder(run.config.stages.embed, run.config, run.base)
        self._explainer: Explainer = explainer_of(self._embedder)
        self._evidence = Evidence(finished)
        self._question, self._truth = question, truth
        self._templates = run.config.policy.templates
        self._vectors: dict[str, NDArray[np.float32]] = {}
        self.folder = finished.folder / FOLDER

    def explain(self, image: CurrentImage, pixels: RgbImage) -> Iterator[Explained]:
        """Explain one image.

        Yields:
            A map per label, drawn and scored.
        """
        targets = list(self._targets(image))
        whole = [target for target in targets if target.box is None]
        vectors = np.array([self._vector(target.words) for target in whole], np.float32)
        maps = self._explainer.maps(pixels, vectors, self._question.method) if whole else []
        for target, relevance in zip(whole, maps, strict=True):
            yield self._finished(image.image, pixels, pixels, target, relevance)
        for target in targets:
            if target.box is not None:
                left, top, right, bottom = crop_box(target.box, *pixels.shape[:2])
                crop = np.ascontiguousarray(pixels[top:bottom, left:right])
                vector = self._vector(target.words)[None]
                relevance = self._explainer.maps(crop, vector, self._question.method)[0]
                placed = relevance.moved(left, top)
                yield self._finished(image.image, pixels, crop, target, placed)

    def _targets(self, image: CurrentImage) -> Iterator[_Target]:
        wanted = self._question.words
        kinds = {Kind.TAG, Kind.OBJECT}
        labels = [
            label
            for label in image.labels
            if label.content.kind in kinds and label.status is not Status.REJECTED
        ]
        for label in labels:
            if not wanted or label.content.label in wanted:
                yield self._target(image, label, labels)
        known = {label.content.label for label in labels}
        for words in wanted:
            if words not in known:
                mask, whose = self._class_mask(image.image, words, labels)
                yield _Target(None, words, None, mask, whose)

    def _target(
        self, image: CurrentImage, label: MergedLabel, labels: Iterable[MergedLabel]
    ) -> _Target:
        content = label.content
        if content.kind is Kind.TAG:
            mask, whose = self._class_mask(image.image, content.label, labels)
            return _Target(label, content.label, None, mask, whose)
        assert content.box is not None, "an object has a box"
        own = None if content.mask is None else rle.decode(content.mask)
        if self._truth is None or content.mask is None:
            return _Target(label, content.label, content.box, own, "own" if own is not None else "")
        others = [one.mask for one in self._truth[image.image.file_name]]
        shares = rle.iou_matrix([content.mask, *others])[0, 1:]
        best = int(shares.argmax()) if len(shares) else -1
        mask = rle.decode(others[best]) if best >= 0 and shares[best] >= _SAME else None
        return _Target(label, content.label, content.box, mask, "truth")

    def _class_mask(
        self, image: RunImage, name: str, labels: Iterable[MergedLabel]
    ) -> tuple[Bitmap | None, str]:
        if self._truth is not None:
            masks = [one.mask for one in self._truth[image.file_name] if one.label == name]
        else:
            masks = [
                label.content.mask
                for label in labels
                if label.content.label == name and label.content.mask is not None
            ]
        if not masks:
            return None, ""
        union = np.logical_or.reduce([rle.decode(mask) for mask in masks])
        return union, "class" if self._truth is None else "truth"

    def _vector(self, words: str) -> NDArray[np.float32]:
        """Vector of a class exactly as the run decided with it; of other words, made alike."""
        vocabulary = self._evidence.vocabulary
        if vocabulary is not None and words in vocabulary.names:
            row: NDArray[np.float32] = vocabulary.classes[vocabulary.names.index(words)].astype(
                np.float32
            )
            return row
        if words not in self._vectors:
            prompts = [template.replace("{}", words) for template in self._templates]
            mean = self._embedder.embed_texts(prompts).mean(axis=0)
            self._vectors[words] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return self._vectors[words]

    def _finished(
        self,
        image: RunImage,
        pixels: RgbImage,
        seen: RgbImage,
        target: _Target,
        relevance: RelevanceMap,
    ) -> Explained:
        field = spread(relevance, *pixels.shape[:2])
        scores = self._scored(seen, target, relevance, field)
        said = (image.sha256, target.label and target.label.id, target.words, self._question.method)
        name = hashlib.sha256(repr(said).encode()).hexdigest()[:16] + ".png"
        view = Box(0, 0, pixels.shape[1], pixels.shape[0])
        if target.box is not None:
            view = _grown(relevance.frame)
        self.folder.mkdir(exist_ok=True)
        durable_write(self.folder / name, side_by_side(pixels, field, target.mask, view))
        return Explained(
            image.sha256,
            image.file_name,
            target.label and target.label.id,
            target.kind,
            target.words,
            target.label and target.label.facts.score,
            self._question.method,
            relevance,
            (pixels.shape[0], pixels.shape[1]),
            scores,
            name,
        )

    def _scored(
        self, seen: RgbImage, target: _Target, relevance: RelevanceMap, field: NDArray[np.float32]
    ) -> MapScores:
        fading = None
        if self._question.fade:
            vector = self._vector(target.words)
            fading = self._explainer.fade(seen, vector, relevance.cells)
        areas = fading and (round(fading.deletion_area, 4), round(fading.insertion_area, 4))
        mask = target.mask
        if mask is None or not mask.any():
            return MapScores(None, None, None, None, *(areas or (None, None)))
        points = points_at(field, mask)
        if target.box is not None:  # beyond the crop the map is 0 and could not be wrong
            left, top, right, bottom = crop_box(target.box, *mask.shape)
            field, mask = field[top:bottom, left:right], mask[top:bottom, left:right]
        return MapScores(
            target.held_against,
            points,
            _known(pixel_auroc(field, mask)),
            _known(share_inside(field, mask)),
            *(areas or (None, None)),
        )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _grown(frame: Box) -> Box:
    x, y = _SURROUNDINGS * frame.width, _SURROUNDINGS * frame.height
    left, top = max(0.0, frame.x - x), max(0.0, frame.y - y)
    right, bottom = frame.x + frame.width + x, frame.y + frame.height + y
    return Box(left, top, right - left, bottom - top)


def _write_index(folder: Path, run: FinishedRun, maps: Sequence[Explained]) -> None:
    """Add maps to those made before; a map made again takes its old one's place."""
    rows = {row["panel"]: row for row in read_index(run.folder)}
    rows |= {one.panel: _row(one) for one in maps}
    folder.mkdir(exist_ok=True)
    text = json.dumps({"run_id": run.run_id, "maps": list(rows.values())}, indent=1)
    durable_write(folder / INDEX, text.encode())


def _row(one: Explained) -> JsonObject:
    names = ("sha256", "file_name", "label_id", "kind", "words", "score", "panel")
    row: dict[str, Any] = {name: getattr(one, name) for name in names}
    return {**row, "method": one.method.value, **asdict(one.scores)}


def read_index(run: Path) -> list[JsonObject]:
    """Give the rows of all maps of a run; none if it was never explained.

    Args:
        run: The run folder.
    """
    try:
        document: JsonObject = json.loads((run / FOLDER / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    rows: list[JsonObject] = document["maps"]
    return rows
