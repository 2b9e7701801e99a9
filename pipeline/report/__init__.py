"""One HTML page about a run: self-contained, without scripts, for a stranger to judge it by.

census        one walk through the labels: counts, scores, reasons, examples
differences   what changed since the run before
gallery       images with their labels drawn in
charts        where bars and lines lie
notes         sentences not to be missed
page          what the page says, as values
page.html.j2, page.css   how it looks

Everything that comes from outside, file names, class names, words read in images, is escaped by
the template; the page's own policy forbids it to load or run anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.errors import WorkspaceError
from pipeline.evidence import Evidence
from pipeline.explain import read_index
from pipeline.labels import CurrentImage, CurrentLabels
from pipeline.labels.runs import FinishedRun, RunImage
from pipeline.report import page as pages
from pipeline.report.census import Census, take
from pipeline.report.differences import Differences, compare
from pipeline.report.gallery import Crop, Example, Pictures, crop, example, open_pictures
from pipeline.report.notes import never_found, notes
from pipeline.report.page import Page
from pipeline.store import durable_write

if TYPE_CHECKING:
    from pipeline.app import Listener

REPORT: Final = "report.html"
__all__ = ["REPORT", "make_page", "render", "write_report"]


def write_report(
    workspace: Path,
    listener: Listener,
    run_id: str | None = None,
    against: str | None = None,
    to: Path | None = None,
) -> Path:
    """Write the page about a run; gives its path.

    Args:
        workspace: The workspace.
        listener: Is told how far it is.
        run_id: Of the run; None for the latest.
        against: Id of the run to compare with; None for the one before, if there is one.
        to: File to write; None for ``report.html`` in the run folder.

    Raises:
        ReviewError: There is no such run, or its files or the review log are damaged.
        WorkspaceError: The page cannot be written.
    """
    html = render(make_page(workspace, listener, run_id, against))
    path = to or CurrentLabels(workspace, _folder(workspace, run_id)).run.folder / REPORT
    try:
        durable_write(path, html.encode())
    except OSError as error:
        raise WorkspaceError(f"{path}: the report cannot be written: {error}") from None
    return path


def make_page(
    workspace: Path, listener: Listener, run_id: str | None = None, against: str | None = None
) -> Page:
    """Collect what the page says; the arguments are those of ``write_report``.

    Raises:
        ReviewError: There is no such run, or its files or the review log are damaged.
    """
    current = CurrentLabels(workspace, _folder(workspace, run_id))
    run, evidence = current.run, Evidence(current.run)
    listener.phase("report", 3)
    census = take(current, evidence)
    listener.advance(1)
    before = _before(workspace, run, against)
    differences = None if before is None else compare(before, run)
    listener.advance(1)
    summary, document = pages.read_summary(run), pages.read_evaluation(run)
    drawn = _drawn(current, census, document)
    listener.advance(1)
    return _page(current, evidence, census, differences, drawn, summary, document)


@dataclass(frozen=True, slots=True)
class _Drawn:
    examples: tuple[Example, ...]
    crops: Mapping[int, Crop | None]


def _page(
    current: CurrentLabels,
    evidence: Evidence,
    census: Census,
    differences: Differences | None,
    drawn: _Drawn,
    summary: Mapping[str, Any],
    document: Mapping[str, Any] | None,
) -> Page:
    run = current.run
    tables = tuple(pages.class_tables(census, run))
    found = notes(current, census, summary, document, read_index(run.folder))
    panels, n_panels = pages.panels(run)
    return Page(
        name=str(run.config["name"]),
        run_id=run.run_id,
        summary=summary,
        census=census,
        notes=(*found, *never_found((table.title, table.never) for table in tables)),
        examples=drawn.examples,
        tables=tables,
        scores=tuple(pages.score_charts(census, evidence)),
        reasons=tuple(census.common_reasons(8)),
        quarantine=pages.quarantine_rows(run.quarantined()),
        evaluated=None if document is None else pages.evaluated(document, drawn.crops),
        panels=panels,
        n_panels=n_panels,
        stages=pages.stage_rows(summary),
        differences=differences,
        provenance=tuple(run.provenance.values()),
    )


def _folder(workspace: Path, run_id: str | None) -> Path | None:
    return None if run_id is None else workspace / "runs" / run_id


def _before(workspace: Path, run: FinishedRun, against: str | None) -> FinishedRun | None:
    if against is not None:
        return FinishedRun(workspace / "runs" / against)
    folders = [p for p in (workspace / "runs").iterdir() if p.is_dir() and not p.is_symlink()]
    older = [p for p in folders if _age(p.name) < _age(run.run_id) and not p.name.startswith(".")]
    return FinishedRun(max(older, key=lambda p: _age(p.name))) if older else None


def _age(run_id: str) -> tuple[str, int]:
    """Sort key of run ids: runs of one second are numbered from 2 on."""
    stem, _, number = run_id.partition("-")
    return stem, int(number) if number.isdecimal() else 1


def _drawn(current: CurrentLabels, census: Census, document: Mapping[str, Any] | None) -> _Drawn:
    classes = {name: at for at, name in enumerate(current.run.classes)}
    decoder, roots = open_pictures(current.run.config)
    with decoder:
        pictures = Pictures(decoder, roots)
        examples = [
            example(image, pictures.pixels(image.image), classes, why)
            for image, why in _worth_a_look(census)
        ]
        errors = pages.worst_errors(document) if document else []
        crops = dict(_crops(current, pictures, errors))
    return _Drawn(tuple(examples), crops)


def _worth_a_look(census: Census) -> Iterator[tuple[CurrentImage, str]]:
    for image in census.unsure:
        yield image, "a close call"
    for image in census.typical:
        yield image, "typical"


def _crops(
    current: CurrentLabels, pictures: Pictures, errors: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, Crop | None]]:
    wanted = {row["sha256"] for row in errors}
    images: dict[str, RunImage] = {
        image.sha256: image for image in current.run.images() if image.sha256 in wanted
    }
    for at, row in enumerate(errors):
        image = images.get(row["sha256"])
        pixels = None if image is None else pictures.pixels(image)
        if pixels is not None:
            yield at, crop(pixels, pages.box_of(row, "box"), pages.box_of(row, "truth_box"))


def render(page: Page) -> str:
    """Write the page as HTML."""
    style = (files("pipeline.report") / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            page=page,
            style=Markup(style),  # noqa: S704  our own file
            style_digest=digest,
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("pipeline.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
