"""Docs say what the code says: generated pages are current, links and commands exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from typer.main import get_command

from pipeline.cli import app
from pipeline.config import RunConfig

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def generator() -> object:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_pages() -> None:
    assert len(PAGES) >= 5


def test_generated_pages_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "TERM", "NO_COLOR"):
        monkeypatch.setenv(name, "")  # the generator sets them; this restores them afterwards
    module = generator()
    for name, build in module.PAGES.items():  # type: ignore[attr-defined]
        stored = (ROOT / "docs" / name).read_text(encoding="utf-8")
        assert stored == build(), f"docs/{name} is stale: run python docs/generate.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [target for target in targets if not target.startswith(("http:", "https:"))]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert not missing


def command_names() -> set[str]:
    root = get_command(app)
    names = set()
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        names.add(name)
        names |= {f"{name} {child}" for child in getattr(command, "commands", {})}
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_in_the_docs_exist(page: Path) -> None:
    names = command_names()
    text = page.read_text(encoding="utf-8")
    for words in re.findall(r"(?:^|`|\$ )autolabel ((?:[a-z]+ ?)+)", text, re.MULTILINE):
        first, *rest = words.split()
        assert first in names, f"{page.name}: autolabel {first}"
        if any(name.startswith(f"{first} ") for name in names) and rest:
            assert f"{first} {rest[0]}" in names, f"{page.name}: autolabel {first} {rest[0]}"


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert all(f"## `autolabel {name}`" in text for name in command_names())


def test_make_targets_named_in_the_docs_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {m for page in PAGES for m in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    assert named
    assert named <= targets


def test_every_top_level_key_is_documented() -> None:
    text = (ROOT / "docs" / "run-file.md").read_text(encoding="utf-8")
    assert all(f"| `{name}` |" in text for name in RunConfig.model_fields)
