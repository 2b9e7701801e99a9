"""Why the model saw what it says: a relevance map per tag and named region, drawn and scored.

<workspace>/runs/<run-id>/explain/index.json    every map's scores
                                  <key>.png     image | map | mask

values   what is asked and answered, and the answers on disk
maker    makes, scores and draws maps
words    what stands on a panel
"""

from __future__ import annotations

import heapq
import math
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from pipeline.decoding import DecoderPool
from pipeline.engines.registry import identify
from pipeline.errors import ConfigError, ImageRejectedError
from pipeline.evidence import source_of
from pipeline.explain.maker import Maker
from pipeline.explain.values import Explained, Explanation, Question, read_index, write_index
from pipeline.labels import CurrentImage, CurrentLabels, Kind
from pipeline.labels.runs import FinishedRun, RunImage
from pipeline.records import StageName
from pipeline.runfile import RunFile
from pipeline.truth import TrueMasks

if TYPE_CHECKING:
    from pipeline.app import Listener

__all__ = ["Explained", "Explanation", "Question", "explain", "read_index"]


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
    maker = Maker(run, current.run, question, truth)
    listener.advance(1)
    listener.phase("explain", len(chosen))
    maps: list[Explained] = []
    skipped: dict[str, str] = {}
    with DecoderPool(run.config.images, run.config.input) as decoder:
        for image in chosen:
            source = source_of(image.image, run.config.images)
            try:
                pixels = None if source is None else decoder.decode(source).pixels
            except ImageRejectedError as error:
                skipped[image.image.file_name] = str(error)
            else:
                if pixels is None:
                    skipped[image.image.file_name] = "in none of the run file's image folders"
                else:
                    maps += maker.explain(image, pixels)
            listener.advance(1)
    write_index(maker.folder, current.run, maps)
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
