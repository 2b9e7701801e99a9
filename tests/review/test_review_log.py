"""The log: durable, append-only, read back whole or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ReviewError
from pipeline.labels.log import ReviewLog, locked_reviews, read_events
from pipeline.labels.values import (
    HUMAN,
    MACHINE,
    Content,
    Event,
    Facts,
    Kind,
    Reviewed,
    Status,
    What,
)
from pipeline.records import Box, Mask, Point

ODD = "é\u2028</script>\n\0"
AT = "2026-11-23T15:00:00.000+00:00"


def event(name: str = "1", status: Status = Status.ACCEPTED, image: str = "aa") -> Event:
    content = Content(Kind.OBJECT, ODD, mask=Mask(4, 4, "0123"), box=Box(0.5, 1, 2, 3))
    facts = Facts(score=0.5, owner="7")
    label = Reviewed(name, status, MACHINE, content, content, facts, {"tags": [ODD]}, ODD, AT, "r1")
    return Event((What.ACCEPTED, What.RELABELLED), image, ODD, label, ODD, AT)


def test_events_come_back_as_they_were(tmp_path: Path) -> None:
    line = Content(Kind.TEXT, "text", ODD, points=(Point(1.5, 2), Point(3, 4), Point(5, 6)))
    drawn = Reviewed("2", Status.EDITED, HUMAN, line, at=AT)
    gone = Reviewed("3", Status.DELETED, MACHINE, None, at=AT)
    events = [
        event(),
        Event((What.ADDED,), "bb", "b.png", drawn, "", AT),
        Event((What.DELETED,), "bb", "b.png", gone, "", AT),
        Event((What.IMAGE_DONE,), "bb", "b.png", None, "x", AT),
        Event((What.IMAGE_TAGGED,), "bb", "b.png", None, "x", AT, ("t",)),
    ]
    log = ReviewLog(tmp_path)
    assert log.append(events) == 5
    assert list(read_events(log.folder)) == events
    again = ReviewLog(tmp_path)
    assert again["bb"] == log["bb"]
    assert (again["bb"].done, again["bb"].tags) == (True, ("t",))
    assert set(again["bb"].labels) == {"2", "3"}
    assert ODD in again.classes


def test_the_last_line_of_a_label_counts(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path)
    log.append([event(status=Status.ACCEPTED)])
    log.append([event(status=Status.REJECTED), event("2")])
    ReviewLog(tmp_path).append([event("2", Status.DELETED)])
    states = {name: label.status for name, label in ReviewLog(tmp_path)["aa"].labels.items()}
    assert states == {"1": Status.REJECTED, "2": Status.DELETED}
    assert len(list(log.folder.iterdir())) == 2


@settings(max_examples=40, deadline=None, derandomize=True)
@given(cut=st.integers(0, 10_000))
def test_a_torn_file_keeps_every_whole_line(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    workspace = tmp_path_factory.mktemp("torn")
    log = ReviewLog(workspace)
    log.append([event(str(n)) for n in range(4)])
    file = log.folder / "00000001.jsonl"
    data = file.read_bytes()
    file.write_bytes(data[: cut % len(data)])
    whole = data[: cut % len(data)].count(b"\n")
    after = ReviewLog(workspace)
    assert len(after["aa"].labels) == whole
    after.append([event("new")])
    assert set(ReviewLog(workspace)["aa"].labels) == {*map(str, range(whole)), "new"}


def test_damage_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path)
    log.append([event("1"), event("2")])
    file = log.folder / "00000001.jsonl"
    first, second, _ = file.read_bytes().split(b"\n")
    file.write_bytes(first[:-9] + b"\n" + second + b"\n")
    with pytest.raises(ReviewError, match=r"00000001\.jsonl:1: .*damaged"):
        ReviewLog(tmp_path)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path)
    log.append([event()])
    file = log.folder / "00000001.jsonl"
    file.write_text(file.read_text().replace('"v": 1', '"v": 2'))
    with pytest.raises(ReviewError, match="newer autolabel"):
        ReviewLog(tmp_path)


def test_what_could_not_be_written_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "reviews").write_text("in the way")
    log = ReviewLog(tmp_path)
    with pytest.raises(ReviewError, match="cannot be kept"):
        log.append([event()])
    assert not log["aa"].labels


def test_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.labels.log._LOCK_SECONDS", 0.05)
    with (
        locked_reviews(tmp_path),
        pytest.raises(ReviewError, match="another publish or pull"),
        locked_reviews(tmp_path),
    ):
        raise AssertionError("two at once")


def test_the_same_decision_by_another_person_is_the_same() -> None:
    label = event().label
    assert label is not None
    assert label.same_decision(replace(label, by="else", at="later"))
    assert not label.same_decision(replace(label, extras={}))
