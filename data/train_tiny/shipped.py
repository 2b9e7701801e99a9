"""Where the trained models lie, and how they are opened and moved there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import open_clip
from safetensors.torch import load_file

from data.train_tiny.runs import write_json
from pipeline.engines.tiny import build_tiny_sam

HOME: Final = Path(__file__).resolve().parents[1] / "models" / "tiny"
FILES: Final = {
    "clip": ("open_clip_config.json", "bpe_small.txt.gz", "open_clip_model.safetensors"),
    "sam": ("sam_config.json", "model.safetensors"),
    "ocr-rec": ("rec.json", "rec.safetensors"),
    "ocr-det": ("det.safetensors",),
}
"""Files of each model, weights last, so that a half-copied model still has its old weights."""
FOLDERS: Final = {"clip": "clip", "sam": "sam", "ocr-rec": "ocr", "ocr-det": "ocr"}


def _move(source: Path, target: Path) -> None:
    half = target.with_name(f"{target.name}.tmp")
    half.write_bytes(source.read_bytes())
    half.replace(target)


def ship(model: str, run: Path, curve: str | None = None) -> None:
    """Copy a finished run to the shipped models, with its curve.

    Args:
        model: A key of ``FILES``.
        run: Folder of the run.
        curve: Name of the curve file; the model's name when absent.
    """
    folder = HOME / FOLDERS[model]
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES[model]:
        _move(run / name, folder / name)
    keep_curve(run, curve or model)


def keep_curve(run: Path, name: str) -> None:
    """Copy the curve of a run beside the shipped models.

    Args:
        run: Folder of the run.
        name: File name without suffix.
    """
    (HOME / "curves").mkdir(parents=True, exist_ok=True)
    _move(run / "curve.json", HOME / "curves" / f"{name}.json")


def write_ablation(with_patches: Path, without: Path) -> None:
    """Put two CLIP runs that differ only in the patch loss side by side.

    Args:
        with_patches: Folder of the run with the patch loss.
        without: Folder of the run without it.

    Raises:
        ValueError: The runs differ in steps or seed.
    """
    logs = [json.loads((run / "curve.json").read_text()) for run in (with_patches, without)]
    if any(logs[0][key] != logs[1][key] for key in ("steps", "seed")):
        raise ValueError(
            "The two runs are no matched pair: their steps or seeds differ. Train both alike."
        )
    content = {
        "about": "One run each, same seed, steps and batches; only the patch loss differs.",
        "steps": logs[0]["steps"],
        "seed": logs[0]["seed"],
        "with_patch_loss": logs[0]["curve"],
        "without_patch_loss": logs[1]["curve"],
    }
    write_json(HOME / "ablation.json", content)


def weight_hashes() -> dict[str, str]:
    """Hash the shipped weights.

    Returns:
        sha256 in hexadecimal per path relative to the models' folder.
    """
    files = sorted(HOME.glob("*/*.safetensors"))
    return {
        file.relative_to(HOME).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def open_sam() -> tuple[Any, dict[str, Any]]:
    """Open the shipped mask model.

    Returns:
        The ``Sam`` in evaluation mode and the settings of its automatic mask generator.
    """
    config = json.loads((HOME / "sam" / "sam_config.json").read_text())
    model = build_tiny_sam(config["model"])
    model.load_state_dict(load_file(HOME / "sam" / "model.safetensors"))
    return model.eval(), config["automatic"]


def open_tags() -> tuple[Any, Any, Any]:
    """Open the shipped CLIP model as any local open_clip model.

    Returns:
        The model in evaluation mode, its preprocessing of Pillow images, and its tokenizer.
    """
    place = f"local-dir:{HOME / 'clip'}"
    model, _, prepare = open_clip.create_model_and_transforms(place, require_pretrained=True)
    merges = str(HOME / "clip" / "bpe_small.txt.gz")
    return model.eval(), prepare, open_clip.get_tokenizer(place, bpe_path=merges)
