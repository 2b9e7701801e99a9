"""A new project: a folder with a run file that explains itself."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pipeline.errors import ConfigError

_RUN_FILE: Final = """\
# autolabel run {path}
#
# Weights, once:  autolabel models pull ViT-B-32/laion2b_s34b_b79k sam-vit-b
# All keys:       docs/run-file.md. Paths are relative to this file.
name: {name}
images:
  - {images}
workspace: workspace

stages:
  embed: {{engine: open_clip, model: ViT-B-32/laion2b_s34b_b79k}}
  segment: {{engine: segment_anything, model: sam-vit-b}}
  read: {{engine: rapidocr}}

policy:
  # Name what you want labelled. Changing anything below runs no model on any image again.
  classes:
    - {{name: person, synonyms: [man, woman, child]}}
    - {{name: car, supercategory: vehicle}}
  # What a region may show without being one of the classes.
  background: [background, sky, road, wall, floor]
"""


def start_project(folder: Path, images: Path | None) -> Path:
    """Make a folder with a run file, and an empty image folder unless one is named.

    Returns:
        The run file.

    Raises:
        ConfigError: The run file is there already, or the folder cannot be made.
    """
    path = folder / "autolabel.yaml"
    if path.exists():
        raise ConfigError(f"{path}: is there already; edit it, or name another folder")
    text = _RUN_FILE.format(
        path=path,
        name=_quoted(folder.absolute().name),
        images=_quoted(str(images.absolute()) if images else "images"),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if images is None:
            (folder / "images").mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: cannot make the project: {error}") from None
    return path


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
