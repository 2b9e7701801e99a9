"""What the App's tests show: five drawn images, a broken one, and names that try to be script."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.engines.fake import draw_text

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PATIENCE = 400.0
"""Seconds for the App to start: it imports fiftyone, on machines that do other things as well."""

EVIL = '<img src=x onerror="window.__executed=1">'
EVIL_CLASS = f"{EVIL} blue"
EVIL_TEXT = "</script><script>window.__executed=1</script>"
WIDTH, HEIGHT = 160, 120
BLOCK = (20, 20, 100, 80)
"""Left, top, right, bottom of the block of colour in every image."""

RUN_FILE = f"""\
name: app test
images: [images]
workspace: ws
input: {{decode_workers: 1}}
stages:
  embed: {{engine: fake}}
  segment: {{engine: fake}}
  read: {{engine: fake}}
policy:
  templates: ["{{}}"]
  classes:
    - {{name: red}}
    - {{name: green}}
    - {{name: '{EVIL_CLASS}'}}
    - {{name: cyan}}
  background: [grey]
  tags: {{threshold: 0.05}}
  regions: {{threshold: 0.4, review_below: 0.99}}
"""
IMAGES = {
    "accept.png": ((220, 30, 30), "CAFE"),
    "relabel.png": ((30, 160, 50), "HOTEL"),
    "text.png": ((220, 30, 30), "STP"),
    "reject.png": ((30, 160, 50), "EXIT"),
    "evil.png": ((40, 70, 220), EVIL_TEXT),
}


@dataclass
class Session:
    """A running ``autolabel review``."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the App is, as it was printed."""
        found = re.search(r"http://127\.0\.0\.1:\d+/datasets/\S+", "\n".join(self.lines))
        return found.group() if found else ""

    def leave(self) -> str:
        """Press Ctrl-C, wait, give what was printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)
        return "\n".join(self.lines)


def make_image(colour: tuple[int, int, int], text: str) -> Image.Image:
    pixels = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    left, top, right, bottom = BLOCK
    pixels[top:bottom, left:right] = colour
    return Image.fromarray(draw_text(pixels, text, 20, 100, 10))


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not within {seconds} s"
        time.sleep(0.1)
