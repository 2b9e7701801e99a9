"""Names of the dataset's fields that reviewers see: one place for the App's side of the house."""

from __future__ import annotations

from typing import Final

OBJECTS: Final = "objects"
TEXTS: Final = "texts"
TAGS: Final = "scene_tags"

LISTS: Final = {
    OBJECTS: f"{OBJECTS}.detections",
    TEXTS: f"{TEXTS}.polylines",
    TAGS: f"{TAGS}.classifications",
}
"""Field → path of its list of labels. Only these three are reviewed and counted."""

PENDING: Final = "pending"
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
EDITED: Final = "edited"
STATES: Final = (PENDING, ACCEPTED, REJECTED, EDITED)

DONE: Final = "done"
QUARANTINED: Final = "quarantined"

WORDS: Final = "words"
"""Transcriptions of an image in one list: for reading only, derived from ``TEXTS``."""

TRUTH: Final = "truth"
"""True objects of the images that were measured: read-only, never reviewed."""

PREDICTIONS: Final = "predictions"
"""Objects as the run wrote them, before anybody reviewed them: what was measured."""

EVALUATION: Final = "autolabel_eval"
"""Key of the evaluation, and of what it says of each label."""

COUNTS: Final = tuple(f"{EVALUATION}_{outcome}" for outcome in ("tp", "fp", "fn"))
EVALUATION_FIELDS: Final = (TRUTH, PREDICTIONS, *COUNTS)
