"""Folders with models as a person could have them, checked as the run would check them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import ModelsConfig
from pipeline.weights import ModelFiles, locate


@pytest.fixture
def checked(tmp_path: Path) -> Callable[[], ModelFiles]:
    """Check what the test has put into its temporary folder."""
    return lambda: locate("./.", ModelsConfig(), tmp_path)


class Trap:
    """A pickle that runs a command when it is opened without restriction."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def trap(tmp_path_factory: pytest.TempPathFactory) -> Trap:
    return Trap(tmp_path_factory.mktemp("trap") / "sprung")
