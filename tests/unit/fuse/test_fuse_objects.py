from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.config import ClassConfig, PolicyConfig
from pipeline.errors import EngineError
from pipeline.fuse import UNNAMED, Vocabulary, fuse, names_masks
from pipeline.records import Decision, Instance, RegionVectors

ACCEPT, REVIEW, DROP = Decision.ACCEPT, Decision.REVIEW, Decision.DROP


def sure(name: str, share: float = 0.9) -> dict[str, float]:
    return {name: share, "background": 1.0 - share}


def _fuse(draw: Any, policy: PolicyConfig, *objects: Any) -> tuple[Instance, ...]:
    findings = draw.findings(policy, objects)
    labels = fuse(findings, policy, draw.vocabulary(policy))
    assert len(labels.instances) + sum(one.merged for one in labels.instances) == len(objects)
    return labels.instances


# -- names


def test_a_region_gets_its_best_class_the_runner_up_and_the_background(draw: Any) -> None:
    policy = draw.policy("cup", "mug", background=("wall", "floor"))
    shares = {"cup": 0.8, "mug": 0.15, "wall": 0.03, "floor": 0.02}
    (one,) = _fuse(draw, policy, (draw.region(draw.disc(40, 40, 15)), shares))
    assert one.class_name == "cup"
    assert one.score == pytest.approx(0.8, abs=1e-4)
    assert one.runner_up is not None
    assert one.runner_up.class_name == "mug"
    assert one.runner_up.score == pytest.approx(0.15, abs=1e-4)
    assert one.background == pytest.approx(0.05, abs=1e-4)
    assert one.verdict.decision is ACCEPT
    assert one.verdict.reason == "score 0.80 >= 0.70, next mug 0.15"


@pytest.mark.parametrize(
    ("shares", "decision", "words"),
    [
        ({"cup": 0.4, "background": 0.6}, DROP, "background fits better: 0.60, cup 0.40"),
        ({"cup": 0.42, "mug": 0.14, "background": 0.44}, DROP, "background fits better: 0.44"),
        ({"cup": 0.38, "mug": 0.32, "background": 0.3}, DROP, "score 0.38 < 0.40"),
        ({"cup": 0.6, "mug": 0.1, "background": 0.3}, REVIEW, "score 0.60 < 0.70"),
        ({"cup": 0.5, "mug": 0.45, "background": 0.05}, REVIEW, "mug is close behind with 0.45"),
    ],
)
def test_doubtful_names_are_explained(
    draw: Any, shares: dict[str, float], decision: Decision, words: str
) -> None:
    policy = draw.policy("cup", "mug")
    (one,) = _fuse(draw, policy, (draw.region(draw.disc(40, 40, 15)), shares))
    assert one.verdict.decision is decision
    assert words in one.verdict.reason


def test_crops_that_disagree_go_to_review(draw: Any) -> None:
    policy = draw.policy("cup", "table")
    region = draw.region(draw.disc(40, 40, 15))
    cropped = draw.vector(policy, sure("table", 0.99))[None]
    masked = draw.vector(policy, sure("cup", 0.99))[None]
    findings = replace(
        draw.findings(policy, [(region, sure("cup"))]),
        region_vectors=RegionVectors(cropped, masked),
    )
    (one,) = fuse(findings, policy, draw.vocabulary(policy)).instances
    assert one.verdict.decision is REVIEW
    assert {one.class_name, one.runner_up and one.runner_up.class_name} == {"cup", "table"}


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("masked_shows", "decision"), [("cup", ACCEPT), ("background", DROP)])
def test_only_the_masked_crop_can_say_background(
    draw: Any, weight: float, masked_shows: str, decision: Decision
) -> None:
    # The plain crop shows the surroundings, so it always looks like background as well.
    policy = draw.policy("cup", "mug", regions={"masked_weight": weight})
    region = draw.region(draw.disc(40, 40, 15))
    other = "background" if masked_shows == "cup" else "cup"
    cropped = draw.vector(policy, {"background": 0.9, "cup": 0.1})[None]
    masked = draw.vector(policy, {masked_shows: 0.9, other: 0.1})[None]
    findings = draw.findings(policy, [(region, sure("cup"))])
    findings = replace(findings, region_vectors=RegionVectors(cropped, masked))
    (one,) = fuse(findings, policy, draw.vocabulary(policy)).instances
    assert one.verdict.decision is decision
    assert one.background == pytest.approx(0.1 if masked_shows == "cup" else 0.9, abs=1e-4)


@pytest.mark.parametrize(("weight", "name"), [(0.0, "table"), (1.0, "cup")])
def test_masked_weight_moves_the_name_between_the_crops(
    draw: Any, weight: float, name: str
) -> None:
    policy = draw.policy("cup", "table", regions={"masked_weight": weight})
    cropped = draw.vector(policy, sure("table"))[None]
    masked = draw.vector(policy, sure("cup"))[None]
    findings = draw.findings(policy, [(draw.region(draw.disc(40, 40, 15)), sure("cup"))])
    findings = replace(findings, region_vectors=RegionVectors(cropped, masked))
    (one,) = fuse(findings, policy, draw.vocabulary(policy)).instances
    assert one.class_name == name
    assert one.score == pytest.approx(0.9, abs=1e-4)


def test_a_bias_does_not_change_names(draw: Any) -> None:
    policy = draw.policy("cup", "mug")
    findings = draw.findings(policy, [(draw.region(draw.disc(40, 40, 15)), sure("cup"))])
    softmax = fuse(findings, policy, draw.vocabulary(policy)).instances
    sigmoid = fuse(findings, policy, draw.vocabulary(policy, bias=-9.0)).instances
    assert softmax == sigmoid


def test_one_class_without_background_could_be_nothing_else(draw: Any) -> None:
    policy = draw.policy("cup", background=())
    (one,) = _fuse(draw, policy, (draw.region(draw.disc(40, 40, 15)), {"cup": 0.9}))
    assert (one.score, one.runner_up, one.verdict.decision) == (1.0, None, REVIEW)
    assert "it could be nothing else" in one.verdict.reason


def test_a_class_may_have_its_own_threshold(draw: Any) -> None:
    policy = draw.policy(ClassConfig(name="cup", region_threshold=0.95), "mug")
    (one,) = _fuse(draw, policy, (draw.region(draw.disc(40, 40, 15)), sure("cup")))
    assert one.verdict.decision is DROP
    assert one.verdict.reason == "score 0.90 < 0.95, the threshold of cup"


# -- masks that are no objects


@pytest.mark.parametrize(
    ("policy", "iou", "stability", "reason"),
    [
        ({"min_area": 5000}, 0.9, 0.95, "area 1200 px < 5000 px"),
        ({"max_area_share": 0.1}, 0.9, 0.95, "background: covers 12.5% of the image, over 10.0%"),
        ({"min_predicted_iou": 0.8}, 0.5, 0.95, "predicted IoU 0.50 < 0.80"),
        ({"min_stability": 0.8}, 0.9, 0.5, "stability 0.50 < 0.80"),
    ],
)
def test_cuts_say_which_setting_cut(
    draw: Any, policy: dict[str, float], iou: float, stability: float, reason: str
) -> None:
    region = draw.region(draw.rectangle(10, 10, 40, 30), iou, stability)
    (one,) = _fuse(draw, draw.policy("cup", regions=policy), (region, sure("cup")))
    assert (one.verdict.decision, one.verdict.reason) == (DROP, reason)


def test_a_mask_of_the_whole_image_swallows_no_object(draw: Any) -> None:
    everything = draw.region(draw.rectangle(0, 0, draw.width, draw.height), 1.0)
    cup = draw.region(draw.disc(40, 40, 15))
    found = _fuse(draw, draw.policy("cup"), (everything, sure("cup", 0.99)), (cup, sure("cup")))
    assert [one.verdict.decision for one in found] == [ACCEPT, DROP]
    assert found[0].region is cup


# -- one object, one label


def test_two_masks_of_one_object_become_one_label(draw: Any) -> None:
    good = draw.region(draw.disc(40, 40, 20), iou=0.95)
    sloppy = draw.region(draw.disc(42, 41, 21), iou=0.8)
    (one,) = _fuse(draw, draw.policy("cup"), (sloppy, sure("cup")), (good, sure("cup")))
    assert (one.region, one.merged, one.verdict.decision) == (good, 1, ACCEPT)


@pytest.mark.parametrize(("limit", "labels"), [(0.6, 1), (0.65, 2)])
def test_duplicate_iou_decides_where_neither_lies_in_the_other(
    draw: Any, limit: float, labels: int
) -> None:
    left = (draw.region(draw.rectangle(10, 10, 40, 30)), sure("cup"))
    right = (draw.region(draw.rectangle(19, 10, 40, 30)), sure("cup"))  # mask IoU 31 / 49
    policy = draw.policy("cup", regions={"duplicate_iou": limit})
    assert len(_fuse(draw, policy, left, right)) == labels


def test_equally_good_masks_are_told_apart_by_their_pixels(draw: Any) -> None:
    square = draw.rectangle(10, 10, 30, 30)
    first = (draw.region(square & ~draw.rectangle(12, 12, 4, 4)), sure("cup"))
    second = (draw.region(square & ~draw.rectangle(30, 30, 4, 4)), sure("cup"))
    policy = draw.policy("cup")
    assert _fuse(draw, policy, first, second) == _fuse(draw, policy, second, first)


def test_one_object_gets_one_name_even_if_its_masks_disagree(draw: Any) -> None:
    policy = draw.policy("cup", "mug")
    first = (draw.region(draw.disc(40, 40, 20)), sure("cup", 0.9))
    second = (draw.region(draw.disc(41, 40, 20)), sure("mug", 0.85))
    (one,) = _fuse(draw, policy, first, second)
    assert (one.class_name, one.merged, one.verdict.decision) == ("cup", 1, REVIEW)
    assert one.verdict.reason == "another mask of the same object looks like mug 0.85"


def test_a_mask_that_looks_like_background_does_not_hide_the_same_object(draw: Any) -> None:
    policy = draw.policy("cup")
    empty = (draw.region(draw.disc(40, 40, 20), iou=1.0), {"cup": 0.49, "background": 0.51})
    full = (draw.region(draw.disc(41, 40, 20), iou=0.8), sure("cup", 0.55))
    (one,) = _fuse(draw, policy, empty, full)
    assert (one.region, one.verdict.decision) == (full[0], REVIEW)


def test_neighbours_of_one_class_stay_two_labels(draw: Any) -> None:
    left = (draw.region(draw.rectangle(10, 10, 30, 30)), sure("cup"))
    right = (draw.region(draw.rectangle(36, 10, 30, 30)), sure("cup"))
    assert len(_fuse(draw, draw.policy("cup"), left, right)) == 2


@pytest.mark.parametrize(("ring_score", "disc_score"), [(0.9, 0.8), (0.8, 0.9)])
def test_ring_and_disc_are_one_object_and_the_better_one_stays(
    draw: Any, ring_score: float, disc_score: float
) -> None:
    # The rim is thin: mask IoU is 0.36, far below duplicate_iou.
    outer, hole = draw.disc(40, 40, 30), draw.disc(40, 40, 24)
    ring = (draw.region(outer & ~hole), sure("ring", ring_score))
    disc = (draw.region(outer), sure("plate", disc_score))
    (one,) = _fuse(draw, draw.policy("ring", "plate"), ring, disc)
    assert one.region is (ring if ring_score > disc_score else disc)[0]
    assert one.merged == 1


# -- parts and groups


def test_a_part_gives_way_to_its_whole_and_names_it(draw: Any) -> None:
    car = (draw.region(draw.rectangle(10, 10, 60, 30)), sure("car", 0.85))
    door = (draw.region(draw.rectangle(20, 15, 15, 20)), sure("car", 0.95))
    found = _fuse(draw, draw.policy("car"), door, car)
    assert [one.verdict.decision for one in found] == [ACCEPT, DROP]
    assert found[0].region is car[0]
    assert found[1].verdict.reason == (
        "part: 100% of it lies in the car at x 10, y 10 (60 x 30 px)"
    )


def test_a_cup_on_a_table_stays(draw: Any) -> None:
    table = (draw.region(draw.rectangle(5, 20, 100, 50)), sure("table"))
    cup = (draw.region(draw.disc(40, 40, 10)), sure("cup"))
    found = _fuse(draw, draw.policy("cup", "table"), table, cup)
    assert [one.verdict.decision for one in found] == [ACCEPT, ACCEPT]


def test_a_mask_around_two_cups_gives_way_to_the_cups(draw: Any) -> None:
    left, right = draw.rectangle(10, 10, 25, 30), draw.rectangle(40, 10, 25, 30)
    group = (draw.region(left | right), sure("cup", 0.9))
    # One of them scores a little lower: the average decides, not each alone.
    cups = [(draw.region(left), sure("cup", 0.95)), (draw.region(right), sure("cup", 0.88))]
    found = _fuse(draw, draw.policy("cup"), group, *cups)
    assert [one.verdict.decision for one in found] == [ACCEPT, ACCEPT, DROP]
    assert found[2].region is group[0]
    assert found[2].verdict.reason == "a group: 2 regions inside it fit class cup as well"


def test_wheels_that_look_like_bicycles_do_not_replace_the_bicycle(draw: Any) -> None:
    left, right = draw.disc(30, 50, 8), draw.disc(80, 50, 8)
    whole = (draw.region(left | right | draw.rectangle(25, 15, 60, 35)), sure("bicycle", 0.85))
    wheels = [(draw.region(mask), sure("bicycle", 0.9)) for mask in (left, right)]
    found = _fuse(draw, draw.policy("bicycle"), whole, *wheels)
    assert [one.verdict.decision for one in found] == [ACCEPT, DROP, DROP]
    assert found[0].region is whole[0]


def test_halves_that_fit_worse_do_not_replace_the_whole(draw: Any) -> None:
    top, bottom = draw.rectangle(10, 10, 20, 25), draw.rectangle(10, 35, 20, 25)
    whole = (draw.region(top | bottom), sure("person", 0.9))
    halves = [(draw.region(mask), sure("person", 0.84)) for mask in (top, bottom)]
    found = _fuse(draw, draw.policy("person"), whole, *halves)
    assert [one.verdict.decision for one in found] == [ACCEPT, DROP, DROP]


def test_masks_that_overlap_are_not_members_of_a_group(draw: Any) -> None:
    left, right = draw.rectangle(10, 10, 35, 40), draw.rectangle(30, 10, 40, 40)
    whole = (draw.region(left | right), sure("car", 0.9))
    pieces = [(draw.region(mask), sure("car", 0.9)) for mask in (left, right)]
    found = _fuse(draw, draw.policy("car", regions={"duplicate_iou": 0.7}), whole, *pieces)
    assert [one.verdict.decision for one in found] == [ACCEPT, DROP, DROP]


def test_parts_of_members_of_a_group_are_still_parts(draw: Any) -> None:
    left, right = draw.rectangle(10, 10, 25, 30), draw.rectangle(40, 10, 25, 30)
    group = (draw.region(left | right), sure("cup", 0.8))
    cups = [(draw.region(mask), sure("cup", 0.9)) for mask in (left, right)]
    handle = (draw.region(draw.rectangle(12, 15, 6, 12)), sure("cup", 0.85))
    found = _fuse(draw, draw.policy("cup"), group, *cups, handle)
    assert [one.verdict.decision for one in found] == [ACCEPT, ACCEPT, DROP, DROP]


def test_a_part_of_a_part_names_the_whole(draw: Any) -> None:
    whole = (draw.region(draw.rectangle(10, 10, 60, 40)), sure("car", 0.9))
    door = (draw.region(draw.rectangle(15, 15, 30, 30)), sure("car", 0.85))
    handle = (draw.region(draw.rectangle(20, 20, 8, 6)), sure("car", 0.8))
    found = _fuse(draw, draw.policy("car"), handle, door, whole)
    assert [one.verdict.decision for one in found] == [ACCEPT, DROP, DROP]
    assert all("x 10, y 10 (60 x 40 px)" in one.verdict.reason for one in found[1:])


def test_a_part_of_a_part_is_a_part_even_where_it_sticks_out_of_the_whole(draw: Any) -> None:
    whole = (draw.region(draw.rectangle(10, 10, 60, 40)), sure("car", 0.9))
    door = (draw.region(draw.rectangle(45, 15, 30, 30)), sure("car", 0.85))
    mirror = (draw.region(draw.rectangle(66, 20, 10, 10)), sure("car", 0.8))  # 4 of 10 in the car
    found = _fuse(draw, draw.policy("car"), mirror, door, whole)
    assert [one.verdict.decision for one in found] == [ACCEPT, DROP, DROP]
    assert found[2].verdict.reason.startswith("part: 40% of it lies in the car at x 10")


def test_what_is_left_of_an_object_whose_whole_is_dropped_goes_to_review(draw: Any) -> None:
    whole = (
        draw.region(draw.rectangle(10, 10, 60, 40)),
        {"car": 0.38, "bus": 0.37, "background": 0.25},
    )
    door = (draw.region(draw.rectangle(15, 15, 30, 30)), sure("car", 0.9))
    found = _fuse(draw, draw.policy("car", "bus"), door, whole)
    assert [one.verdict.decision for one in found] == [REVIEW, DROP]
    assert "lies in a dropped region of class car" in found[0].verdict.reason


# -- masks without names


@pytest.mark.parametrize("vocabulary", [None, Vocabulary.build(PolicyConfig(), None)])
def test_masks_of_a_run_without_embedding_are_kept_for_review(
    draw: Any, vocabulary: Vocabulary | None
) -> None:
    regions = (
        draw.region(draw.disc(40, 40, 20), 1.02),
        draw.region(draw.disc(41, 40, 20), 0.9),
        draw.region(draw.disc(40, 40, 6), 0.7),
    )
    findings = replace(draw.findings(PolicyConfig()), regions=regions)
    found = fuse(findings, draw.policy(), vocabulary).instances
    assert [(one.class_name, one.score, one.merged) for one in found] == [
        (UNNAMED, 1.0, 1),
        (UNNAMED, 0.7, 0),
    ]
    assert {one.verdict.reason for one in found} == {"no name: stages.embed is not configured"}
    assert {one.verdict.decision for one in found} == {REVIEW}


def test_masks_without_classes_for_regions_say_so(draw: Any) -> None:
    policy = draw.policy(ClassConfig(name="beach", use="tag"))
    (one,) = _fuse(draw, policy, (draw.region(draw.disc(40, 40, 20)), sure("beach")))
    assert one.class_name == UNNAMED
    assert one.verdict.reason == "no name: every class of policy.classes has use: tag"
    assert not names_masks(policy, embeds=True)
    assert names_masks(draw.policy("cup"), embeds=True)
    assert not names_masks(draw.policy("cup"), embeds=False)


def test_regions_that_were_not_embedded_say_so(draw: Any) -> None:
    policy = draw.policy("cup")
    findings = replace(draw.findings(policy), regions=(draw.region(draw.disc(40, 40, 20)),))
    (one,) = fuse(findings, policy, draw.vocabulary(policy)).instances
    assert one.verdict.reason == "no name: the regions of this image were not embedded"


def test_vectors_of_other_regions_are_refused(draw: Any) -> None:
    policy = draw.policy("cup")
    rows = np.stack([draw.vector(policy, sure("cup"))] * 2)
    findings = draw.findings(policy, [(draw.region(draw.disc(40, 40, 20)), sure("cup"))])
    findings = replace(findings, region_vectors=RegionVectors(rows, rows))
    with pytest.raises(EngineError, match="1 regions, but 2 region vectors"):
        fuse(findings, policy, draw.vocabulary(policy))
