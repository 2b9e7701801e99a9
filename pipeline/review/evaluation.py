"""An evaluation as FiftyOne knows it: looked at in the App's Model Evaluation panel.

The matches are those of ``autolabel evaluate``; FiftyOne computes none. What was measured is what
the run wrote, so neither side is among the labels that people review: the truth and what was found
have fields of their own, which publish and pull do not know. They are written without touching
when a sample was last modified, so that nobody who has it open loses an edit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bson.binary import Binary
from bson.objectid import ObjectId
from pymongo import UpdateMany, UpdateOne

from pipeline import rle
from pipeline.errors import ReviewError
from pipeline.labels.log import locked_reviews
from pipeline.review.address import URI_SETTING
from pipeline.review.database import open_database
from pipeline.review.documents import pack_array
from pipeline.review.fields import COUNTS, EVALUATION, EVALUATION_FIELDS, PREDICTIONS, TRUTH
from pipeline.review.look import arrange_sidebar
from pipeline.review.masks import relative
from pipeline.review.projection import database_faults, dataset_name
from pipeline.runfile import RunFile

if TYPE_CHECKING:
    from pipeline.evaluate import Evaluated
    from pipeline.evaluate.objects import Pairs
    from pipeline.metrics.cocoeval import Averages
    from pipeline.truth import Shape

Match = tuple[str | None, str | None, float | None, float | None, str | None, str | None]
"""As FiftyOne has it: true and found class, IoU, score, ids of both labels."""

_SIDES: Final = {
    TRUTH: "True objects, as autolabel evaluate read them",
    PREDICTIONS: "Objects as the run wrote them, before anybody reviewed them",
}
_BATCH: Final = 64
_NOBODY: Final = ""


def show_evaluation(run: RunFile, evaluated: Evaluated) -> int:
    """Store an evaluation in the dataset, in place of an older one; gives the samples it is on.

    Args:
        run: The run file; its dataset must have been published.
        evaluated: The evaluation.

    Raises:
        DatabaseError: The database cannot be started or reached, or is lost on the way.
        ReviewError: There is no dataset yet, the truth has no objects, a field is somebody
            else's, or another publish is at work.
    """
    workspace, name = run.config.workspace, dataset_name(run)
    if evaluated.objects is None:
        raise ReviewError("the truth has no objects, and FiftyOne's evaluation is about objects")
    with locked_reviews(workspace), open_database(workspace), database_faults("evaluate"):
        import fiftyone as fo

        if not fo.dataset_exists(name):
            raise ReviewError(
                f"{name}: no such dataset yet; make it with: autolabel publish CONFIG"
            )
        return _Writer(fo.load_dataset(name), evaluated).write()


def is_published(workspace: Path) -> bool:
    """Tell whether there may be a dataset, without a look into the database."""
    return bool(os.environ.get(URI_SETTING)) or (workspace / "fiftyone" / "db").is_dir()


class _Writer:
    """Writes one evaluation into a dataset."""

    def __init__(self, dataset: Any, evaluated: Evaluated) -> None:  # noqa: ANN401
        from fiftyone.core.odm import get_db_conn

        assert evaluated.objects is not None, "asked before"
        self._dataset, self._evaluated = dataset, evaluated
        self._figures, self._pairs = evaluated.objects, evaluated.objects.pairs
        self._samples = get_db_conn()[dataset._sample_collection_name]  # noqa: SLF001

    def write(self) -> int:
        """Write fields, then the evaluation that stands on them."""
        method = self._method()
        for field in _SIDES:
            self._declare(field)
        # What is killed on the way leaves no evaluation, rather than one of other labels.
        if EVALUATION in self._dataset.list_evaluations():
            method.delete_run(self._dataset, EVALUATION, cleanup=False)
        unset = {"$unset": dict.fromkeys(EVALUATION_FIELDS, "")}
        self._samples.bulk_write([UpdateMany({}, unset)])
        matches = list(self._write_samples())
        self._dataset.reload()
        shown = self._dataset.exists(TRUTH)
        method.register_run(shown, EVALUATION)
        method.register_samples(shown, EVALUATION)
        method.save_run_results(shown, EVALUATION, self._results(method, shown, matches))
        self._protect(is_protected=True)
        arrange_sidebar(self._dataset)
        return len(shown)

    def _declare(self, name: str) -> None:
        """Make a field, unless it is there.

        Raises:
            ReviewError: It is there, and was not made here.
        """
        import fiftyone as fo

        field = self._dataset.get_field(name)
        if field is None:
            self._dataset.add_sample_field(
                name,
                fo.EmbeddedDocumentField,
                embedded_doc_type=fo.Detections,
                description=_SIDES[name],
                info={"made_by": "autolabel evaluate"},
            )
            path = f"{name}.detections.autolabel_id"
            self._dataset.add_sample_field(path, fo.StringField)
        elif "made_by" not in (field.info or {}):
            raise ReviewError(
                f"{self._dataset.name}: its field {name!r} is somebody else's; rename it: "
                f"dataset.rename_sample_field({name!r}, …)"
            )
        self._protect(is_protected=False)

    def _protect(self, *, is_protected: bool) -> None:
        field = self._dataset.get_field(TRUTH)
        if bool(field.read_only) is not is_protected:
            field.read_only = is_protected
            field.save()

    def _method(self) -> Any:  # noqa: ANN401
        from fiftyone.utils.eval.coco import COCOEvaluationConfig

        masks = self._figures.mask is not None
        settings = self._evaluated.document["settings"]
        config = COCOEvaluationConfig(
            PREDICTIONS, TRUTH, settings["iou"], classwise=False, use_masks=masks, compute_mAP=True
        )
        config.run_id = self._evaluated.document["run_id"]
        config.truth = self._evaluated.document["truth"]["path"]
        return config.build()

    def _write_samples(self) -> Iterator[Match]:
        """Write the labels of every image.

        Yields:
            What they match.
        """
        updates = []
        for pairs in self._pairs:
            labelled = _Labelled(pairs)
            updates.append(UpdateOne({"sha256": pairs.image.sha256}, {"$set": labelled.fields()}))
            if len(updates) == _BATCH:
                self._samples.bulk_write(updates, ordered=False)
                updates = []
            yield from labelled.matches()
        if updates:
            self._samples.bulk_write(updates, ordered=False)

    def _results(self, method: Any, shown: Any, matches: Sequence[Match]) -> Any:  # noqa: ANN401
        from fiftyone.utils.eval.coco import COCODetectionResults

        averages: Averages = self._figures.mask or self._figures.box
        curves = averages.curves
        return COCODetectionResults(
            shown,
            method.config,
            EVALUATION,
            matches,
            curves.precision,
            curves.recalls,
            curves.ious,
            list(self._figures.classes),
            recall_sweep=curves.recall,
            thresholds=curves.scores,
            backend=method,
        )


class _Labelled:
    """The labels of one image with what the evaluation says of each."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._found, self._truth = pairs.image.found.objects, pairs.truth
        crowds = [shape for shape in pairs.image.truth.objects if shape.crowd]
        self._crowds = [self._document(shape, ObjectId()) for shape in crowds]
        self._found_ids = [ObjectId() for _ in self._found]
        self._true_ids = [ObjectId() for _ in self._truth]
        self._met = {**pairs.hits, **pairs.confused}

    def fields(self) -> Mapping[str, Any]:
        """Both fields of the sample, and its counts."""
        met = {place: n for n, place in self._met.items()}
        hits = set(self._pairs.hits.values())
        found = [self._found_document(n) for n in range(len(self._found))]
        true = [
            self._document(shape, self._true_ids[n])
            | self._says("tp" if n in hits else "fn", met.get(n), n)
            for n, shape in enumerate(self._truth)
        ]
        n_hits = len(self._pairs.hits)
        n_found = len(self._found) - len(self._pairs.ignored)
        counts = (n_hits, n_found - n_hits, len(self._truth) - n_hits)
        return {
            TRUTH: _detections([*true, *self._crowds]),
            PREDICTIONS: _detections(found),
            **dict(zip(COUNTS, counts, strict=True)),
        }

    def matches(self) -> Iterator[Match]:
        """Give who is whom, as FiftyOne has it.

        Yields:
            A pair, or one side alone.
        """
        for n, shape in enumerate(self._found):
            if n in self._pairs.ignored:
                continue
            ident, place = str(self._found_ids[n]), self._met.get(n)
            if place is None:
                yield None, shape.class_name, None, shape.score, None, ident
                continue
            iou, true = float(self._pairs.overlaps[n, place]), self._truth[place]
            other = str(self._true_ids[place])
            yield true.class_name, shape.class_name, iou, shape.score, other, ident
        for place, true in enumerate(self._truth):
            if place not in self._met.values():
                yield true.class_name, None, None, None, str(self._true_ids[place]), None

    def _found_document(self, n: int) -> dict[str, Any]:
        shape = self._found[n]
        document = self._document(shape, self._found_ids[n]) | {"confidence": shape.score}
        if n in self._pairs.ignored:
            return document
        outcome, place = "tp" if n in self._pairs.hits else "fp", self._met.get(n)
        return document | self._says(outcome, n, place, is_truth=False)

    def _says(
        self, outcome: str, n: int | None, place: int | None, *, is_truth: bool = True
    ) -> dict[str, Any]:
        """What the evaluation says of a label: right or wrong, and its partner."""
        if n is None or place is None:
            return {EVALUATION: outcome, f"{EVALUATION}_id": _NOBODY, f"{EVALUATION}_iou": None}
        partner = self._found_ids[n] if is_truth else self._true_ids[place]
        iou = float(self._pairs.overlaps[n, place])
        return {
            EVALUATION: outcome,
            f"{EVALUATION}_id": str(partner),
            f"{EVALUATION}_iou": iou,
        }

    def _document(self, shape: Shape, ident: ObjectId) -> dict[str, Any]:
        image, mask = self._pairs.image, shape.mask
        box = (rle.tight_box(mask) if mask is not None else None) or shape.box
        pixels = None if mask is None else Binary(pack_array(rle.crop_bitmap(mask, box)))
        return {
            "_id": ident,
            "_cls": "Detection",
            "attributes": {},
            "tags": [],
            "label": shape.class_name,
            "bounding_box": relative(box, image.width, image.height),
            "mask": pixels,
            "iscrowd": shape.crowd,
            "autolabel_id": shape.id,
        }


def _detections(labels: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {"_cls": "Detections", "detections": list(labels)}
