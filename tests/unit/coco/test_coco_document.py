from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import rle
from pipeline.coco.document import (
    LARGEST_ID,
    NO_PIXEL,
    annotation_entries,
    annotation_id,
    categories,
    image_entry,
    image_id,
    lay_out,
)
from pipeline.config import ClassConfig
from pipeline.errors import CocoError
from pipeline.records import Decision, ImageLabels, Mask, Point

SETTINGS = settings(deadline=None, max_examples=40, derandomize=True)
ACCEPT, REVIEW, DROP = Decision.ACCEPT, Decision.REVIEW, Decision.DROP


def ids(build: Any, labels: ImageLabels) -> list[int]:
    return [entry["id"] for entry in annotation_entries(labels, build.category_ids)]


class TestIds:
    def test_are_pinned_as_files_in_the_world_hold_them(self) -> None:
        assert image_id("ab" * 32) == 961580332648175
        assert annotation_id("ab" * 32, "object", "0123") == 2173175049132351

    @SETTINGS
    @given(st.text(), st.text(), st.integers(0, 3))
    def test_are_exact_as_floats(self, digest: str, geometry: str, attempt: int) -> None:
        for number in (image_id("a", attempt), annotation_id("a", "text", geometry, attempt)):
            assert 1 <= number <= LARGEST_ID
            assert int(float(number)) == number

    def test_do_not_change_with_class_score_verdict_or_name(self, build: Any) -> None:
        mask = build.rectangle(2, 3, 10, 8)
        quad = (3, 4, 11, 4, 11, 9, 3, 9)
        one = build.labels(
            build.image("a.jpg", content=7), (build.instance(mask),), (build.text(quad),)
        )
        two = build.labels(
            build.image("moved/b.jpg", content=7),
            (build.instance(mask, "物", REVIEW, 0.1),),
            (build.text(quad, "other", REVIEW, score=0.2, order=5),),
        )
        assert ids(build, one) == ids(build, two)
        assert image_entry(one, "a.jpg")["id"] == image_entry(two, "b.jpg")["id"]

    def test_change_with_geometry_kind_and_content(self, build: Any) -> None:
        seen = {
            annotation_id("a", "object", "x"),
            annotation_id("a", "text", "x"),
            annotation_id("a", "object", "y"),
            annotation_id("b", "object", "x"),
            annotation_id("a", "object", "x", 1),
        }
        assert len(seen) == 5

    def test_twins_of_one_geometry_are_told_apart(self, build: Any) -> None:
        mask, quad = build.rectangle(2, 3, 10, 8), (3, 4, 11, 4, 11, 9, 3, 9)
        labels = build.labels(
            instances=(build.instance(mask),) * 3, texts=(build.text(quad), build.text(quad, "b"))
        )
        assert len(set(ids(build, labels))) == 5

    def test_a_twin_keeps_its_id_when_the_other_is_dropped(self, build: Any) -> None:
        mask = build.rectangle(2, 3, 10, 8)
        first, second = build.instance(mask), build.instance(mask, "物")
        before = ids(build, build.labels(instances=(first, second)))
        first = build.instance(mask, decision=DROP)
        assert ids(build, build.labels(instances=(first, second))) == before[1:]

    @SETTINGS
    @given(st.data())
    def test_shuffled_labels_keep_their_ids(self, build: Any, data: st.DataObject) -> None:
        for labels in data.draw(build.any_labels()):
            distinct = {one.region.mask.counts: one for one in labels.instances}
            objects = list(distinct.values())
            plain = replace(labels, instances=tuple(objects), texts=())
            expected = {e["segmentation"]["counts"]: e for e in entries(build, plain)}
            random.Random(1).shuffle(objects)
            mixed = entries(build, replace(plain, instances=tuple(objects)))
            assert {e["segmentation"]["counts"]: e for e in mixed} == expected


def entries(build: Any, labels: ImageLabels) -> list[Any]:
    return annotation_entries(labels, build.category_ids)


class TestCategories:
    def test_follow_the_vocabulary_with_text_last(self) -> None:
        classes = [ClassConfig(name="zebra", supercategory="animal"), ClassConfig(name="ant")]
        assert categories(classes) == [
            {"id": 1, "name": "zebra", "supercategory": "animal"},
            {"id": 2, "name": "ant", "supercategory": ""},
            {"id": 3, "name": "text", "supercategory": ""},
        ]

    def test_without_classes_there_is_text(self) -> None:
        assert [entry["name"] for entry in categories([])] == ["text"]

    @pytest.mark.parametrize("names", [("Cat", "cAT"), ("cafe\u0301", "CAFÉ"), ("TEXT", "a")])
    def test_names_that_people_cannot_tell_apart_are_refused(self, names: tuple[str, str]) -> None:
        classes = [ClassConfig(name=name) for name in names]
        with pytest.raises(CocoError, match="names of their own"):
            categories(classes)


class TestImages:
    def test_an_image_carries_tags_copies_and_sources(self, build: Any) -> None:
        entry = image_entry(build.sample()[0], "photos/a.jpg")
        assert list(entry) == ["id", "width", "height", "file_name", "autolabel"]
        assert (entry["width"], entry["height"], entry["file_name"]) == (40, 30, "photos/a.jpg")
        extra = entry["autolabel"]
        assert extra["path"] == "a.jpg"
        assert extra["duplicates"] == [{"root": 0, "path": "copy of a.jpg"}]
        assert extra["orientation"] == 6
        assert [tag["class"] for tag in extra["tags"]] == ["cat", "café"]
        assert extra["tags"][1] == {
            "class": "café",
            "score": 0.75,
            "threshold": 0.5,
            "verdict": {"decision": "review", "reason": "the runner-up is close"},
        }
        assert list(extra["sources"]) == ["embed", "segment", "embed_regions", "read"]

    def test_tags_without_provenance_are_refused(self, build: Any) -> None:
        labels = replace(build.labels(tags=(build.tag(),)), provenance={})
        with pytest.raises(CocoError, match=r"'a.jpg'.*stage 'embed'"):
            image_entry(labels, "a.jpg")


class TestObjects:
    def test_area_and_box_come_from_the_pixels_and_holes_stay(self, build: Any) -> None:
        mask = build.rectangle(20, 5, 12, 12, hole=True)
        (entry,) = entries(build, build.labels(instances=(build.instance(mask),)))
        assert entry["bbox"] == [20, 5, 12, 12]
        assert entry["area"] == 12 * 12 - 10 * 10
        assert all(type(value) is int for value in (*entry["bbox"], entry["area"]))
        counts = Mask(30, 40, entry["segmentation"]["counts"])
        assert np.array_equal(rle.decode(counts), mask)

    def test_an_entry_says_all_that_is_known(self, build: Any) -> None:
        instance = build.instance(build.rectangle(0, 0, 4, 4), "物", REVIEW)
        (entry,) = entries(build, build.labels(instances=(instance,)))
        assert list(entry) == [
            *("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"),
            *("score", "autolabel"),
        ]
        assert entry["category_id"] == 3
        assert entry["score"] == 0.875
        extra = dict(entry["autolabel"])
        assert extra.pop("source").startswith("segment@")
        assert extra.pop("named_by").startswith("embed_regions@")
        assert extra == {
            "verdict": {"decision": "review", "reason": "the runner-up is close"},
            "runner_up": {"class": "café", "score": 0.0625},
            "background": 0.012346,
            "predicted_iou": 1.02,
            "stability": 0.97,
            "merged": 2,
        }

    def test_what_a_vocabulary_of_one_class_lacks_is_left_out(self, build: Any) -> None:
        instance = replace(build.instance(build.rectangle(0, 0, 4, 4)), runner_up=None)
        (entry,) = entries(build, build.labels(instances=(instance,)))
        assert "runner_up" not in entry["autolabel"]

    def test_run_lengths_come_out_in_the_one_form_of_encoders(self, build: Any) -> None:
        tight = rle.encode(build.rectangle(0, 0, 4, 4))
        runs = rle.to_uncompressed(tight)
        loose = Mask(30, 40, rle._pack(30, 40, np.array([0, 0, *runs, 0])).counts)
        assert loose != tight
        (entry,) = entries(build, build.labels(instances=(build.instance(loose),)))
        assert entry["segmentation"]["counts"] == tight.counts

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"score": math.nan}, "finite number, got nan"),
            ({"score": 1.01}, r"score in \[0, 1\], got 1.01"),
            ({"background": -0.01}, r"score in \[0, 1\]"),
            ({"class_name": "dog"}, "'dog' is not one of the 4 categories"),
        ],
    )
    def test_what_is_no_label_is_refused_with_its_place(
        self, build: Any, change: dict[str, Any], message: str
    ) -> None:
        instance = replace(build.instance(build.rectangle(0, 0, 4, 4)), **change)
        with pytest.raises(CocoError, match=rf"object 0 of 'a.jpg' .*{message}"):
            entries(build, build.labels(instances=(instance,)))

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            (Mask(40, 30, "`U1"), "the mask is 40 x 30, the image 30 x 40"),
            (Mask(30, 40, "5"), "damaged: run lengths must"),
            (Mask(30, 40, ""), "damaged: counts must"),
        ],
    )
    def test_damaged_masks_are_refused(self, build: Any, mask: Mask, message: str) -> None:
        with pytest.raises(CocoError, match=message):
            entries(build, build.labels(instances=(build.instance(mask),)))

    def test_a_score_just_above_one_by_rounding_is_one(self, build: Any) -> None:
        score = float(np.nextafter(np.float32(1), np.float32(2)))
        instance = build.instance(build.rectangle(0, 0, 4, 4), score=score)
        (entry,) = entries(build, build.labels(instances=(instance,)))
        assert entry["score"] == 1.0

    def test_numbers_of_numpy_become_plain_ones(self, build: Any) -> None:
        instance = build.instance(build.rectangle(0, 0, 4, 4), score=np.float32(0.1))
        (entry,) = entries(build, build.labels(instances=(instance,)))
        assert type(entry["score"]) is float
        assert entry["score"] == 0.1


class TestTexts:
    def test_mask_box_and_corners_are_those_inside_the_image(self, build: Any) -> None:
        text = build.text((30, 20, 45, 20, 45, 27, 30, 27), "A b", order=3)
        (entry,) = entries(build, build.labels(texts=(text,)))
        assert entry["quad"] == [30, 20, 40, 20, 40, 27, 30, 27]
        assert entry["bbox"] == [30, 20, 10, 7]
        assert entry["area"] == 70
        assert (entry["text"], entry["order"], entry["category_id"]) == ("A b", 3, 4)
        assert list(entry["autolabel"]) == ["verdict", "source"]

    def test_the_mask_can_be_drawn_again_from_the_corners(self, build: Any) -> None:
        text = build.text((3.3333, 4.1, 20.98765, 6.5, 20.2, 11.1, 2.5, 9.49))
        (entry,) = entries(build, build.labels(texts=(text,)))
        a, b, c, d = (Point(*entry["quad"][i : i + 2]) for i in range(0, 8, 2))
        drawn = rle.quad_mask((a, b, c, d), 40, 30)
        assert entry["segmentation"] == {"size": [30, 40], "counts": drawn.counts}
        assert entry["quad"][:3] == [3.33, 4.1, 20.99]

    def test_an_owner_is_named_by_its_id(self, build: Any) -> None:
        objects = (
            build.instance(build.rectangle(0, 0, 5, 5), decision=DROP),
            build.instance(build.rectangle(2, 3, 10, 8)),
        )
        quad = (3, 4, 11, 4, 11, 9, 3, 9)
        texts = (build.text(quad, owner=1), build.text(quad, owner=0), build.text(quad))
        owner, *found = entries(build, build.labels(instances=objects, texts=texts))
        assert [entry.get("owner") for entry in found] == [owner["id"], None, None]
        assert "owner" not in found[1]

    def test_any_transcription_stays_but_for_half_pairs(self, build: Any) -> None:
        quad = (3, 4, 11, 4, 11, 9, 3, 9)
        given = "שלום\x00\x1b\u202e\u2028😀\ud800é"
        (entry,) = entries(build, build.labels(texts=(build.text(quad, given),)))
        assert entry["text"] == "שלום\x00\x1b\u202e\u2028😀\ufffdé"

    def test_minus_zero_is_written_as_zero(self, build: Any) -> None:
        text = build.text((-0.001, -0.0, 9, 0, 9, 9, 0, 9))
        (entry,) = entries(build, build.labels(texts=(text,)))
        assert repr(entry["quad"][:2]) == "[0.0, 0.0]"

    def test_a_corner_that_is_no_number_is_refused(self, build: Any) -> None:
        text = build.text((math.nan, 4, 11, 4, 11, 9, 3, 9))
        with pytest.raises(CocoError, match=r"text 0 of 'a.jpg' .*not a finite number"):
            entries(build, build.labels(texts=(text,)))


class TestCounts:
    def test_every_label_is_counted_once(self, build: Any) -> None:
        _, counts = lay_out(build.sample()[0], build.category_ids)
        assert (counts.objects, counts.texts, counts.tags, counts.to_review) == (2, 2, 2, 2)
        assert counts.dropped == {"below the threshold": 2}

    def test_labels_without_pixels_are_dropped_with_a_reason(self, build: Any) -> None:
        empty = build.instance(np.zeros((30, 40), dtype=np.bool_))
        outside = build.text((50, 4, 60, 4, 60, 9, 50, 9))
        found, counts = lay_out(build.labels(None, (empty,), (outside,)), build.category_ids)
        assert found == []
        assert counts.dropped == {"the mask is empty": 1, NO_PIXEL: 1}

    @SETTINGS
    @given(st.data())
    def test_written_and_dropped_add_up(self, build: Any, data: st.DataObject) -> None:
        for labels in data.draw(build.any_labels()):
            found, counts = lay_out(labels, build.category_ids)
            total = len(labels.instances) + len(labels.texts) + len(labels.tags)
            assert counts.objects + counts.texts == len(found)
            assert len(found) + counts.tags + sum(counts.dropped.values()) == total
