"""The panel: how far the review is, how fast it goes, and the way to the queues."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import fiftyone.operators as foo  # noqa: TID253
from fiftyone.operators import types  # noqa: TID253

from pipeline.review.fields import STATES
from pipeline.review.plugin.progress import Progress, measure
from pipeline.review.views import QUEUES

_STARTED: Final = datetime.now(UTC)  # FiftyOne loads plugins when the App's first page asks
_OPEN: Final[dict[str, set[str]]] = {}
_MOST_PANELS: Final = 50


class ReviewProgress(foo.Panel):  # type: ignore[misc]
    """Progress per class, labels per hour of this session, buttons to the queues."""

    @property
    def config(self) -> Any:  # noqa: ANN401
        """How the App lists it."""
        return foo.PanelConfig(
            name="review_progress",
            label="Review progress",
            icon="fact_check",
            surfaces="grid modal",
            allow_multiple=False,
        )

    def on_load(self, ctx: Any) -> None:  # noqa: ANN401
        """Fill the panel, and remember that it is open."""
        panels = _OPEN.setdefault(str(ctx.dataset.name), set())
        if len(panels) >= _MOST_PANELS:
            panels.clear()
        panels.add(str(ctx.panel.id))
        self.refresh(ctx)

    def on_unload(self, ctx: Any) -> None:  # noqa: ANN401
        """Forget it."""
        _OPEN.get(str(ctx.dataset.name), set()).discard(str(ctx.panel.id))

    def on_change_view(self, ctx: Any) -> None:  # noqa: ANN401
        """Count again: a reviewer who changes queue wants to know."""
        self.refresh(ctx)

    def refresh(self, ctx: Any) -> None:  # noqa: ANN401
        """Count again."""
        for name, value in _content(ctx.dataset).items():
            ctx.panel.set_data(name, value)

    def render(self, ctx: Any) -> Any:  # noqa: ANN401, ARG002
        """Lay the panel out; what stands in it is data."""
        panel = types.Object()
        panel.str("summary", view=types.MarkdownView(read_only=True))
        panel.list("classes", types.Object(), view=_table())
        queues = panel.h_stack("queues", gap=1, align_x="left", wrap=True)
        for place, queue in enumerate(QUEUES):
            queues.btn(
                f"queue_{place}",
                label=queue.name,
                variant="outlined",
                on_click=self.show_queue,
                params={"queue": queue.name},
                title=queue.description,
            )
        queues.btn("all", label="all images", variant="outlined", on_click=self.show_all)
        panel.btn("refresh", label="Count again", icon="refresh", on_click=self.refresh)
        return types.Property(panel, view=types.GridView(orientation="vertical", gap=2, padx=2))

    def show_queue(self, ctx: Any) -> None:  # noqa: ANN401
        """Open a queue's saved view."""
        ctx.ops.set_view(name=ctx.params["queue"])

    def show_all(self, ctx: Any) -> None:  # noqa: ANN401
        """Leave the queue."""
        ctx.ops.clear_view()


def refresh_panels(ctx: Any) -> None:  # noqa: ANN401
    """Bring every open panel of the dataset up to date, after an operator."""
    panels = _OPEN.get(str(ctx.dataset.name))
    if not panels:
        return
    content = _content(ctx.dataset)
    for panel in panels:
        ctx.ops.patch_panel_data(content, panel_id=panel)


def _content(dataset: Any) -> dict[str, Any]:  # noqa: ANN401
    progress = measure(dataset, _STARTED, datetime.now(UTC))
    return {"summary": _summary(progress), "classes": _rows(progress)}


def _summary(progress: Progress) -> str:
    share = progress.decided / progress.total if progress.total else 1.0
    return (
        f"**{progress.decided} of {progress.total} labels decided ({share:.0%})**\n\n"
        f"This session: {progress.in_session} labels, {progress.per_hour:.0f} per hour"
    )


def _rows(progress: Progress) -> list[dict[str, str | int]]:
    return [{"class": name, **states} for name, states in progress.per_class.items()]


def _table() -> Any:  # noqa: ANN401
    table = types.TableView()
    add: Callable[..., Any] = table.add_column
    for name in ("class", *STATES):
        add(name, label=name)
    return table
