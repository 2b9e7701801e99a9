"""What the synthetic scenes are made of, and which seeds belong to which use."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SHAPES: Final = ("circle", "square", "triangle", "star", "cross", "ring", "heart", "crescent")
COLORS: Final[Mapping[str, tuple[int, int, int]]] = MappingProxyType(
    {
        "red": (205, 35, 40),
        "orange": (240, 135, 25),
        "yellow": (245, 215, 45),
        "green": (35, 150, 60),
        "blue": (35, 75, 205),
        "purple": (130, 45, 165),
        "white": (245, 245, 245),
        "black": (22, 22, 24),
    }
)
"""Saturated object colours as RGB in 0..255; the backgrounds are muted so that they differ."""
TEXTURES: Final = ("solid", "striped", "dotted")
BACKGROUNDS: Final = ("sky", "grass", "sand", "brick", "wood", "water")
WORDS: Final = (
    "STOP",
    "OPEN",
    "EXIT",
    "SALE",
    "TAXI",
    "HOTEL",
    "CAFE",
    "BANK",
    "PARK",
    "MILK",
    "BREAD",
    "FRESH",
    "TOOLS",
    "CARGO",
    "NORTH",
    "SOUTH",
    "EAST",
    "WEST",
    "LEFT",
    "RIGHT",
    "METRO",
    "PIZZA",
    "MUSIC",
    "BOOKS",
    "WATER",
    "DOCK",
    "GATE",
    "ZONE",
    "QUIET",
    "JUICE",
)

TRAIN_SEEDS: Final = range(100_000)
"""Scenes the weights are fitted on."""
DEV_SEEDS: Final = range(100_000, 110_000)
"""Scenes used to choose recipes, schedules and thresholds."""
SAMPLE_SEEDS: Final = range(200_000, 210_000)
"""Scenes written to ``data/samples``."""
TEST_SEEDS: Final = range(300_000, 310_000)
"""Scenes scored once, after every choice was made."""
