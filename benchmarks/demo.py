"""The whole demo run, command to labels, in fresh processes and fresh workspaces.

``stock`` is the present version with the library's own mask generator and all else as it is. An
older checkout runs its own code and its own run file with this interpreter's packages.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.arms import ROOT, Arm, in_turns
from benchmarks.figures import Outcome, compared, significant
from benchmarks.options import Options
from benchmarks.sam.equality import best_ious
from pipeline.records import Mask

BEFORE, STOCK, NOW = "before", "stock masks", "ours"

_COMMAND: Final = "import sys; from pipeline.cli import main; sys.exit(main())"
_MODEL: Final = "    model: tiny-synthetic-sam\n"

Objects = dict[str, list[tuple[str, Mask]]]
"""Class and mask of every object, per image."""


def measure_demo(options: Options) -> Outcome:
    """Time the command, and compare the labels it wrote.

    Raises:
        FileNotFoundError: ``--before`` is no checkout with a demo.
    """
    with TemporaryDirectory(prefix="autolabel-bench-") as name:
        folder = Path(name)
        arms = [Arm(STOCK, _running(ROOT, _stock_file(folder), folder / "stock"))]
        arms.append(Arm(NOW, _running(ROOT, ROOT / "configs" / "demo.yaml", folder / "now")))
        if options.before is not None:
            tree = options.before.resolve(strict=True)
            run_file = (tree / "configs" / "demo.yaml").resolve(strict=True)
            arms.insert(0, Arm(BEFORE, _running(tree, run_file, folder / "before")))
        taken = in_turns(arms, options.repeats)
    labels = {arm.name: taken[arm.name].answer for arm in arms}
    answers = {name: _against(labels[NOW], other) for name, other in labels.items()}
    lost = [
        f"{name}: other classes in {answer['images with other classes']} images than {NOW}"
        for name, answer in answers.items()
        if answer["images with other classes"]
    ]
    if not answers[NOW]["objects"]:
        lost.append("the demo found no object: nothing was compared")
    return Outcome((compared("demo, 24 images", arms, taken, answers=answers, lost=lost),))


def _running(tree: Path, run_file: Path, workspaces: Path) -> Callable[[], bytes]:
    """Give the call that labels with a checkout's code; it answers with the labels file."""
    turn = iter(range(1_000_000))

    def run() -> bytes:
        workspace = workspaces / str(next(turn))
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        arguments = ["run", str(run_file), "--workspace", str(workspace)]
        command = [sys.executable, "-c", _COMMAND, *arguments]
        subprocess.run(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, check=True)
        return (workspace / "runs" / "latest" / "labels.coco.json").read_bytes()

    return run


def _stock_file(folder: Path) -> Path:
    text = (ROOT / "configs" / "demo.yaml").read_text(encoding="utf-8")
    assert _MODEL in text, "the demo's run file has another shape: see _MODEL"
    changed = text.replace(_MODEL, f"{_MODEL}    mode: stock\n")
    path = folder / "stock.yaml"
    path.write_text(changed.replace("../data", str(ROOT / "data")), encoding="utf-8")
    return path


def _against(ours: bytes, theirs: bytes) -> Mapping[str, Any]:
    """Compare two labels files: bytes, then annotations, then classes and masks per image."""
    mine, others = json.loads(ours), json.loads(theirs)
    a, b = _objects(mine), _objects(others)
    found = sum(map(len, b.values()))
    ious = [iou for name in b for iou in _ious(b[name], a.get(name, []))]
    return {
        "objects": found,
        "same bytes": ours == theirs,
        "same annotations": mine["annotations"] == others["annotations"],
        "images with other classes": sum(
            _classes(a.get(name, [])) != _classes(b.get(name, [])) for name in a.keys() | b.keys()
        ),
        "least IoU": significant(min(ious, default=1.0), 4),
    }


def _objects(content: Mapping[str, Any]) -> Objects:
    names = {image["id"]: image["file_name"] for image in content["images"]}
    classes = {category["id"]: category["name"] for category in content["categories"]}
    out: Objects = {name: [] for name in names.values()}
    for entry in content["annotations"]:
        shape = entry["segmentation"]
        if isinstance(shape, dict):
            height, width = shape["size"]
            mask = Mask(height, width, shape["counts"])
            out[names[entry["image_id"]]].append((classes[entry["category_id"]], mask))
    return out


def _classes(objects: list[tuple[str, Mask]]) -> Counter[str]:
    return Counter(name for name, _ in objects)


def _ious(objects: list[tuple[str, Mask]], others: list[tuple[str, Mask]]) -> list[float]:
    """IoU of each object with the best of the same class."""
    return [
        iou
        for name in _classes(objects)
        for iou in best_ious(
            [mask for kind, mask in objects if kind == name],
            [mask for kind, mask in others if kind == name],
        )
    ]
