"""Start the real command in a process of its own and see what it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.arms import ROOT

DEMO = ROOT / "configs" / "demo.yaml"

_PEAK = """\
import json, resource, sys
from pathlib import Path
from pipeline.app import label
from pipeline.runfile import Overrides, load_run_file
result = label(load_run_file(Path(sys.argv[1]), Overrides(workspace=Path(sys.argv[2]))))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({**result.summary, "peak_mb": peak / 1024}))
"""


def labelling_run(run_file: Path, workspace: Path) -> dict[str, Any]:
    """Label in a fresh process; gives the run's summary with its ``peak_mb``."""
    command = [sys.executable, "-c", _PEAK, str(run_file), str(workspace)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ}, stdout=subprocess.PIPE, text=True, check=True
    )
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary
