"""``python -m data.train_tiny COMMAND``: train one tiny model, tune or score the shipped ones."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from data.train_tiny.cache import build_cache, make_samples
from data.train_tiny.runs import Run, fit, one_thread
from pipeline.synthetic.vocabulary import DEV_SEEDS, TEST_SEEDS, TRAIN_SEEDS

if TYPE_CHECKING:
    from data.train_tiny.cache import SceneCache
    from data.train_tiny.runs import Trainee

_MODELS = ("clip", "sam", "ocr-rec", "ocr-det")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data.train_tiny", description=__doc__)
    parser.add_argument("command", choices=(*_MODELS, "tune", "score", "ablation"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--until", type=int, help="stop at this step, to resume later")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder of the run, or file of the figures")
    parser.add_argument("--scenes", type=int, default=8000, help="training scenes")
    parser.add_argument("--cache", type=Path, default=Path("workspace/tiny-scenes"))
    parser.add_argument("--start", type=Path, help="safetensors file to start from")
    parser.add_argument("--pair", type=Path, nargs=2, help="clip runs with and without patches")
    parser.add_argument("--no-dense", action="store_true", help="clip without the patch loss")
    parser.add_argument(
        "--test", action="store_true", help="score the test seeds, not the dev ones"
    )
    parser.add_argument("--ship", action="store_true", help="copy the result to data/models/tiny")
    return parser.parse_args()


def _scenes(arguments: argparse.Namespace) -> SceneCache:
    folder = arguments.cache.with_name(f"{arguments.cache.name}-{arguments.scenes}")
    return build_cache(folder, TRAIN_SEEDS[: arguments.scenes])


def _ocr_trainee(arguments: argparse.Namespace) -> Trainee:
    from data.train_tiny.ocr_train import DetectorTrainee, ReaderTrainee  # noqa: PLC0415

    signs = make_samples(DEV_SEEDS[:80], word_chance=1.0)
    if arguments.command == "ocr-rec":
        return ReaderTrainee(signs)
    bare = make_samples(DEV_SEEDS[80:120], word_chance=0.0)
    return DetectorTrainee(_scenes(arguments), [*signs, *bare])


def _trainee(arguments: argparse.Namespace) -> Trainee:
    if arguments.command == "sam":
        from data.train_tiny.sam_train import SamTrainee  # noqa: PLC0415

        return SamTrainee(_scenes(arguments), make_samples(DEV_SEEDS[:40]))
    if arguments.command == "clip":
        from data.train_tiny.clip_train import ClipTrainee  # noqa: PLC0415

        dev = make_samples(DEV_SEEDS[:120])
        return ClipTrainee(_scenes(arguments), dev, dense=not arguments.no_dense)
    return _ocr_trainee(arguments)


def _train(arguments: argparse.Namespace) -> None:
    from data.train_tiny.shipped import ship  # noqa: PLC0415

    one_thread(arguments.seed)
    out = arguments.out or Path("workspace") / f"tiny-{arguments.command}"
    plan = arguments.steps, arguments.seed, out, arguments.start, arguments.until
    fit(Run(out.name, *plan), _trainee(arguments))
    if arguments.ship:
        ship(arguments.command, out)


def _judge(arguments: argparse.Namespace) -> None:
    one_thread(arguments.seed)
    if arguments.command == "tune":
        from data.train_tiny.tune import tune  # noqa: PLC0415

        tune(make_samples(DEV_SEEDS[200:240]))
        return
    if arguments.command == "ablation":
        from data.train_tiny.shipped import write_ablation  # noqa: PLC0415

        write_ablation(*arguments.pair)
        return
    from data.train_tiny.score import score  # noqa: PLC0415

    seeds = TEST_SEEDS if arguments.test else DEV_SEEDS[1000:]
    score(seeds, arguments.out or Path("workspace") / "tiny-dev-figures.json")


def main() -> None:
    """Run one command."""
    arguments = _arguments()
    if arguments.command in _MODELS:
        _train(arguments)
    else:
        _judge(arguments)


if __name__ == "__main__":
    main()
