"""One training loop for all tiny models: scheduled by steps, seeded per step, resumable."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor, nn

SAVE_EVERY = 60.0
EVALUATIONS = 12


@dataclass(frozen=True)
class Recipe:
    """Optimiser settings of one model.

    Attributes:
        peak: Highest learning rate.
        warmup: Steps until it is reached.
        decay: Weight decay on matrices and kernels.
        clip: Largest gradient norm.
    """

    peak: float
    warmup: int
    decay: float
    clip: float = 1.0


class Trainee(Protocol):
    """A model with its data, its loss and its score."""

    recipe: Recipe
    model: nn.Module

    def losses(self, rng: np.random.Generator, progress: float) -> Mapping[str, Tensor]:
        """Draw a batch and return its loss terms, already weighted; they are summed.

        Args:
            rng: Only source of randomness of the step.
            progress: Share of the schedule done, 0..1.
        """

    def evaluate(self) -> dict[str, float]:
        """Score the model on development scenes."""

    def export(self, folder: Path) -> None:
        """Write the model as it is shipped."""


@dataclass
class Run:
    """A schedule and where it is logged.

    Attributes:
        name: Name of the model and the variant.
        steps: Length of the schedule.
        seed: Seed of the weights and of every step.
        out: Folder for the checkpoint, the curve and the exported model.
        start: Weights to start from instead of random ones.
        until: Step to stop at, before the end; another run resumes, with its own ``steps``.
        curve: One row per evaluation.
        seconds: CPU seconds of this process spent in training steps.
    """

    name: str
    steps: int
    seed: int
    out: Path
    start: Path | None = None
    until: int | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def checkpoint(self) -> Path:
        """Where the state of an unfinished run lies."""
        return self.out / "checkpoint.pt"


def one_thread(seed: int) -> None:
    """Pin this process to one thread and seed the initial weights.

    Args:
        seed: Seed of torch's generator.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(seed)


def optimizer_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make AdamW that does not decay gains, biases and scalars.

    Args:
        model: The model to train.
        recipe: Its settings.

    Returns:
        The optimiser over all parameters that need a gradient.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": recipe.decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.peak, betas=(0.9, 0.98))


def rate(recipe: Recipe, step: int, steps: int) -> float:
    """Learning rate of a step: linear warm-up, then a cosine that ends at 1 % of the peak.

    Args:
        recipe: Peak and warm-up.
        step: Step from 0.
        steps: Length of the schedule.

    Returns:
        The learning rate.
    """
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return recipe.peak * min(1.0, (step + 1) / recipe.warmup) * (cosine + 0.01)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file in one move.

    Args:
        path: File to replace.
        content: Anything ``json`` can write.
    """
    half = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    half.write_text(json.dumps(content, indent=1) + "\n")
    half.replace(path)


def write_weights(path: Path, model: nn.Module, *, half_precision: bool = True) -> None:
    """Write a state dict as safetensors in one move.

    Args:
        path: File to replace.
        model: The model.
        half_precision: Store floating-point tensors as fp16.
    """
    half = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    floats = torch.float16 if half_precision else torch.float32
    tensors = {
        name: (value.to(floats) if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(tensors, str(half))
    half.replace(path)


def _save(run: Run, trainee: Trainee, optimizer: torch.optim.Optimizer, step: int) -> None:
    half = run.checkpoint.with_suffix(".tmp")
    state = {
        "model": trainee.model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "curve": json.dumps(run.curve),
        "seconds": run.seconds,
    }
    torch.save(state, half)
    half.replace(run.checkpoint)


def _resume(run: Run, trainee: Trainee, optimizer: torch.optim.Optimizer) -> int:
    if not run.checkpoint.exists():
        if run.start is not None:
            trainee.model.load_state_dict(load_file(run.start))
        return 0
    state = torch.load(run.checkpoint, weights_only=True)
    trainee.model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    run.curve, run.seconds = json.loads(state["curve"]), state["seconds"]
    return int(state["step"])


def _note(run: Run, trainee: Trainee, step: int, losses: Mapping[str, float]) -> None:
    trainee.model.eval()
    row = {
        "step": step,
        "of": run.steps,
        "cpu_s": round(run.seconds),
        **losses,
        **trainee.evaluate(),
    }
    trainee.model.train()
    run.curve.append({k: round(v, 4) for k, v in row.items()})
    print(run.name, json.dumps(run.curve[-1]), flush=True)
    log: dict[str, Any] = {"name": run.name, "steps": run.steps, "seed": run.seed}
    log |= {"start": run.start.parent.name if run.start else None, "curve": run.curve}
    write_json(run.out / "curve.json", log)


def _step(
    run: Run, trainee: Trainee, optimizer: torch.optim.Optimizer, step: int
) -> dict[str, float]:
    for group in optimizer.param_groups:
        group["lr"] = rate(trainee.recipe, step, run.steps)
    terms = trainee.losses(np.random.default_rng([run.seed, step]), step / run.steps)
    loss = torch.stack(list(terms.values())).sum()
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trainee.model.parameters(), trainee.recipe.clip)
    optimizer.step()
    return {name: term.item() for name, term in terms.items()}


def fit(run: Run, trainee: Trainee) -> None:
    """Train to the end of the schedule, from the last checkpoint if there is one, and export.

    Resuming with another number of steps moves to the other schedule, at the same step.

    Args:
        run: Schedule, seed and folder.
        trainee: The model to train; left trained and in evaluation mode.
    """
    run.out.mkdir(parents=True, exist_ok=True)
    optimizer = optimizer_of(trainee.model, trainee.recipe)
    first, every = _resume(run, trainee, optimizer), max(1, run.steps // EVALUATIONS)
    trainee.model.train()
    saved, mean = time.monotonic(), dict[str, float]()
    stop = min(run.steps, run.until or run.steps)
    for step in range(first, stop):
        start = time.process_time()
        terms = _step(run, trainee, optimizer, step)
        run.seconds += time.process_time() - start
        mean = {k: 0.97 * mean.get(k, v) + 0.03 * v for k, v in terms.items()}
        if (step + 1) % every == 0 or step + 1 == stop:
            _note(run, trainee, step + 1, mean)
        if time.monotonic() - saved > SAVE_EVERY or step + 1 == stop:
            _save(run, trainee, optimizer, step + 1)
            saved = time.monotonic()
    trainee.model.eval()
    trainee.export(run.out)
