"""Prefect on the roof: thin flows and tasks over ``pipeline``.

Paths, ids and numbers go in, counts and paths come out; arrays never cross.

============  =====================================================================
label         scan → one task per shard of images → fuse and write → publish
pull_reviews  what people decided in FiftyOne → the workspace's review log
export        reviewed labels → training sets
nightly       label → pull → export
schedule      ``autolabel schedule``: a deployment, served here
watch         ``autolabel watch``: a run when a folder has received images and is quiet again
server        ``autolabel server``: ``prefect_server`` with its ``pool`` and ``automations``
jobs          the runs that this process has open; ``fence`` keeps lost ones from writing
tasks         what all tasks share: which errors are tried again, and how names look
shown         what a person sees on a run's page: tables, pictures, links
hooks         the state of a run, written into its workspace and told to people
direct        a flow from a shell: ``python -m flows.label CONFIG``
cli           the commands that flows add to ``autolabel``
============  =====================================================================
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

HEARTBEAT_SECONDS: Final = 30
"""The shortest that Prefect knows. A run is taken for dead after several of them are missing."""

# Prefect reads its settings when it is first imported, so they stand here, above every import of
# it. Whatever the user has set wins.
for _name, _value in {
    "PREFECT_HOME": str(Path.home() / ".autolabel-prefect"),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    "PREFECT_LOGGING_EXTRA_LOGGERS": "pipeline",
    # What is logged outside of a run, as by ``autolabel watch``, belongs to none.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # Without a server a run brings its own; Prefect's 20 s are too few for a busy machine.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}.items():
    os.environ.setdefault(_name, _value)
