"""What a reviewer can do with labels, by button, key (``keys.js``) or the operator browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import fiftyone.core.json as foj  # noqa: TID253
import fiftyone.operators as foo  # noqa: TID253
from fiftyone.operators import types  # noqa: TID253

from pipeline.review.fields import (
    ACCEPTED,
    DONE,
    EDITED,
    LISTS,
    OBJECTS,
    PENDING,
    QUARANTINED,
    REJECTED,
    TAGS,
    TEXTS,
)
from pipeline.review.plugin.edits import decide
from pipeline.review.plugin.panel import refresh_panels
from pipeline.review.plugin.targets import LabelRef, Targets, labels_of, targets

_PLUGIN: Final = "@autolabel/review"
_MODAL: Final = types.Places.SAMPLES_VIEWER_ACTIONS
_GRID: Final = types.Places.SAMPLES_GRID_SECONDARY_ACTIONS
_MOST_LINES: Final = 50
_SURE: Final = 0.9


class _Operator(foo.Operator):  # type: ignore[misc]
    """An operator with a button; it asks only when it has to."""

    NAME: ClassVar[str]
    LABEL: ClassVar[str]
    ICON: ClassVar[str]
    PLACE: ClassVar[Any] = _MODAL
    ASKS: ClassVar[bool] = True

    @property
    def config(self) -> Any:  # noqa: ANN401
        """How FiftyOne lists and starts the operator."""
        return foo.OperatorConfig(
            name=self.NAME,
            label=self.LABEL,
            icon=self.ICON,
            dynamic=True,
            allow_immediate_execution=True,
        )

    def resolve_placement(self, ctx: Any) -> Any:  # noqa: ANN401, ARG002
        """Put the operator's button where it belongs."""
        button = types.Button(label=self.LABEL, icon=self.ICON, prompt=self.ASKS)
        return types.Placement(self.PLACE, button)


def _form(title: str, *notes: str) -> Any:  # noqa: ANN401
    inputs = types.Object()
    for place, note in enumerate(filter(None, notes)):
        inputs.view(f"note_{place}", types.Notice(label=note))
    return inputs, types.PromptView(label=title, submit_button_label=title)


def _cannot(title: str, why: str) -> Any:  # noqa: ANN401
    inputs, view = _form(title)
    return types.Property(inputs, view=view, invalid=True, error_message=why)


def _finish(ctx: Any, message: str, variant: str = "success") -> None:  # noqa: ANN401
    ctx.ops.notify(message, variant=variant)
    ctx.ops.clear_selected_labels()
    ctx.ops.reload_samples()
    if ctx.current_sample:
        ctx.trigger(f"{_PLUGIN}/show_edits", {"samples": _documents(ctx)})
    refresh_panels(ctx)


def _documents(ctx: Any) -> list[list[Any]]:  # noqa: ANN401
    """Give the open image as the App's pages hold it."""
    pipeline = ctx.dataset.select(ctx.current_sample)._pipeline()  # noqa: SLF001
    found = ctx.dataset._sample_collection.aggregate(pipeline)  # noqa: SLF001
    return [[str(document["_id"]), foj.stringify(document)] for document in found]


class _Sure(_Operator):
    """Acts at once where its meaning is plain, else asks first.

    The App asks for a form before it runs an operator, or never; so this one runs without, and
    sends for its own form when it is not sure what is meant.
    """

    ASKS = False

    def _is_plain(self, ctx: Any) -> bool:  # noqa: ANN401
        raise NotImplementedError

    def _act(self, ctx: Any) -> str:  # noqa: ANN401
        raise NotImplementedError

    def execute(self, ctx: Any) -> None:  # noqa: ANN401
        """Act, or ask."""
        if ctx.params.get("confirmed") or self._is_plain(ctx):
            _finish(ctx, self._act(ctx))
        else:
            ctx.prompt(f"{_PLUGIN}/{self.NAME}", params={"confirmed": True})


class _Verdict(_Sure):
    """Gives labels a state: at once if some are selected, else after asking."""

    STATE: ClassVar[str]

    def resolve_input(self, ctx: Any) -> Any:  # noqa: ANN401
        """Ask."""
        found = targets(ctx)
        n = len(self._labels(found))
        which = "selected" if found.selected else f"{self._kind} labels {found.where}"
        inputs, view = _form(self.LABEL, "" if found.selected else "No label is selected.")
        # A form without a field cannot be sent by key.
        inputs.bool("confirmed", label=f"All {n} {which}", default=True)
        return types.Property(inputs, view=view, invalid=n == 0)

    _kind: ClassVar[str] = PENDING

    def _labels(self, found: Targets) -> tuple[LabelRef, ...]:
        return found.labels if found.selected else found.pending()

    def _is_plain(self, ctx: Any) -> bool:  # noqa: ANN401
        return targets(ctx).selected

    def _act(self, ctx: Any) -> str:  # noqa: ANN401
        n = decide(ctx.dataset, self._labels(targets(ctx)), self.STATE)
        return f"{n} {self.STATE}"


class Accept(_Verdict):
    """The label is right as it is."""

    NAME, LABEL, ICON, STATE = "accept", "Accept labels", "check", ACCEPTED


class Reject(_Verdict):
    """The label is wrong and shall never come back."""

    NAME, LABEL, ICON, STATE = "reject", "Reject labels", "close", REJECTED


class Reopen(_Verdict):
    """Take a decision back; a changed class or text stays as it was changed."""

    NAME, LABEL, ICON, STATE = "reopen", "Back to pending", "undo", PENDING
    _kind = "decided"

    def _labels(self, found: Targets) -> tuple[LabelRef, ...]:
        return tuple(label for label in found.labels if label.review != PENDING)


class Relabel(_Operator):
    """Another class of the vocabulary for the selected objects or tags."""

    NAME, LABEL, ICON = "relabel", "Change class", "edit"

    def resolve_input(self, ctx: Any) -> Any:  # noqa: ANN401
        """Ask."""
        found = targets(ctx)
        fields = {label.field for label in found.labels} if found.selected else set()
        if fields not in ({OBJECTS}, {TAGS}):
            return _cannot(self.LABEL, "Select objects, or tags, but not both, and try again.")
        inputs, view = _form(self.LABEL, f"{len(found.labels)} selected")
        names = _classes(ctx, fields.pop())
        inputs.enum(
            "label",
            names,
            label="New class",
            required=True,
            default=found.labels[0].name if found.labels[0].name in names else None,
            view=types.AutocompleteView(allow_user_input=False),
        )
        return types.Property(inputs, view=view)

    def execute(self, ctx: Any) -> dict[str, int]:  # noqa: ANN401
        """Act.

        Raises:
            ValueError: Not a class that these labels may have.
        """
        found, name = targets(ctx), ctx.params["label"]
        known = {field: _classes(ctx, field) for field in (OBJECTS, TAGS)}
        if not found.selected or any(name not in known.get(x.field, ()) for x in found.labels):
            raise ValueError(f"{name!r} is not a class of the selected labels' field")
        n = decide(ctx.dataset, found.labels, EDITED, {"label": name})
        _finish(ctx, f"{n} changed to {name}")
        return {"n": n}


def _classes(ctx: Any, field: str) -> list[str]:  # noqa: ANN401
    return list((ctx.dataset.label_schemas or {}).get(field, {}).get("classes", ()))


class CorrectText(_Operator):
    """Another transcription for the selected lines, or for any line of the open image."""

    NAME, LABEL, ICON = "correct_text", "Correct text", "spellcheck"

    def resolve_input(self, ctx: Any) -> Any:  # noqa: ANN401
        """Ask."""
        lines = _lines(ctx)
        if not lines:
            return _cannot(self.LABEL, "No text is selected, and the open image has none.")
        inputs, view = _form(self.LABEL)
        for place, (_, text) in enumerate(lines, start=1):
            inputs.str(f"line_{place}", label=f"Line {place}", default=text)
        return types.Property(inputs, view=view)

    def execute(self, ctx: Any) -> dict[str, int]:  # noqa: ANN401
        """Act."""
        n = 0
        for place, (label, text) in enumerate(_lines(ctx), start=1):
            corrected = ctx.params.get(f"line_{place}", text)
            if corrected and corrected != text:
                n += decide(ctx.dataset, [label], EDITED, {"text": corrected})
        _finish(ctx, f"{n} corrected")
        return {"n": n}


def _lines(ctx: Any) -> list[tuple[LabelRef, str]]:  # noqa: ANN401
    """Lines of text the form is about, with what they say now, in reading order."""
    found = [x for x in targets(ctx).labels if x.field == TEXTS]
    if not found and ctx.current_sample:
        found = [x for x in labels_of(ctx.view.select(ctx.current_sample)) if x.field == TEXTS]
    if not found or not (ctx.selected_labels or ctx.current_sample):
        return []
    labels = {label.label_id: label for label in found}
    path = LISTS[TEXTS]
    view = ctx.dataset.select(sorted({label.sample_id for label in found}))
    columns = view.values([f"{path}.{name}" for name in ("_id", "text", "order")], unwind=True)
    rows = [row for row in zip(*columns, strict=True) if str(row[0]) in labels]
    rows.sort(key=lambda row: row[2] if row[2] is not None else len(rows))
    return [(labels[str(key)], text or "") for key, text, _ in rows[:_MOST_LINES]]


class AcceptAbove(_Operator):
    """All pending labels that the machine was sure enough of."""

    NAME, LABEL, ICON = "accept_above", "Accept all above a score", "done_all"
    PLACE = _GRID

    def resolve_input(self, ctx: Any) -> Any:  # noqa: ANN401
        """Ask."""
        found = targets(ctx)
        n = len(_above(found, ctx.params))
        inputs, view = _form(self.LABEL, f"{n} pending labels {found.where} reach this score.")
        inputs.float("score", label="Score", default=_SURE, min=0, max=1, required=True)
        names = sorted({label.name for label in found.pending()})
        inputs.enum("name", names, label="Only this class", view=types.AutocompleteView())
        return types.Property(inputs, view=view, invalid=n == 0)

    def execute(self, ctx: Any) -> dict[str, int]:  # noqa: ANN401
        """Act."""
        n = decide(ctx.dataset, _above(targets(ctx), ctx.params), ACCEPTED)
        _finish(ctx, f"{n} {ACCEPTED}")
        return {"n": n}


def _above(found: Targets, params: Mapping[str, Any]) -> list[LabelRef]:
    score, name = params.get("score"), params.get("name")
    floor = _SURE if score is None else float(score)
    return [
        label
        for label in found.pending()
        if label.score is not None and label.score >= floor and name in {None, "", label.name}
    ]


class MarkDone(_Sure):
    """The image needs no further look; asks what becomes of labels that are still pending."""

    NAME, LABEL, ICON = "mark_done", "Image done", "task_alt"

    def resolve_input(self, ctx: Any) -> Any:  # noqa: ANN401
        """Ask."""
        samples, where = _images(ctx)
        n = len(_pending_of(ctx, samples))
        note = f"{n} labels {where} are still pending."
        inputs, view = _form(self.LABEL, note if samples else "Open an image, or select some.")
        if n:
            inputs.bool("accept", label="Accept them: all here is right", default=True)
        return types.Property(inputs, view=view, invalid=not samples)

    def _is_plain(self, ctx: Any) -> bool:  # noqa: ANN401
        samples, _ = _images(ctx)
        return bool(samples) and not _pending_of(ctx, samples)

    def _act(self, ctx: Any) -> str:  # noqa: ANN401
        samples, _ = _images(ctx)
        if ctx.params.get("accept"):
            decide(ctx.dataset, _pending_of(ctx, samples), ACCEPTED)
        fine = ctx.dataset.select(samples).match({"status": {"$ne": QUARANTINED}}).values("id")
        ctx.dataset.select(fine).set_values("status", [DONE] * len(fine))
        return f"{len(fine)} image{'s' * (len(fine) != 1)} done"


def _images(ctx: Any) -> tuple[list[str], str]:  # noqa: ANN401
    if ctx.current_sample:
        return [str(ctx.current_sample)], "of this image"
    return list(ctx.selected or ()), "of the selected images"


def _pending_of(ctx: Any, samples: list[str]) -> list[LabelRef]:  # noqa: ANN401
    return [x for x in labels_of(ctx.dataset.select(samples)) if x.review == PENDING]


OPERATORS: Final = (Accept, Reject, Relabel, CorrectText, AcceptAbove, MarkDone, Reopen)
