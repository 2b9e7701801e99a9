"""One picture that shows what a run did: a grid of its images with their labels drawn in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline import rle
from pipeline.decoding import DecoderPool
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
_FILL: Final = 0.3
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
    settings = run.config.input.model_copy(update={"decode_workers": 1})
    with DecoderPool(run.config.images, settings) as decoder:
        for source in _sources(run.config.images, _spread(finished.folder / MANIFEST, n)):
            try:
                pixels = decoder.decode(source).pixels
            except ImageRejectedError:
                continue  # it has gone or changed since the run
            labels = finished.labels(source.digest)
            tiles.append(_tile(pixels, Path(source.path).name, labels))
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


def _tile(pixels: RgbImage, name: str, labels: Sequence[MachineLabel]) -> Image.Image:
    kept = [label for label in labels if label.facts.decision != _DROPPED]
    width, height = pixels.shape[1], pixels.shape[0]
    scale = min(_TILE[0] / width, _TILE[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    picture = Image.fromarray(_filled(pixels, kept)).resize(size)
    draw = ImageDraw.Draw(picture)
    for label in kept:
        _outline(draw, label, scale)
    tile = Image.new("RGB", (_TILE[0], _TILE[1] + _CAPTION), _PAPER)
    tile.paste(picture, ((_TILE[0] - size[0]) // 2, (_TILE[1] - size[1]) // 2))
    caption = ImageDraw.Draw(tile)
    caption.text((2, _TILE[1] + 4), name[:40], fill=_INK, font=_font(13))
    caption.text((2, _TILE[1] + 19), _in_words(kept), fill=(150, 156, 170), font=_font(13))
    return tile


def _filled(pixels: RgbImage, labels: Sequence[MachineLabel]) -> RgbImage:
    painted = pixels.copy()
    for label in labels:
        if label.content.mask is not None:
            inside = rle.decode(label.content.mask)
            colour = np.array(_colour(label.content.label), np.float32)
            painted[inside] = painted[inside] * (1 - _FILL) + colour * _FILL
    return painted


def _outline(draw: ImageDraw.ImageDraw, label: MachineLabel, scale: float) -> None:
    content, colour = label.content, _colour(label.content.label)
    if content.points:
        corners = [(point.x * scale, point.y * scale) for point in content.points]
        draw.line([*corners, corners[0]], fill=(255, 255, 255), width=1)
    elif content.box is not None:
        box = content.box
        x, y = box.x * scale, box.y * scale
        draw.rectangle((x, y, x + box.width * scale, y + box.height * scale), outline=colour)
        score = "" if label.facts.score is None else f" {label.facts.score:.2f}"
        text, font = f"{content.label}{score}", _font(13)
        draw.rectangle(draw.textbbox((x + 1, y), text, font=font), fill=_PAPER)
        draw.text((x + 1, y), text, fill=colour, font=font)


def _in_words(labels: Sequence[MachineLabel]) -> str:
    tags = [label.content.label for label in labels if label.content.kind is Kind.TAG]
    texts = [f"“{label.content.text}”" for label in labels if label.content.kind is Kind.TEXT]
    return ", ".join([*tags, *texts])[:40] or ("" if labels else "no labels")


def _colour(class_name: str) -> tuple[int, int, int]:
    """A bright colour for a class, the same everywhere."""
    hue = hashlib.sha256(class_name.encode()).digest()[0] * 360 // 256
    red, green, blue = (
        Image.new("HSV", (1, 1), (hue * 255 // 360, 170, 255)).convert("RGB").tobytes()
    )
    return red, green, blue


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


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
