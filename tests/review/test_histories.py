"""The law: through any edits and any re-runs, no field a person touched changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from review.histories import (
    CLASSES,
    Desk,
    Model,
    line,
    machine_label,
    overlap,
    rectangle,
    region,
)

from pipeline.labels.values import Content, Kind, Status
from pipeline.review.changes import SeenLabel

HISTORIES = 300

models = st.builds(
    Model,
    shift=st.integers(0, 3),
    grow=st.integers(0, 2),
    names=st.tuples(*[st.integers(0, 2)] * 4),
    objects=st.tuples(*[st.booleans()] * 4),
    tags=st.tuples(*[st.booleans()] * 3),
    texts=st.tuples(*[st.booleans()] * 2),
    misread=st.booleans(),
)
STATES = ("accepted", "rejected", "edited")
NAMES = (*CLASSES, "<script>x</script>")
acts = st.one_of(
    st.tuples(st.just("review"), st.integers(0, 30), st.sampled_from(STATES)),
    st.tuples(st.just("relabel"), st.integers(0, 30), st.sampled_from(NAMES)),
    st.tuples(st.just("redraw"), st.integers(0, 30), st.integers(0, 6)),
    st.tuples(st.just("correct"), st.integers(0, 30), st.text(max_size=5)),
    st.tuples(st.just("tag"), st.integers(0, 30), st.sampled_from(("check", "<i>"))),
    st.tuples(st.just("delete"), st.integers(0, 30), st.none()),
    st.tuples(st.just("add"), st.integers(0, 3), st.sampled_from(CLASSES)),
    st.tuples(st.just("done"), st.none(), st.booleans()),
    st.tuples(st.just("pull"), st.none(), st.none()),
    st.tuples(st.just("rerun"), st.none(), models),
    st.tuples(st.just("away"), st.none(), st.none()),
)  # fmt: skip


@dataclass
class Person:
    """What a person did, by comparing the desk with how it lay there: the oracle.

    Written against the desk alone, so that it shares nothing with the code under test.
    """

    fields: dict[str, dict[str, object]] = field(default_factory=dict)
    gone: dict[str, Content] = field(default_factory=dict)
    lay: dict[str, SeenLabel] = field(default_factory=dict)
    done: bool = False

    def look(self, desk: Desk) -> None:
        """Note how the labels lie, before touching any."""
        self.lay = {label.id: label for label in desk.labels}

    def remember(self, desk: Desk) -> None:
        """Note what was done since."""
        now = {label.id: label for label in desk.labels}
        for name, label in now.items():
            new = _fields(label)
            old = _fields(self.lay[name]) if name in self.lay else {}
            touched = {key: value for key, value in new.items() if value != old.get(key)}
            if touched:
                self.fields.setdefault(name, {}).update(touched)
        for name, label in self.lay.items():
            if name not in now:
                self.fields.pop(name, None)
                if not label.added:
                    self.gone[name] = label.content
        self.done = desk.done
        self.look(desk)


def _fields(label: SeenLabel) -> dict[str, object]:
    content = label.content
    said = {"label": content.label, "text": content.text, "geometry": content.geometry}
    return said | {"review": label.review, "tags": label.extras.get("tags")}


def act(desk: Desk, person: Person, what: str, where: int | None, value: object) -> None:
    """Let the person do one thing, or the pipeline."""
    if what in {"rerun", "pull", "away"}:
        person.remember(desk)
        if what == "rerun":
            assert isinstance(value, Model)
            desk.publish(value.run(1))
        else:
            desk.pull()
        if what == "away":  # the image leaves the folder; it comes back with the next run
            desk.labels, desk.note = [], []
        person.look(desk)
    elif what == "done" and desk.labels:
        desk.done = bool(value)
    elif what == "add" and len(desk.labels) < 40:
        assert where is not None
        desk.add(region(str(value), rectangle(2 + 15 * where, 50, 12, 12)))
    elif desk.labels and where is not None:
        edit(desk, what, where % len(desk.labels), value)


def edit(desk: Desk, what: str, place: int, value: object) -> None:
    """Let the person change one label."""
    content = desk.labels[place].content
    if what == "review":
        desk.change(place, review=Status(str(value)))
    elif what == "relabel" and content.kind is not Kind.TEXT:
        desk.change(place, content=_with(content, label=value))
    elif what == "redraw" and content.kind is Kind.OBJECT:
        assert isinstance(value, int)
        mask = rectangle(3 + value, 3 + value, 22, 21)
        desk.change(place, content=region(content.label, mask))
    elif what == "correct" and content.kind is Kind.TEXT:
        desk.change(place, content=_with(content, text=value))
    elif what == "tag":
        desk.change(place, extras={"tags": [value]})
    elif what == "delete":
        desk.delete(place)


def _with(content: Content, **values: Any) -> Content:
    return replace(content, **values)


def check(desk: Desk, person: Person) -> None:
    """Compare what lies there after a publish with what the person did before it."""
    there = {label.id: label for label in desk.merged}
    assert len(there) == len(desk.merged), "the same label twice"
    for name, fields in person.fields.items():
        if set(fields) == {"tags"} and name not in there:
            continue  # a tag on a machine's label goes with the label
        content = there[name].content
        now: dict[str, object] = {"label": content.label, "text": content.text}
        now |= {"geometry": content.geometry, "tags": there[name].extras.get("tags")}
        assert {key: now[key] for key in fields if key != "review"} == {
            key: value for key, value in fields.items() if key != "review"
        }
        if set(fields) - {"tags"}:
            assert there[name].status is not Status.PENDING
        if set(fields) <= {"review", "tags"} and "review" in fields:
            assert there[name].status is fields["review"]
        if fields.get("review") is Status.REJECTED:
            assert there[name].status is Status.REJECTED
    assert not set(person.gone) & set(there), "a deleted label came back"
    assert desk.reviews.done == person.done
    check_duplicates(desk, person)


def check_duplicates(desk: Desk, person: Person) -> None:
    """No label of the machine stands where a person decided, or where they deleted."""
    in_run = {label.id: label.content for label in desk.machine}
    kept = [x for x in desk.merged if x.status is not Status.PENDING]
    watched = [x.content for x in kept if in_run.get(x.id) != x.content]
    watched += [content for name, content in person.gone.items() if name not in in_run]
    for pending in (x for x in desk.merged if x.status is Status.PENDING):
        for content in watched:
            assert overlap(pending.content, content) <= 0.6, "a duplicate, or it came back"


@settings(
    max_examples=HISTORIES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(first=models, story=st.lists(acts, max_size=14), last=models)
def test_no_field_a_person_touched_changes(
    first: Model, story: list[tuple[str, int | None, object]], last: Model
) -> None:
    desk, person = Desk(), Person()
    desk.publish(first.run(0))
    person.look(desk)
    for what, where, value in (*story, ("rerun", None, last)):
        act(desk, person, what, where, value)
        if what == "rerun":
            check(desk, person)
    before = desk.merged
    desk.publish(desk.machine)
    assert desk.merged == before
    assert desk.pull() == []


def test_the_oracle_sees_a_lost_edit() -> None:
    desk, person = Desk(), Person()
    desk.publish(Model().run(0))
    person.look(desk)
    desk.change(0, content=_with(desk.labels[0].content, label="dog"))
    person.remember(desk)
    desk.note, desk.labels = [], []  # as if the edit had never reached the pull
    desk.publish(Model().run(1))
    with pytest.raises(AssertionError):
        check(desk, person)


def test_another_model_does_not_bring_back_what_was_deleted() -> None:
    desk = Desk()
    desk.publish(Model().run(0))
    gone = desk.delete(0)
    desk.publish(Model(shift=2, grow=1).run(1))
    assert all(overlap(label.content, gone.content) <= 0.6 for label in desk.merged)


def test_another_model_proposes_beside_what_was_accepted() -> None:
    desk = Desk()
    desk.publish(Model().run(0))
    kept = desk.labels[0]
    desk.change(0, review=Status.ACCEPTED)
    desk.publish(Model(shift=1).run(1))
    label = next(x for x in desk.merged if x.id == kept.id)
    assert label.content == kept.content
    assert label.proposal is not None
    assert label.proposal.content == Model(shift=1).run(1)[0].content


def test_what_a_person_overruled_is_no_news() -> None:
    desk = Desk()
    desk.publish(Model().run(0))
    desk.change(0, content=_with(desk.labels[0].content, label="dog"))
    desk.publish(Model().run(1))
    assert desk.merged[0].content.label == "dog"
    assert desk.merged[0].proposal is None


def test_a_line_of_text_is_known_again_from_another_reader() -> None:
    desk = Desk()
    word = machine_label(line("ST0P", 10, 10), 0)
    desk.publish([word])
    desk.change(0, content=_with(word.content, text="STOP"))
    desk.publish([machine_label(line("SHOP", 12, 11), 1)])
    assert [(x.content.text, x.status) for x in desk.merged] == [("STOP", Status.EDITED)]
    assert desk.merged[0].proposal is not None
    assert desk.merged[0].proposal.content.text == "SHOP"


def test_a_label_put_back_by_hand_stays_put_back() -> None:
    desk = Desk()
    desk.publish(Model().run(0))
    first = desk.labels[0].content
    desk.change(0, content=_with(first, label="dog"))
    desk.pull()
    desk.change(0, content=first)
    desk.publish(Model(names=(1, 1, 2, 0)).run(1))
    assert (desk.merged[0].content, desk.merged[0].status) == (first, Status.EDITED)


def test_a_label_set_back_to_pending_is_the_machine_s_again() -> None:
    desk = Desk()
    desk.publish(Model().run(0))
    desk.change(0, review=Status.ACCEPTED)
    desk.publish(Model().run(1))
    desk.change(0, review=Status.PENDING)
    desk.publish(Model(names=(1, 1, 2, 0)).run(2))
    assert (desk.merged[0].content.label, desk.merged[0].status) == ("dog", Status.PENDING)
