"""Kept figures as one table and one plot; ``docs/benchmarks.md`` carries them.

Both are made from ``results/*.json`` alone, so benchmarks can be run one by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.arms import ROOT
from benchmarks.figures import Comparison, Outcome, Row, Spread, from_json

RESULTS: Final = ROOT / "benchmarks" / "results"
PAGE: Final = ROOT / "docs" / "benchmarks.md"
PLOT: Final = ROOT / "docs" / "images" / "benchmarks.png"
BEGIN, END = "<!-- figures: python -m benchmarks --table -->", "<!-- end of figures -->"

_HEAD: Final = (
    "benchmark",
    "arm",
    "wall s (range)",
    "times faster (range)",
    "CPU s",
    "less CPU",
    "x floor",
    "peak MiB",
    "answer",
)
_BAR, _OURS, _THEIRS = 0.62, "#2a6f97", "#b8b8b8"


def stored(folder: Path = RESULTS) -> dict[str, tuple[Outcome, Mapping[str, Any]]]:
    """Read what was kept: per benchmark its outcome and the machine it was found on."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        values = json.loads(path.read_text(encoding="utf-8"))
        found[path.stem] = from_json(values), values["machine"]
    return found


def table(outcomes: Mapping[str, Outcome]) -> str:
    """Lay arms out as one Markdown table, aligned for a terminal; then all other figures."""
    rows = [
        _cells(comparison.title, row)
        for outcome in outcomes.values()
        for comparison in outcome.comparisons
        for row in comparison.rows
    ]
    figures = [
        (name, key, _text(value))
        for name, outcome in outcomes.items()
        for key, value in _flat(outcome.figures)
    ]
    parts = [_markdown(_HEAD, rows)] if rows else []
    parts += [_markdown(("benchmark", "figure", "value"), figures)] if figures else []
    return "\n\n".join(parts)


def section(found: Mapping[str, tuple[Outcome, Mapping[str, Any]]]) -> str:
    """Give the part of the page that figures stand in."""
    where: dict[str, list[str]] = {}
    for name, (_, machine) in found.items():
        where.setdefault(", ".join(f"{k} {v}" for k, v in machine.items()), []).append(name)
    machines = [f"- `{'`, `'.join(names)}`: {machine}" for machine, names in where.items()]
    shown = table({name: outcome for name, (outcome, _) in found.items()})
    return "\n".join([BEGIN, "", shown, "", "Found on", "", *machines, "", END])


def write_page(folder: Path = RESULTS, page: Path = PAGE, plot: Path = PLOT) -> str:
    """Put all that was kept into the page and the plot; gives the section."""
    found = stored(folder)
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = section(found)
    page.write_text(before + made + after, encoding="utf-8")
    draw([c for outcome, _ in found.values() for c in outcome.comparisons], plot)
    return made


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw how many times faster than its reference each arm is, with the range of the repeats."""
    from matplotlib.figure import Figure  # noqa: PLC0415  a second of start-up, for this alone

    kept = [comparison for comparison in comparisons if len(comparison.rows) > 1]
    if not kept:
        return
    heights = [len(comparison.rows) + 1 for comparison in kept]
    figure = Figure(figsize=(9, 0.34 * sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(
        len(kept), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axis, comparison in zip(axes[:, 0], kept, strict=True):
        _panel(axis, comparison)
    most = max(row.ratio.most for comparison in kept for row in comparison.rows)
    axes[-1, 0].set_xlim(right=most * 2.2)
    axes[-1, 0].set_xlabel("times faster than the first arm of each group (wall time, log scale)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _panel(axis: Any, comparison: Comparison) -> None:  # noqa: ANN401  matplotlib is untyped
    rows = comparison.rows
    places = range(len(rows))
    medians = [row.ratio.median for row in rows]
    spread = [
        [max(0.0, row.ratio.median - row.ratio.least) for row in rows],
        [max(0.0, row.ratio.most - row.ratio.median) for row in rows],
    ]
    colours = [_OURS if row.arm.startswith("ours") else _THEIRS for row in rows]
    axis.barh(places, medians, _BAR, xerr=spread, color=colours, ecolor="#333333", capsize=3)
    axis.set_yticks(places, [row.arm for row in rows])
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.axvline(1, color="#333333", linewidth=0.8)
    axis.set_title(comparison.title, loc="left", fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}x")
    for place, row in zip(places, rows, strict=True):
        axis.annotate(
            f"{row.ratio.median:g}x",
            (max(row.ratio.most, row.ratio.median), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )


def _cells(title: str, row: Row) -> tuple[str, ...]:
    answer = ", ".join(f"{name} {_text(value)}" for name, value in row.answer.items())
    return (
        title,
        row.arm,
        _spread(row.wall),
        _spread(row.ratio),
        f"{row.cpu.median:g}",
        f"{row.cpu_ratio.median:g}",
        _text(row.times_floor),
        _text(row.peak_mb),
        answer,
    )


def _spread(value: Spread) -> str:
    if value.least == value.most:
        return f"{value.median:g}"
    return f"{value.median:g} ({value.least:g}-{value.most:g})"


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _flat(figures: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key} ")
        else:
            yield prefix + key, value


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
