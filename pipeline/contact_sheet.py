"""One picture that shows what a run did: a grid of its images with their labels drawn in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw

from pipeline.decoding import DecoderPool
from pipeline.drawing import drawn, font, shape_of
from pipeline.errors import ImageRejectedError
from pipeline.labels.runs import FinishedRun
from pipeline.labels.values import Kind, MachineLabel
from pipeline.records import JsonObject, RgbImage, SourceFile
from pipeline.runfile import RunFile
from pipeline.write import MANIFEST

_COLUMNS: Final = 4
_TILE: Final = (280, 210)
_CAPTION: Final = 38
_MARGIN: Final = 8
_PAPER: Final = (24, 26, 32)
_INK: Final = (230, 232, 238)
_FAINT: Final = (150, 156, 170)
_LETTERS: Final = 13
_QUALITY: Final = 82
_DROPPED: Final = "drop"


def contact_sheet(run: RunFile, finished: FinishedRun, n: int = 12) -> bytes | None:
    """Draw examples of a run, spread evenly over its images; the same run gives the same picture.

    Args:
        n: Most images to show.

    Returns:
        A JPEG file; None if no image can be shown.
    """
    tiles: list[Image.Image] = []
    classes = {name: place for place, name in enumerate(finished.classes)}
    settings = run.config.input.model_copy(update={"decode_workers": 1})
    with DecoderPool(run.config.images, settings) as decoder:
        for source in _sources(run.config.images, _spread(finished.folder / MANIFEST, n)):
            try:
                pixels = decoder.decode(source).pixels
            except ImageRejectedError:
                continue  # it has gone or changed since the run
            labels = finished.labels(source.digest)
            tiles.append(_tile(pixels, Path(source.path).name, labels, classes))
    return _jpeg(_grid(tiles)) if tiles else None


def _spread(manifest: Path, n: int) -> list[JsonObject]:
    with manifest.open(encoding="utf-8") as rows:
        total = sum(1 for _ in rows)
    wanted = {i * total // n for i in range(n)} if total > n else set(range(total))
    with manifest.open(encoding="utf-8") as rows:
        return [json.loads(row) for i, row in enumerate(rows) if i in wanted]


def _sources(roots: Sequence[Path], rows: Sequence[JsonObject]) -> Iterator[SourceFile]:
    places = {str(root): i for i, root in enumerate(roots)}
    for row in rows:
        file = row["paths"][0]
        if file["root"] in places:
            yield SourceFile(places[file["root"]], file["path"], row["sha256"], row["bytes"])


def _tile(
    pixels: RgbImage, name: str, labels: Sequence[MachineLabel], classes: Mapping[str, int]
) -> Image.Image:
    kept = [label for label in labels if label.facts.decision != _DROPPED]
    shapes = [shape_of(label.content, classes, label.facts.score) for label in kept]
    height, width = pixels.shape[:2]
    side = round(max(width, height) * min(_TILE[0] / width, _TILE[1] / height))
    picture = drawn(pixels, [shape for shape in shapes if shape is not None], side)
    tile = Image.new("RGB", (_TILE[0], _TILE[1] + _CAPTION), _PAPER)
    left, top = (_TILE[0] - picture.width) // 2, (_TILE[1] - picture.height) // 2
    tile.paste(picture, (left, top))
    caption = ImageDraw.Draw(tile)
    for y, words, colour in ((4, name, _INK), (19, _in_words(kept), _FAINT)):
        caption.text((2, _TILE[1] + y), _cut(words), fill=colour, font=font(_LETTERS))
    return tile


def _cut(words: str) -> str:
    """Shorten what is wider than a tile; file names may hold line ends."""
    words = short = " ".join(words.split())
    while font(_LETTERS).getlength(short) > _TILE[0] - 4:
        words = words[:-1]
        short = f"{words}…"
    return short


def _in_words(labels: Sequence[MachineLabel]) -> str:
    tags = [label.content.label for label in labels if label.content.kind is Kind.TAG]
    return ", ".join(tags) or ("no tags" if labels else "no labels")


def _grid(tiles: Sequence[Image.Image]) -> Image.Image:
    columns = min(_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    step = _TILE[0] + _MARGIN, _TILE[1] + _CAPTION + _MARGIN
    sheet = Image.new("RGB", (columns * step[0] + _MARGIN, rows * step[1] + _MARGIN), _PAPER)
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (_MARGIN + i % columns * step[0], _MARGIN + i // columns * step[1]))
    return sheet


def _jpeg(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
