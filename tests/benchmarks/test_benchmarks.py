"""What benchmarks say: spreads, tables, pages, and above all that equality can be lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import page
from benchmarks.__main__ import BENCHMARKS, SHORT, keep, report
from benchmarks.arms import Arm, Clock, Taken, in_turns, peak_mb
from benchmarks.figures import (
    Comparison,
    Outcome,
    Spread,
    as_json,
    compared,
    from_json,
    significant,
)
from benchmarks.options import Options


def comparison(lost: tuple[str, ...] = ()) -> Comparison:
    arms = [Arm("loop", int), Arm("ours", int, floor=0.5)]
    taken = {"loop": Taken([4.0, 6.0], [8.0, 8.0], 0), "ours": Taken([2.0, 1.0], [1.0, 2.0], 0)}
    return compared("work", arms, taken, peaks={"ours": 70}, lost=lost)


def test_ratios_are_taken_round_by_round() -> None:
    loop, ours = comparison().rows
    assert loop.ratio == Spread(1.0, 1.0, 1.0)
    assert ours.ratio == Spread(4.0, 2.0, 6.0)
    assert ours.cpu_ratio == Spread(6.0, 4.0, 8.0)
    assert ours.times_floor == 3.0
    assert (loop.times_floor, loop.peak_mb, ours.peak_mb) == (None, None, 70)


def test_turns_change_direction_and_every_arm_has_as_many() -> None:
    turns: list[str] = []
    arms = [Arm(name, lambda name=name: turns.append(name)) for name in "ab"]  # type: ignore[misc]
    taken = in_turns(arms, 3)
    assert turns == ["a", "b", "b", "a", "a", "b"]
    assert {len(times.wall) for times in taken.values()} == {3}


def test_warm_up_is_not_counted() -> None:
    turns: list[int] = []
    taken = in_turns([Arm("a", lambda: turns.append(0))], 1, warm_up=True)
    assert (len(turns), len(taken["a"].wall)) == (2, 1)


def test_excluded_seconds_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("benchmarks.arms.time.perf_counter", lambda: now[0])
    clock = Clock()

    def run() -> None:
        now[0] += 3
        with clock:
            now[0] += 100

    assert in_turns([Arm("a", run, clock)], 2)["a"].wall == [3, 3]


@given(st.lists(st.floats(1e-3, 1e6), min_size=1))
def test_a_median_lies_within_its_range(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.least <= spread.median <= spread.most


@pytest.mark.parametrize(
    ("value", "rounded"), [(0.123456, 0.123), (12.345, 12.3), (1234.5, 1234), (0.0, 0.0)]
)
def test_figures_keep_three_digits(value: float, rounded: float) -> None:
    assert significant(value) == rounded


def test_what_is_kept_can_be_read_back(tmp_path: Path) -> None:
    outcome = Outcome((comparison(("gone",)),), {"a": 1})
    keep(outcome, Options(repeats=2), tmp_path / "work.json")
    values = json.loads((tmp_path / "work.json").read_text())
    assert from_json(values) == outcome == from_json(json.loads(json.dumps(as_json(outcome))))
    assert values["machine"].keys() >= {"machine", "torch", "threads", "repeats"}


def test_the_table_is_aligned_and_names_everything() -> None:
    text = page.table({"work": Outcome((comparison(),), {"share": {"of": 0.25}})})
    first, second = text.split("\n\n")
    assert len({len(line) for line in first.splitlines()}) == 1
    assert "4 (2-6)" in first
    assert "| share of | 0.25  |" in second


def test_the_page_and_the_plot_are_made_from_what_is_kept(tmp_path: Path) -> None:
    keep(Outcome((comparison(),)), Options(), tmp_path / "work.json")
    text = tmp_path / "page.md"
    text.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    plot = tmp_path / "plot.png"
    made = page.write_page(tmp_path, text, plot)
    assert text.read_text() == f"before\n{made}\nafter\n"
    assert "old" not in made
    assert plot.read_bytes().startswith(b"\x89PNG")
    page.write_page(tmp_path, text, plot)
    assert text.read_text() == f"before\n{made}\nafter\n"


def test_the_docs_show_the_figures_that_are_kept() -> None:
    assert page.section(page.stored()) in page.PAGE.read_text(encoding="utf-8")


def test_lost_equality_is_the_exit_code_and_time_is_not() -> None:
    said: list[str] = []
    assert report({"work": Outcome((comparison(),))}, said.append) == 0
    assert report({"work": Outcome((comparison(("a mask is gone",)),))}, said.append) == 1
    assert said[-1] == "LOST work: a mask is gone"
    slow = replace(comparison().rows[1], ratio=Spread(0.01, 0.01, 0.01))
    assert report({"work": Outcome((Comparison("work", (slow,)),))}, said.append) == 0


def test_every_benchmark_has_a_line_of_help_and_a_module() -> None:
    import benchmarks.__main__ as command

    assert set(SHORT) <= set(BENCHMARKS)
    for name, place in BENCHMARKS.items():
        assert f"\n{name} " in str(command.__doc__)
        module = place.split(":")[0].replace(".", "/")
        assert Path(command.__file__).parents[1].joinpath(f"{module}.py").is_file()


def test_peaks_are_those_of_a_process_of_its_own() -> None:
    own = bytearray(200_000_000)
    own[::4096] = b"x" * len(own[::4096])
    peak = peak_mb("tests.benchmarks.test_benchmarks:hold", "64")
    assert 64 < peak < 160


def hold(megabytes: str) -> None:
    """Touch memory, for the test above."""
    kept = bytearray(int(megabytes) << 20)
    kept[::4096] = b"x" * len(kept[::4096])
