"""Relevance maps as heatmaps of samples: looked at in the App, never reviewed.

A field per tag, ``relevance_<tag>``, and one for all objects of an image, ``relevance_objects``.
Publish and pull know the three label fields, the status and the tags of a sample, nothing else: a
heatmap is no edit, and no publish removes it. It carries the run that it explains.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ReviewError
from pipeline.labels.log import locked_reviews
from pipeline.records import Box
from pipeline.relevance import RelevanceMap, spread
from pipeline.review.database import open_database
from pipeline.review.projection import database_faults, dataset_name
from pipeline.runfile import RunFile

if TYPE_CHECKING:
    from pipeline.explain import Explained

_PREFIX: Final = "relevance_"
_OBJECTS: Final = f"{_PREFIX}objects"
_SIDE: Final = 192
"""Longest side of a heatmap, in pixels: the App stretches it, and the models' grids are coarser."""

_HIGHEST: Final = 255


def show_heatmaps(run: RunFile, run_id: str, maps: Iterable[Explained]) -> int:
    """Put maps on the samples of their images; gives how many samples got any.

    Args:
        run: The run file; its dataset must have been published.
        run_id: Of the run that was explained.
        maps: Its maps.

    Raises:
        DatabaseError: The database cannot be started or reached, or is lost on the way.
        ReviewError: There is no dataset yet, or another publish is at work.
    """
    workspace, name = run.config.workspace, dataset_name(run)
    fields = _fields(maps)
    with locked_reviews(workspace), open_database(workspace), database_faults("explain"):
        import fiftyone as fo

        if not fo.dataset_exists(name):
            raise ReviewError(
                f"{name}: no such dataset yet; make it with: autolabel publish CONFIG"
            )
        dataset = fo.load_dataset(name)
        for field in sorted({field for one in fields.values() for field in one}):
            if not dataset.has_sample_field(field):
                document = fo.Heatmap
                dataset.add_sample_field(
                    field, fo.EmbeddedDocumentField, embedded_doc_type=document
                )
        return _write(fo, dataset, run_id, fields)


def _write(
    fo: Any,  # noqa: ANN401
    dataset: Any,  # noqa: ANN401
    run_id: str,
    fields: dict[str, dict[str, NDArray[np.uint8]]],
) -> int:
    written = 0
    chosen = dataset.match(fo.ViewField("sha256").is_in(list(fields)))
    for sample in chosen.iter_samples(autosave=False, progress=False):
        for field, values in fields[sample["sha256"]].items():
            sample[field] = fo.Heatmap(map=values, range=[0, _HIGHEST], run_id=run_id)
        sample.save()
        written += 1
    return written


def _fields(maps: Iterable[Explained]) -> dict[str, dict[str, NDArray[np.uint8]]]:
    """Image digest → field → (h, w) values; objects of an image share one field."""
    fields: dict[str, dict[str, NDArray[np.uint8]]] = defaultdict(dict)
    for one in maps:
        field = _OBJECTS if one.kind == "object" else field_name(one.words)
        values = _values(one)
        before = fields[one.sha256].get(field)
        fields[one.sha256][field] = values if before is None else np.maximum(before, values)
    return fields


def _values(one: Explained) -> NDArray[np.uint8]:
    scale = min(1.0, _SIDE / max(one.size))
    height, width = (max(1, round(side * scale)) for side in one.size)
    shrunk = _shrunk(one, height / one.size[0], width / one.size[1])
    return np.round(_HIGHEST * spread(shrunk, height, width)).astype(np.uint8)


def _shrunk(one: Explained, down: float, across: float) -> RelevanceMap:
    frame = one.relevance.frame
    box = Box(frame.x * across, frame.y * down, frame.width * across, frame.height * down)
    return RelevanceMap(one.relevance.cells, box)


def field_name(words: str) -> str:
    """Name of the field of a tag: letters, digits and underscores, as FiftyOne asks."""
    return _PREFIX + (re.sub(r"[^0-9a-z]+", "_", words.casefold()).strip("_")[:40] or "words")
