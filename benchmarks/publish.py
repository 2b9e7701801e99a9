"""Publishing for review: seconds against FiftyOne's own way, and memory over many masks."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.arms import ROOT, Arm, Taken
from benchmarks.figures import Outcome, compared
from benchmarks.options import Options
from pipeline import records as r
from pipeline import rle
from pipeline.coco import CocoWriter, categories
from pipeline.labels.runs import latest
from pipeline.review.masks import crop, relative
from pipeline.runfile import RunFile, load_run_file
from pipeline.write import CONFIG, LABELS, MANIFEST, QUARANTINE, RunFolder, manifest_row

SMALL: Final = (500, 20)
LARGE: Final = (1000, 50)

_RUN_FILE: Final = """\
name: bench
images: [images]
workspace: ws
stages:
  embed: {engine: fake}
  segment: {engine: fake}
policy:
  classes: [{name: cat}, {name: dog}]
"""

_PUBLISH: Final = """\
import json, sys, time
from pathlib import Path
from benchmarks.publish import labels_by_hand, peak_mb, timed
from pipeline.review.address import fiftyone_uses
from pipeline.review.database import open_database
from pipeline.review.publish import publish
from pipeline.review.projection import dataset_name
from pipeline.runfile import load_run_file
run = load_run_file(Path(sys.argv[1]))
with open_database(run.config.workspace) as database:
    import fiftyone as fo
    plain = {"FIFTYONE_DATABASE_URI": database.uri.replace("&journal=true", "")}
    fo.list_datasets()
    out = {"before_mb": peak_mb(), "ours": [], "theirs": []}
    for n in range(int(sys.argv[2])):
        out["ours"].append(timed(lambda: publish(run)))
        out["peak_mb"] = peak_mb() if n == 0 else out["peak_mb"]
        out["again"] = timed(lambda: publish(run))
        if sys.argv[3] == "both":
            fo.delete_dataset(dataset_name(run))
            with fiftyone_uses(plain):
                fo.list_datasets()
                out["theirs"].append(timed(lambda: labels_by_hand(run)))
                fo.delete_dataset("by-hand")
            fo.list_datasets()
print(json.dumps(out))
"""


def measure_publish(options: Options) -> Outcome:
    """Publish 500 images x 20 masks both ways, then 1,000 x 50 in bounded memory.

    FiftyOne's way is ``add_sample`` per image with the same labels, made from the same COCO file,
    into a database that need not journal before it answers; ours waits for the journal.

    Returns:
        Both as arms, and peak memory of the publishing process.
    """
    small, large = _measure(*SMALL, "both", options.repeats), _measure(*LARGE, "ours", 1)
    arms = [Arm("add_sample", _elsewhere), Arm("ours", _elsewhere)]
    taken = {
        arm.name: Taken([wall for wall, _ in small[key]], [cpu for _, cpu in small[key]], None)
        for arm, key in zip(arms, ("theirs", "ours"), strict=True)
    }
    figures = {
        "publish_again_seconds": round(small["again"][0], 2),
        "peak_growth_mb": round(small["peak_mb"] - small["before_mb"]),
        "large_images_x_masks": f"{LARGE[0]} x {LARGE[1]}",
        "large_publish_seconds": round(large["ours"][0][0], 2),
        "large_publish_again_seconds": round(large["again"][0], 2),
        "large_peak_growth_mb": round(large["peak_mb"] - large["before_mb"]),
    }
    title = f"publish for review, {SMALL[0]} images x {SMALL[1]} masks"
    return Outcome((compared(title, arms, taken),), figures)


def _elsewhere() -> None:
    """Run nothing: both are timed in the process that has the database open."""


def _measure(images: int, masks: int, which: str, repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run_file = make_run(Path(folder), images, masks)
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            _PUBLISH,
            str(run_file),
            str(repeats),
            which,
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("FIFTYONE_DATABASE_URI", None)
        done = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result


def make_run(folder: Path, images: int, masks: int) -> Path:
    """Write a finished run with blobs as masks; gives the run file."""
    run_file = folder / "run.yaml"
    run_file.write_text(_RUN_FILE)
    (folder / "images").mkdir()
    config = load_run_file(run_file).config
    names = categories(config.policy.classes)
    with RunFolder(config.workspace) as run:
        with (
            CocoWriter(run.path / LABELS, names, {}) as coco,
            run.lines(MANIFEST) as manifest,
            run.lines(QUARANTINE),
        ):
            for number in range(images):
                labels = _labels(number, masks)
                manifest(manifest_row(labels.image, config.images))
                coco.add(labels, labels.image.source.path)
        run.write_json(CONFIG, config.model_dump(mode="json"))
    return run_file


def _labels(number: int, masks: int) -> r.ImageLabels:
    random = np.random.default_rng(number)
    digest = f"{number:064x}"
    verdict = r.Verdict(r.Decision.REVIEW, "benchmark")
    instances = []
    for _ in range(masks):
        canvas = np.zeros((480, 640), np.bool_)
        width, height = (int(n) for n in random.integers(20, 200, 2))
        y, x = int(random.integers(0, 480 - height)), int(random.integers(0, 640 - width))
        rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        wave = 0.8 + 0.2 * np.sin(6 * np.arctan2(rows, columns) + random.uniform(0, 6))
        canvas[y : y + height, x : x + width] = rows**2 + columns**2 <= wave**2
        mask = rle.encode(canvas)
        box = rle.tight_box(mask)
        assert box is not None
        region = r.Region(mask, box, rle.area(mask), 0.9, 0.9, r.Point(box.x, box.y))
        name = str(random.choice(["cat", "dog"]))
        instances.append(r.Instance(name, 0.6, None, 0.1, region, verdict))
    source = r.SourceFile(0, f"{number:05}.png", digest, 1000)
    image = r.ImageRecord(source, (), r.ImageInfo(640, 480, 1, "image/png", "RGB"))
    stages = r.StageName.SEGMENT, r.StageName.EMBED
    provenance = {s: r.Provenance("fake", "fake", "0" * 64, s.value * 6) for s in stages}
    return r.ImageLabels(image, (), tuple(instances), (), provenance)


def labels_by_hand(run: RunFile) -> None:
    """Read the same run and add it the way FiftyOne's documentation shows."""
    import fiftyone as fo

    dataset = fo.Dataset("by-hand")
    for image in latest(run.config.workspace).images():
        detections = []
        for label in image.labels:
            assert label.content.mask is not None
            box, mask = crop(label.content.mask)
            detections.append(
                fo.Detection(
                    label=label.content.label,
                    bounding_box=relative(box, image.width, image.height),
                    mask=mask,
                    confidence=label.facts.score,
                    autolabel_id=label.id,
                    review="pending",
                    source="machine",
                    decision=label.facts.decision,
                    reason=label.facts.reason,
                    margin=label.facts.margin,
                    run_id=label.run_id,
                    model=label.facts.model,
                    predicted_iou=label.facts.predicted_iou,
                    stability=label.facts.stability,
                    area=label.facts.area,
                    background=label.facts.background,
                )
            )
        metadata = fo.ImageMetadata(width=image.width, height=image.height)
        sample = fo.Sample(filepath=image.path, sha256=image.sha256, metadata=metadata)
        sample["objects"] = fo.Detections(detections=detections)
        dataset.add_sample(sample)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Do it; gives wall seconds and this process's CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def peak_mb() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
