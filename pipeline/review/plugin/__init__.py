"""The FiftyOne plugin: operators, a panel and keys; FiftyOne finds it by ``fiftyone.yml``."""

from __future__ import annotations

from typing import Any


def register(plugin: Any) -> None:  # noqa: ANN401  FiftyOne's plugin context
    """Hand FiftyOne what it shall offer; it calls this when it loads the plugin."""
    from pipeline.review.plugin.operators import OPERATORS  # noqa: PLC0415
    from pipeline.review.plugin.panel import ReviewProgress  # noqa: PLC0415

    for operator in (*OPERATORS, ReviewProgress):
        plugin.register(operator)
