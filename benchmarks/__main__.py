"""``python -m benchmarks [NAME…]``: run benchmarks, print a table, keep the figures as JSON.

overhead  share of a labelling run's wall time that is not model compute, on data/samples
memory    peak memory of a run over 5,000 small images against 500
rerun     seconds of a run after a change of policy, against the first run's model seconds
flows     seconds that a flow run takes longer than a plain run, per shard task
segment   Segment Anything on a random vit_b: stock, exact, fast; equality, floor, peak memory
post      what comes behind its decoder, alone
equality  masks of exact and fast against stock on 200 scenes, trained tiny model
publish   seconds to publish for review against add_sample per image, and its peak memory
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.flows import measure_flows
from benchmarks.memory import measure_memory
from benchmarks.overhead import measure_overhead
from benchmarks.publish import measure_publish
from benchmarks.rerun import measure_rerun
from benchmarks.sam.equality import measure_equality
from benchmarks.sam.measure import measure_postprocessing, measure_segment

BENCHMARKS: dict[str, Callable[[], dict[str, Any]]] = {
    "overhead": measure_overhead,
    "memory": measure_memory,
    "rerun": measure_rerun,
    "segment": measure_segment,
    "post": measure_postprocessing,
    "equality": measure_equality,
    "publish": measure_publish,
    "flows": measure_flows,
}
RESULTS = Path(__file__).parent / "results"


def main(names: list[str]) -> int:
    """Run the named benchmarks, all of them if none is named."""
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
        return 2
    RESULTS.mkdir(exist_ok=True)
    for name in names or BENCHMARKS:
        figures = {"machine": f"{platform.machine()} {platform.system()}", **BENCHMARKS[name]()}
        (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n")
        print(f"\n{name}")
        for key, value in figures.items():
            print(f"  {key:<32}{value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
