"""open_clip's own list of pretrained models, for those that are not in ``models.lock``."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import open_clip  # noqa: TID253

from pipeline.config import ModelsConfig
from pipeline.engines.quiet import quiet
from pipeline.errors import WeightsError
from pipeline.records import JsonObject
from pipeline.weights import LockEntry, ModelFiles, Progress, adopt, locate, models_directory

_PREPROCESSING: Final = ("mean", "std", "interpolation", "resize_mode")


def pull_tag(name: str, config: ModelsConfig, progress: Progress) -> ModelFiles:
    """Fetch ``ARCH/PRETRAINED_TAG`` with open_clip, into a folder that needs no network again.

    No digest of it is known beforehand: the one that arrives is trusted and recorded.

    Args:
        name: Architecture and tag, as ``open_clip.list_pretrained()`` names them.
        config: Where models are kept.
        progress: Called when a file has arrived.

    Raises:
        WeightsError: open_clip knows no such model, or it could not be fetched.
    """
    tag = _tag(name)
    target = models_directory(config) / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pull-") as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        try:
            with quiet():
                _fetch(name, tag, folder, Path(scratch) / "cache", progress)
        except Exception as error:  # hubs raise whatever they like
            raise WeightsError(
                f"{name} could not be fetched: {error}\n"
                f"  way out: run the command where there is a network, then copy {target}"
            ) from error
        adopt(folder, LockEntry(name, "open_clip", "store", (), "see source", _source(tag)))
        folder.rename(target)
    return locate(name, config, Path())


def _tag(name: str) -> JsonObject:
    architecture, _, tag = name.partition("/")
    found = open_clip.get_pretrained_cfg(architecture, tag) if tag else {}
    if not found:
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        raise WeightsError(
            f"open_clip knows no model {name!r}; expected ARCH/PRETRAINED_TAG"
            + (f", for {architecture} one of {', '.join(tags)}" if tags else "")
        )
    return dict(found)


def _fetch(name: str, tag: JsonObject, folder: Path, cache: Path, progress: Progress) -> None:
    weights = Path(open_clip.download_pretrained(tag, cache_dir=str(cache)))
    stored = folder / f"open_clip_model{weights.suffix}"
    shutil.copyfile(weights, stored)
    progress(stored.name, stored.stat().st_size, stored.stat().st_size)
    architecture = name.partition("/")[0]
    text = json.dumps(_configuration(architecture, tag), indent=1) + "\n"
    (folder / "open_clip_config.json").write_text(text, encoding="utf-8")
    tokenizer = open_clip.get_tokenizer(architecture, cache_dir=str(cache))
    if hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(str(folder))


def _configuration(architecture: str, tag: JsonObject) -> JsonObject:
    model: dict[str, Any] = open_clip.get_model_config(architecture)
    # What the tag was trained with; open_clip only warns when the architecture says otherwise.
    if tag.get("quick_gelu"):
        model["quick_gelu"] = True
    return {"model_cfg": model, "preprocess_cfg": {key: tag[key] for key in _PREPROCESSING}}


def _source(tag: JsonObject) -> str:
    return str(tag.get("hf_hub") or tag.get("url") or "open_clip")
