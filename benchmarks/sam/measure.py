"""Time and memory of Segment Anything: arms interleaved in one run, same weights, same image.

``python -m benchmarks segment`` runs it. AUTOLABEL_BENCH_REPEATS, _POINTS and _THREADS make a
run longer or shorter; on a busy machine one thread and CPU seconds say more than wall time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch  # noqa: TID253

from benchmarks.sam.arms import Arm, Mode, build
from benchmarks.sam.equality import best_ious
from benchmarks.sam.floor import operations, peak
from benchmarks.sam.scenes import Scene
from pipeline.engines.fast_sam import FoundMask

ROOT = Path(__file__).parents[2]
SIZE = (768, 1024)
SIZES = ((768, 1024), (480, 640), (1500, 2000))
MODES: tuple[Mode, ...] = ("stock", "exact", "fast")
THREADS = int(os.environ.get("AUTOLABEL_BENCH_THREADS", "2"))
REPEATS = int(os.environ.get("AUTOLABEL_BENCH_REPEATS", "1"))
POINTS = int(os.environ.get("AUTOLABEL_BENCH_POINTS", "32"))
THRESHOLDS = {"pred_iou_thresh": 0.88, "stability_score_thresh": 0.95}


@dataclass
class Taken:
    """Seconds of an arm's runs and the masks of its last one."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    masks: list[FoundMask] = field(default_factory=list)

    def run(self, arm: Arm) -> None:
        """Run an arm once more."""
        before = arm.excluded.wall, arm.excluded.cpu
        wall, cpu = time.perf_counter(), time.process_time()
        self.masks = arm.generate()
        self.wall.append(time.perf_counter() - wall - (arm.excluded.wall - before[0]))
        self.cpu.append(time.process_time() - cpu - (arm.excluded.cpu - before[1]))

    def figures(self) -> dict[str, Any]:
        """Medians and spread."""
        return {
            "masks": len(self.masks),
            "wall_seconds": round(statistics.median(self.wall), 2),
            "wall_range": [round(min(self.wall), 2), round(max(self.wall), 2)],
            "cpu_seconds": round(statistics.median(self.cpu), 3),
            "cpu_range": [round(min(self.cpu), 3), round(max(self.cpu), 3)],
        }


def measure_segment(architecture: str = "vit_b") -> dict[str, Any]:
    """Time whole images: encoder, prompts, post-processing, run lengths."""
    torch.set_num_threads(THREADS)
    taken = _interleaved(architecture, SIZE, models=True)
    work = operations(architecture, POINTS**2)
    floors: dict[Mode, float] = {
        "stock": work / peak(torch.float32),
        "exact": work / peak(torch.float32),
        "fast": work / peak(torch.bfloat16),
    }
    out: dict[str, Any] = {"model": architecture, "points": POINTS**2, "size": list(SIZE)}
    for mode in MODES:
        row = {**taken[mode].figures(), **_against(taken["stock"], taken[mode])}
        row["times_stock_graph_floor"] = round(row["wall_seconds"] / floors[mode], 2)
        row["peak_mb"] = peak_memory(mode, architecture)
        out[mode] = row
    return out


def measure_postprocessing() -> dict[str, Any]:
    """Time everything behind the decoder alone, on one thread."""
    torch.set_num_threads(1)
    out: dict[str, Any] = {"points": POINTS**2}
    for size in SIZES:
        taken = _interleaved("vit_b", size, models=False)
        row = {"stock": taken["stock"].figures(), "exact": taken["exact"].figures()}
        row["exact"].update(_against(taken["stock"], taken["exact"]))
        row["exact"]["every_figure_equal"] = _everything(taken["stock"]) == _everything(
            taken["exact"]
        )
        out[f"{size[1]}x{size[0]}"] = row
    return out


def peak_memory(mode: str, architecture: str) -> int:
    """Give the peak memory of one image in a process of its own, in MiB."""
    command = [sys.executable, "-m", "benchmarks.sam.measure", mode, architecture]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["peak_mb"])


def _interleaved(architecture: str, size: tuple[int, int], *, models: bool) -> dict[Mode, Taken]:
    scene = Scene(0, size)
    settings = {"points_per_side": POINTS, **THRESHOLDS}
    modes: tuple[Mode, ...] = MODES if models else ("stock", "exact")
    arms = {mode: build(mode, architecture, scene, settings, models=models) for mode in modes}
    _compile(scene)
    taken = {mode: Taken() for mode in modes}
    for _ in range(REPEATS):
        for mode, arm in arms.items():
            taken[mode].run(arm)
    return taken


def _compile(scene: Scene) -> None:
    """Have the kernel ready: it is compiled once per installation, not per run."""
    build("exact", "vit_b", scene, {"points_per_side": 2, **THRESHOLDS}, models=False).generate()


def _against(stock: Taken, ours: Taken) -> dict[str, Any]:
    reference, masks = ([found.mask for found in arm.masks] for arm in (stock, ours))
    ious = best_ious(reference, masks)
    return {
        "wall_ratio": round(statistics.median(stock.wall) / statistics.median(ours.wall), 2),
        "cpu_ratio": round(statistics.median(stock.cpu) / statistics.median(ours.cpu), 2),
        "byte_equal": f"{len(set(reference) & set(masks))}/{len(reference)}",
        "least_iou": round(min(ious, default=1.0), 5),
    }


def _everything(arm: Taken) -> set[FoundMask]:
    return set(arm.masks)


def _once(mode: Mode, architecture: str) -> None:
    torch.set_num_threads(THREADS)
    scene = Scene(0, SIZE)
    # One whole batch of the default 64 prompts: the most that is ever held at once.
    build(mode, architecture, scene, {"points_per_side": 8, **THRESHOLDS}).generate()
    print(json.dumps({"peak_mb": _high_water_kb() // 1024}))


def _high_water_kb() -> int:
    # Not getrusage: its peak is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    _once(sys.argv[1], sys.argv[2])  # type: ignore[arg-type]
