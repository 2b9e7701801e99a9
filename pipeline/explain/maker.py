"""Makes, scores and draws the maps of one run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline import rle
from pipeline.engines.base import Embedder, Explainer
from pipeline.engines.registry import explainer_of, load_embedder
from pipeline.evidence import Evidence
from pipeline.explain.values import FOLDER, WORDS, Explained, MapScores, Question
from pipeline.explain.words import said_of
from pipeline.infer.crops import crop_box
from pipeline.labels import CurrentImage, Kind, MergedLabel, Status
from pipeline.labels.runs import FinishedRun, RunImage
from pipeline.panels import side_by_side
from pipeline.records import Bitmap, Box, RgbImage
from pipeline.relevance import RelevanceMap, pixel_auroc, points_at, share_inside, spread
from pipeline.runfile import RunFile
from pipeline.store import durable_write
from pipeline.truth import TrueMasks

_SAME: Final = 0.5
"""Mask IoU from which an object of the truth is the one that a label means."""

_SURROUNDINGS: Final = 0.25
"""Shown around what the model saw of an object, as a share of its sides."""


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
        """Which kind of label the map explains; ``WORDS`` where it explains words."""
        return WORDS if self.label is None else self.label.content.kind.value

    @property
    def label_id(self) -> str | None:
        """Id of the label that is explained; None for words."""
        return None if self.label is None else self.label.id


class Maker:
    """Makes maps of the labels of a run.

    Args:
        run: The run file.
        finished: The run.
        question: What is asked.
        truth: Masks to hold maps against, instead of the run's own.
    """

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
        said = (image.sha256, target.label_id, target.words, self._question.method)
        name = hashlib.sha256(repr(said).encode()).hexdigest()[:16] + ".png"
        one = Explained(
            image.sha256,
            image.file_name,
            target.label_id,
            target.kind,
            target.words,
            None if target.label is None else target.label.facts.score,
            self._question.method,
            relevance,
            (pixels.shape[0], pixels.shape[1]),
            scores,
            name,
        )
        view = Box(0, 0, pixels.shape[1], pixels.shape[0])
        if target.box is not None:
            view = _grown(relevance.frame)
        self.folder.mkdir(exist_ok=True)
        panel = side_by_side(pixels, field, target.mask, view, said_of(one))
        durable_write(self.folder / name, panel)
        return one

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
        if target.box is not None:  # the model saw no more, and 3 % beside it are of what it saw
            left, top, right, bottom = crop_box(target.box, *mask.shape)
            field, mask = field[top:bottom, left:right], mask[top:bottom, left:right]
        return MapScores(
            target.held_against,
            points_at(field, mask),
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
