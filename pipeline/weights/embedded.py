"""The pins of the embedded models, refreshed after they were trained again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.weights.digests import sha256_of
from pipeline.weights.locate import embedded_folder, weight_files
from pipeline.weights.lock import LOCK_PATH, entries

SAM_CONFIG_NAME = "sam_config.json"


def lock_embedded(lock_path: Path = LOCK_PATH) -> list[str]:
    """Write sizes and digests of the embedded models' files into the lock file.

    Default settings of the mask model come from its own ``sam_config.json``, where training
    wrote the ones it was scored with.

    Returns:
        One line per file.

    Raises:
        OSError: A model's folder or the lock file cannot be read or written.
    """
    content = json.loads(lock_path.read_text(encoding="utf-8"))
    lines = [line for model in content["models"] for line in _refresh(model)]
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    half = lock_path.with_name(f"{lock_path.name}.tmp")
    half.write_text(text, encoding="utf-8")
    half.replace(lock_path)
    entries.cache_clear()
    return lines


def _refresh(model: dict[str, Any]) -> list[str]:
    if model["place"] != "embedded":
        return []
    folder = embedded_folder() / model["folder"]
    if not folder.is_dir():
        return [f"{model['name']} left as it was: no folder {folder}"]
    model["files"] = [
        {"path": path.name, "size": path.stat().st_size, "sha256": sha256_of(path)}
        for path in weight_files(folder)
    ]
    if (folder / SAM_CONFIG_NAME).is_file():
        settings = json.loads((folder / SAM_CONFIG_NAME).read_text(encoding="utf-8"))
        model["defaults"] = settings.get("automatic", {})
    return [f"{model['name']} {f['path']} {f['size']} {f['sha256']}" for f in model["files"]]
