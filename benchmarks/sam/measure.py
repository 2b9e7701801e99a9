"""Time and memory of Segment Anything: arms in turns, same weights, same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch  # noqa: TID253

from benchmarks.arms import Arm, in_turns, peak_mb
from benchmarks.figures import Comparison, Outcome, compared, significant
from benchmarks.floor import peak, sam_operations
from benchmarks.options import Options
from benchmarks.sam.arms import EXACT, FAST, STOCK, Found, Work
from benchmarks.sam.converted import converted, largest_difference
from benchmarks.sam.equality import agree
from benchmarks.sam.models import HOLLOW, TINY, model_of, tiny_files
from benchmarks.sam.scenes import Scene
from benchmarks.sam.theirs import FIFTYONE, TRANSFORMERS, arm_of
from pipeline.synthetic import make_scene

SIZE: Final = (768, 1024)
SIZES: Final = (SIZE, (480, 640), (1500, 2000))
THRESHOLDS: Final = {"pred_iou_thresh": 0.88, "stability_score_thresh": 0.95}
"""Those of the library."""

FIRST_SEED: Final = 7_000_000
"""Scenes that no recipe, threshold or test looks at."""

_LOGITS_APART: Final = 1e-3
"""As a share of the largest: further apart, converted weights are not the same weights."""

ARMS: Final = (STOCK, FIFTYONE, TRANSFORMERS, EXACT, FAST)


def measure_segment(options: Options) -> Outcome:
    """Time whole images: encoder, prompts, post-processing, run lengths; and peak memory."""
    torch.set_num_threads(options.threads)
    work = scene_work(options.model, SIZE, options.points)
    apart = _conversion(options.model, work)
    names, broken = _able(ARMS)
    arms = [arm_of(name, work) for name in names]
    _compile()
    operations = sam_operations(options.model, options.points**2)
    peaks_of = {dtype: peak(dtype) for dtype in (torch.float32, torch.bfloat16)}
    for arm in arms:
        arm.floor = operations / peaks_of[torch.bfloat16 if arm.name == FAST else torch.float32]
    peaks = {name: peak_mb("benchmarks.sam.measure:once", name, options.model) for name in names}
    title = f"SAM {options.model}, {options.points}x{options.points} prompts, 1024x768"
    found = _measured(title, arms, options.repeats, peaks)
    figures = {
        "operations_per_image": significant(operations),
        "transformers_logits_apart": apart,
    }
    return Outcome((found,), figures, (*_apart(apart), *broken))


def measure_equality(options: Options) -> Outcome:
    """Compare masks of the trained tiny model, whose logits are its own."""
    torch.set_num_threads(1)
    images = 4 if options.short else 200
    scenes = tuple(make_scene(seed).image for seed in range(FIRST_SEED, FIRST_SEED + images))
    work = Work(TINY, scenes, dict(tiny_files().defaults))
    names, broken = _able((STOCK, EXACT, FAST))
    arms = [arm_of(name, work) for name in names]
    _compile()
    apart = _conversion(TINY, work)
    title = f"SAM, trained tiny model, {images} scenes"
    found = _measured(title, arms, 1 if options.short else options.repeats)
    figures = {"transformers_logits_apart": apart}
    return Outcome((found,), figures, (*_apart(apart), *broken))


def measure_postprocessing(options: Options) -> Outcome:
    """Time everything behind the decoder alone, on one thread."""
    torch.set_num_threads(1)
    _compile()
    sizes = ((192, 256),) if options.short else SIZES
    points = 4 if options.short else options.points
    return Outcome(tuple(_postprocessing(size, points, options) for size in sizes))


def _postprocessing(size: tuple[int, int], points: int, options: Options) -> Comparison:
    work = scene_work(HOLLOW, size, points, models=False)
    arms = [arm_of(name, work) for name in (STOCK, EXACT)]
    taken = in_turns(arms, options.repeats)
    stock, ours = taken[STOCK].answer, taken[EXACT].answer
    # Not the masks alone: scores, stability and points as well.
    same = [set(theirs) == set(mine) for theirs, mine in zip(stock, ours, strict=True)]
    answers: dict[str, dict[str, Any]] = {
        STOCK: {"masks": len(stock[0])},
        EXACT: {"masks": len(ours[0]), "equal bit for bit": all(same)},
    }
    lost = [] if all(same) and stock[0] else [f"{EXACT}: not equal to stock bit for bit"]
    title = f"SAM post-processing, {points}x{points} prompts, {size[1]}x{size[0]}"
    return compared(title, arms, taken, answers=answers, lost=lost)


def scene_work(
    architecture: str, size: tuple[int, int], points: int, *, models: bool = True
) -> Work:
    """Give the work on a drawn scene whose logits are known."""
    scene = Scene(0, size)
    settings = {"points_per_side": points, **THRESHOLDS}
    return Work(architecture, (scene.image,), settings, scene, models)


def once(name: str, architecture: str) -> None:
    """Run an arm on one whole batch of the default 64 prompts: the most that is held at once."""
    arm_of(name, scene_work(architecture, SIZE, 8)).run()


def _measured(
    title: str, arms: Sequence[Arm[Found]], repeats: int, peaks: dict[str, int] | None = None
) -> Comparison:
    taken = in_turns(arms, repeats)
    agreements = {arm.name: agree(taken[STOCK].answer, taken[arm.name].answer) for arm in arms}
    answers = {name: agreement.figures() for name, agreement in agreements.items()}
    lost = [line for name, agreement in agreements.items() for line in agreement.lost(name)]
    return compared(title, arms, taken, answers=answers, peaks=peaks, lost=lost)


def _conversion(architecture: str, work: Work) -> float:
    model = model_of(architecture)
    return significant(largest_difference(model, converted(model), work.images[0]))


def _apart(apart: float) -> tuple[str, ...]:
    return (f"transformers' logits are {apart} apart",) if apart > _LOGITS_APART else ()


def _able(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Say which arms this machine can run, and why not the others: the rest is still measured."""
    work = Work(TINY, (make_scene(FIRST_SEED).image,), dict(tiny_files().defaults))
    able, broken = [], []
    for name in names:
        try:
            if name == FAST:  # bf16: the only one that asks something special of a processor
                arm_of(name, work).run()
        except RuntimeError as error:
            broken.append(f"{name} does not run on this machine: {str(error)[:80]}")
        else:
            able.append(name)
    return able, broken


def _compile() -> None:
    """Have the kernel ready: it is compiled once per installation, not per run."""
    arm_of(EXACT, scene_work(HOLLOW, (48, 64), 2, models=False)).run()
