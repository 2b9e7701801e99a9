"""Puts an export together: select, group, split, write, and one swap at the end."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np

from pipeline.coco.document import categories
from pipeline.config import InputConfig
from pipeline.errors import ConfigError, ExportError
from pipeline.export.example import (
    UNSPLIT,
    Choice,
    Example,
    ExportReport,
    ExportRequest,
    Plan,
    Tally,
    Writer,
    class_of,
)
from pipeline.export.folder import ExportFolder, locked
from pipeline.export.memory import remember, remembered
from pipeline.export.near import close_hashes, close_vectors, grouped, perceptual_hash
from pipeline.export.pictures import Pictures
from pipeline.export.registry import format_named
from pipeline.export.select import Selection, class_configs, review_state, sources
from pipeline.export.splits import NAMES, Member, check_shares, deal, spread
from pipeline.export.vectors import image_vectors
from pipeline.labels import CurrentLabels, Kind
from pipeline.records import JsonObject
from pipeline.runfile import RunFile
from pipeline.store.parts import durable_write
from pipeline.write import LABELS

_VERSION: Final = 1


def export(run: RunFile, request: ExportRequest) -> ExportReport:
    """Write the labels of a workspace as they stand, for training.

    Args:
        run: The run file; its latest run is exported, with what people decided.
        request: What, how and where.

    Raises:
        ConfigError: The request is wrong, or something else lies at its folder.
        ExportError: A source file has changed since the run, or the disk is full.
        ReviewError: There is no finished run.
    """
    _check(run, request)
    current = CurrentLabels(run.config.workspace)
    with locked(request.out):
        return _Export(run, request, current).write()


def _check(run: RunFile, request: ExportRequest) -> None:
    if request.split:
        check_shares(request.split)
    if not 0 < request.min_iou <= 1:
        raise ConfigError(f"--min-iou {request.min_iou}: expected more than 0, at most 1")
    out = Path(os.path.realpath(request.out))
    for folder in run.config.images:
        real = Path(os.path.realpath(folder))
        if out == real or real in out.parents or out in real.parents:
            raise ConfigError(
                f"--out {request.out}: lies in the image folder {folder}, or around it; exports "
                "must not become images of the next run: name a folder elsewhere"
            )


@dataclass(frozen=True, slots=True)
class _Split:
    """Examples with their splits, and what is to be said of it."""

    examples: list[Example]
    groups: int
    spread: int


class _Export:
    def __init__(self, run: RunFile, request: ExportRequest, current: CurrentLabels) -> None:
        self._run, self._request, self._current = run, request, current
        self._folder = ExportFolder(request.out)
        self._format = format_named(request.format)
        self._selection = Selection(current, request.status, request.classes)
        settings = current.run.config["input"]
        self._settings = InputConfig.model_validate_json(json.dumps(settings))
        self._review = review_state(run.config.workspace)

    def write(self) -> ExportReport:
        """Write the training set; the folder appears when it is whole.

        Raises:
            ExportError: No image is selected, or the folder cannot be written.
        """
        examples = list(self._selection.examples())
        if not examples:
            raise ExportError(
                f"{self._run.config.workspace}: nothing to export: no image of run "
                f"{self._current.run.run_id} is {self._request.status.value}"
            )
        with Pictures(self._selection.roots, self._settings) as pictures:
            split = self._split(examples, pictures)
            try:
                return self._write(split, pictures)
            except OSError as error:
                raise ExportError(
                    f"{self._request.out}: cannot be written: {error}; what lay there before "
                    "is untouched"
                ) from error

    def _write(self, split: _Split, pictures: Pictures) -> ExportReport:
        self._folder.begin({"format": self._request.format, "link": self._request.link})
        with ExitStack() as opened:
            writer = self._format(self._plan(split.examples, opened))
            for example in split.examples:
                name = writer.image_path(example)
                if name is None:
                    writer.add(example, pictures.data(example))
                else:
                    self._put(example, name, pictures)
                    writer.add(example, b"")
            writer.finish()
        return self._finish(split, writer)

    def _put(self, example: Example, name: str, pictures: Pictures) -> None:
        path = self._folder.place(name)
        left = self._folder.left(name)
        if left is not None and _is_whole(left, example):
            left.replace(path)
        elif self._request.link and example.picture.plain:
            pictures.data(example)  # what is linked to must be what was labelled
            path.symlink_to(pictures.path(example.picture))
        else:
            durable_write(path, pictures.data(example))

    def _finish(self, split: _Split, writer: Writer) -> ExportReport:
        counts = Counter(example.split for example in split.examples)
        images = {name: counts[name] for name in self._splits()}
        left_out = dict(sorted((self._selection.left_out + writer.tally.left_out).items()))
        labels = dict(sorted(writer.tally.written.items()))
        report = {"images": images, "labels": labels, "left_out": left_out}
        manifest = self._manifest() | report | {"examples": _rows(split.examples)}
        size, unchanged = self._folder.finish(manifest)
        return ExportReport(
            self._request.format,
            self._request.out,
            self._current.run.run_id,
            images,
            labels,
            left_out,
            tuple(self._notes(split, writer.tally)),
            size,
            unchanged,
        )

    def _plan(self, examples: Sequence[Example], opened: ExitStack) -> Plan:
        configs = class_configs(self._current, self._request.classes)
        entries, people = sources(self._current, self._review)
        listed = categories(configs)
        if self._request.classes and "text" not in self._request.classes:
            listed = listed[:-1]
        used = {(label.content.kind, class_of(label)) for e in examples for label in e.labels}
        tagged = {name for kind, name in used if kind is Kind.TAG}
        drawn = {name for kind, name in used if kind is not Kind.TAG}
        # People may tag with a class that only names regions, and the other way round.
        tags = [of.name for of in configs if of.use != "region" or of.name in tagged]
        no_shapes = {of.name for of in configs if of.use == "tag" and of.name not in drawn}
        shapes = [str(entry["name"]) for entry in listed if entry["name"] not in no_shapes]
        stages = {str(entry["stage"]): key for key, entry in entries.items()}
        return Plan(
            self._run.config.name,
            self._folder.path,
            listed,
            shapes,
            tags,
            self._splits(),
            entries,
            people,
            stages,
            self._request.min_iou,
            opened,
        )

    def _splits(self) -> Sequence[str]:
        return NAMES[: len(self._request.split)] or (UNSPLIT,)

    def _split(self, examples: list[Example], pictures: Pictures) -> _Split:
        shares = self._request.split
        if not shares:
            return _Split(examples, len(examples), 0)
        groups = self._groups(examples, pictures)
        by_key = {example.sha256: example for example in examples}
        members = [[_member(by_key[key]) for key in group] for group in groups]
        known = remembered(self._run.config.workspace, shares)
        splits = deal(members, shares, known)
        remember(self._run.config.workspace, shares, known | splits)
        dealt = [replace(example, split=splits[example.sha256]) for example in examples]
        return _Split(dealt, len(groups), spread(members, splits))

    def _groups(self, examples: list[Example], pictures: Pictures) -> list[list[str]]:
        keys = [example.sha256 for example in examples]
        vectors = image_vectors(self._current.run, keys)
        looked_at = set(keys)
        if vectors is not None:
            looked_at = close_vectors(keys, np.stack([vectors[key] for key in keys]))
        hashes = {
            example.sha256: perceptual_hash(pictures.pixels(example.picture))
            for example in examples
            if example.sha256 in looked_at
        }
        return grouped(keys, close_hashes(hashes))

    def _manifest(self) -> JsonObject:
        run, request = self._current.run, self._request
        labels = hashlib.sha256((run.folder / LABELS).read_bytes()).hexdigest()
        return {
            "version": _VERSION,
            "autolabel": version("autolabel-pipeline"),
            "format": request.format,
            "run": {"id": run.run_id, "name": self._run.config.name, "labels_sha256": labels},
            "policy": run.config["policy"],
            "reviews": self._review,
            "status": request.status.value,
            "classes": list(request.classes),
            "split": list(request.split),
            "min_iou": request.min_iou,
            "provenance": run.provenance,
        }

    def _notes(self, split: _Split, tally: Tally) -> list[str]:
        notes = []
        if self._current.run.toy_models:
            notes.append("labels of the embedded toy models: they know drawn scenes only")
        if self._selection.waiting and self._request.status is Choice.ALL:
            notes.append(f"{self._selection.waiting} images have labels that wait for review")
        elif self._selection.waiting:
            notes.append(
                f"{self._selection.waiting} images lack labels that wait for review: what they "
                "show of them is trained as background"
            )
        if near := len(split.examples) - split.groups:
            notes.append(f"{near} images are near duplicates of others and stay in their split")
        if split.spread:
            notes.append(
                f"{split.spread} groups of near duplicates lie in several splits: their images "
                "were dealt before they were known to be near, and are not moved"
            )
        if tally.fallbacks:
            notes.append(f"{tally.fallbacks} masks that polygons cannot hold are run lengths")
        if tally.below:
            notes.append(
                f"{tally.below} masks keep less than IoU {self._request.min_iou} as polygons; "
                f"the worst {tally.lowest_iou:.3f}"
            )
        elif tally.lowest_iou < 1:
            notes.append(f"lowest IoU of a polygon with its mask: {tally.lowest_iou:.4f}")
        return notes


def _is_whole(path: Path, example: Example) -> bool:
    """Whether a killed export left this image file; PNGs of ours are there whole or not at all."""
    if not example.picture.plain:
        return True
    return hashlib.sha256(path.read_bytes()).hexdigest() == example.sha256


def _member(example: Example) -> Member:
    names = {f"{label.content.kind.value} {label.content.label}" for label in example.labels}
    return Member(example.sha256, frozenset(names))


def _rows(examples: Sequence[Example]) -> list[JsonObject]:
    return [
        {
            "name": example.file_name,
            "source": example.name,
            "sha256": example.sha256,
            "split": example.split,
            "labels": {
                kind.value: len(list(group))
                for kind, group in groupby(
                    sorted((label.content.kind for label in example.labels), key=list(Kind).index)
                )
            },
        }
        for example in examples
    ]
