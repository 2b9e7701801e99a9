"""``python -m benchmarks [NAME…]``: run benchmarks, print a table, keep the figures as JSON.

segment   Segment Anything, random weights: stock, FiftyOne, transformers, ours; peak memory
equality  masks of exact and fast against stock on 200 scenes, trained tiny model
post      what comes behind the decoder of Segment Anything, alone
clip      vectors of images and of region crops: loops as people write them against ours
naming    names of regions from crops and from patches: how right, and what relevance tells
ocr       EasyOCR and RapidOCR as people call them against our engines
coco      masks to run lengths, and labels to a COCO file
demo      the whole demo run: stock, now, and an older checkout (--before)
overhead  share of a labelling run's wall time that is not model compute, on data/samples
memory    peak memory of a run over 5,000 small images against 500
rerun     seconds of a run after a change of policy, against the first run's model seconds
publish   seconds to publish for review against add_sample per image, and its peak memory
flows     seconds that a flow run takes longer than a plain run, per shard task

Without names all of them run. --short runs small versions of those that compare answers, keeps
nothing, and says what is not equal any more; times are not looked at. Lost equality is exit code 1
in either case. --table runs nothing: it puts all kept figures into docs/benchmarks.md and draws
the plot.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Outcome, as_json
from benchmarks.options import Options
from benchmarks.page import RESULTS, table, write_page

Benchmark = Callable[[Options], Outcome]

BENCHMARKS: Final = {
    "segment": "benchmarks.sam.measure:measure_segment",
    "equality": "benchmarks.sam.measure:measure_equality",
    "post": "benchmarks.sam.measure:measure_postprocessing",
    "clip": "benchmarks.clip:measure_clip",
    "naming": "benchmarks.naming:measure_naming",
    "ocr": "benchmarks.ocr:measure_ocr",
    "coco": "benchmarks.coco:measure_coco",
    "demo": "benchmarks.demo:measure_demo",
    "overhead": "benchmarks.overhead:measure_overhead",
    "memory": "benchmarks.memory:measure_memory",
    "rerun": "benchmarks.rerun:measure_rerun",
    "publish": "benchmarks.publish:measure_publish",
    "flows": "benchmarks.flows:measure_flows",
}
SHORT: Final = ("equality", "post", "clip", "ocr", "coco")
"""Those that compare answers, and can do it within seconds."""


def main(arguments: Sequence[str]) -> int:
    """Run the named benchmarks, all of them if none is named."""
    asked = _parser().parse_args(arguments)
    if asked.table:
        print(write_page())
        return 0
    unknown = set(asked.names) - set(BENCHMARKS)
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
        return 2
    options = Options(
        asked.model,
        1 if asked.short else asked.repeats,
        asked.points,
        asked.threads,
        asked.short,
        asked.before,
    )
    names = asked.names or (SHORT if asked.short else tuple(BENCHMARKS))
    return report({name: _run(name, options) for name in names}, print)


def report(outcomes: dict[str, Outcome], say: Callable[[str], object]) -> int:
    """Show what was found and what was lost; gives the exit code."""
    say(table(outcomes))
    lost = [f"{name}: {line}" for name, outcome in outcomes.items() for line in outcome.all_lost()]
    for line in lost:
        say(f"LOST {line}")
    return 1 if lost else 0


def _run(name: str, options: Options) -> Outcome:
    print(f"{name} …", file=sys.stderr, flush=True)
    module, function = BENCHMARKS[name].split(":")
    measure: Benchmark = getattr(importlib.import_module(module), function)
    load = round(os.getloadavg()[0], 1)
    outcome = measure(options)
    if not options.short:
        other = "" if options.model == Options.model else f"-{options.model}"
        keep(outcome, options, RESULTS / f"{name}{other}.json", load)
    return outcome


def keep(outcome: Outcome, options: Options, path: Path, load: float = 0.0) -> None:
    """Write the figures with the machine that they were found on.

    Args:
        load: Of the machine before the benchmark began: what else it had to do.
    """
    path.parent.mkdir(exist_ok=True)
    values = {"machine": {**_machine(options), "load before": load}, **as_json(outcome)}
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _machine(options: Options) -> dict[str, Any]:
    return {
        "machine": f"{platform.machine()} {platform.system()}",
        "processor": _processor(),
        "threads": options.threads,
        "python": platform.python_version(),
        "torch": version("torch"),
        "repeats": options.repeats,
    }


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    if not listed.is_file():
        return platform.processor()
    lines = listed.read_text(encoding="utf-8").splitlines()
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--short", action="store_true", help="equality alone, within a minute")
    parser.add_argument("--table", action="store_true", help="only lay out the kept figures")
    parser.add_argument("--repeats", type=int, default=Options.repeats)
    parser.add_argument("--model", default=Options.model, choices=("vit_b", "vit_l", "vit_h"))
    parser.add_argument("--points", type=int, default=Options.points, help="prompts per side")
    parser.add_argument("--threads", type=int, default=Options.threads, help="of torch")
    parser.add_argument("--before", type=Path, help="demo: a checkout of an older version")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
