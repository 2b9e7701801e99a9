"""Files that break exactly one rule each: the check must name that rule, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import rle
from pipeline.coco import check_file
from pipeline.coco.violations import RULES
from pipeline.records import Mask

Change = Callable[[Any], Any]
"""Changes a document in place, or gives other bytes for it."""

MUTATIONS: dict[str, tuple[int, Change]] = {}


def mutation(rule: int) -> Callable[[Change], Change]:
    def note(change: Change) -> Change:
        MUTATIONS[change.__name__] = rule, change
        return change

    return note


def dumped(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


# The sample has images 0, 1 and 2, the last one without labels. Annotation 0 is a rectangle that
# owns text 2, 1 a frame around a hole, 3 another text, and 4 fills image 1.


@mutation(1)
def key_twice(doc: Any) -> bytes:
    return dumped(doc).replace(b'"licenses": []', b'"licenses": [], "licenses": []')


@mutation(1)
def nan_in_an_extra_key(doc: Any) -> None:
    doc["annotations"][1]["autolabel"]["stability"] = float("nan")


@mutation(1)
def infinite_by_its_exponent(doc: Any) -> bytes:
    return dumped(doc).replace(b'"merged": 2', b'"merged": 1e999')


@mutation(1)
def cut_short(doc: Any) -> bytes:
    return dumped(doc)[:-20]


@mutation(1)
def not_utf8(doc: Any) -> bytes:
    return dumped(doc).replace("café".encode(), "café".encode("latin-1"))


@mutation(1)
def byte_order_mark(doc: Any) -> bytes:
    return b"\xef\xbb\xbf" + dumped(doc)


@mutation(1)
def half_a_surrogate_pair(doc: Any) -> bytes:
    return dumped(doc).replace(b'"EXIT"', b'"EX\\ud83dIT"')


@mutation(2)
def no_licenses(doc: Any) -> None:
    del doc["licenses"]


@mutation(2)
def no_info(doc: Any) -> None:
    doc["info"] = None
    doc["images"] = doc["annotations"] = []


@mutation(2)
def annotations_by_id(doc: Any) -> None:
    doc["annotations"] = {"1": doc["annotations"][0]}


@mutation(2)
def image_that_is_a_name(doc: Any) -> None:
    doc["images"][2] = "sub/c.png"


@mutation(2)
def a_list_of_results(doc: Any) -> bytes:
    return dumped(doc["annotations"])


@mutation(3)
def image_id_0(doc: Any) -> None:
    doc["images"][2]["id"] = 0


@mutation(3)
def image_id_a_float(doc: Any) -> None:
    doc["images"][2]["id"] = 7.0


@mutation(3)
def image_id_a_text(doc: Any) -> None:
    doc["images"][2]["id"] = "c"


@mutation(3)
def image_id_beyond_floats(doc: Any) -> None:
    doc["images"][2]["id"] = 2**53 + 1


@mutation(3)
def image_id_twice(doc: Any) -> None:
    doc["images"][2]["id"] = doc["images"][1]["id"]


@mutation(4)
def absolute_path(doc: Any) -> None:
    doc["images"][0]["file_name"] = "/data/a.jpg"


@mutation(4)
def path_with_a_drive(doc: Any) -> None:
    doc["images"][0]["file_name"] = "C:/data/a.jpg"


@mutation(4)
def path_that_leads_up(doc: Any) -> None:
    doc["images"][0]["file_name"] = "../a.jpg"


@mutation(4)
def path_with_backslashes(doc: Any) -> None:
    doc["images"][1]["file_name"] = "sub\\b.png"


@mutation(4)
def file_name_twice(doc: Any) -> None:
    doc["images"][2]["file_name"] = doc["images"][1]["file_name"]


@mutation(4)
def no_file_name(doc: Any) -> None:
    del doc["images"][2]["file_name"]


@mutation(5)
def width_a_float(doc: Any) -> None:
    doc["images"][2]["width"] = 40.0


@mutation(5)
def no_height(doc: Any) -> None:
    del doc["images"][2]["height"]


@mutation(5)
def width_0(doc: Any) -> None:
    doc["images"][2]["width"] = 0


@mutation(5)
def a_million_by_a_million(doc: Any) -> None:
    doc["images"][1].update(width=10**6, height=10**6)
    doc["annotations"][4]["segmentation"] = {"size": [10**6, 10**6], "counts": [10**12]}


@mutation(6)
def license_null(doc: Any) -> None:
    doc["images"][0]["license"] = None


@mutation(6)
def license_unknown(doc: Any) -> None:
    doc["images"][0]["license"] = 3


@mutation(6)
def date_in_words(doc: Any) -> None:
    doc["images"][0]["date_captured"] = "last summer"


@mutation(6)
def license_without_name(doc: Any) -> None:
    doc["licenses"] = [{"id": 1}]


def renumber(doc: Any, change: Callable[[int], int]) -> None:
    for category in doc["categories"]:
        category["id"] = change(category["id"])
    for annotation in doc["annotations"]:
        annotation["category_id"] = change(annotation["category_id"])


@mutation(7)
def category_ids_with_a_gap(doc: Any) -> None:
    renumber(doc, lambda number: number + (number == 4))


@mutation(7)
def category_ids_from_0(doc: Any) -> None:
    renumber(doc, lambda number: number - 1)


@mutation(7)
def categories_out_of_order(doc: Any) -> None:
    doc["categories"].reverse()


@mutation(8)
def name_twice_but_for_composition(doc: Any) -> None:
    doc["categories"][2]["name"] = "cafe\u0301"


@mutation(8)
def name_twice_but_for_case(doc: Any) -> None:
    doc["categories"][2]["name"] = "CAT"


@mutation(8)
def name_of_blanks(doc: Any) -> None:
    doc["categories"][2]["name"] = "  "


@mutation(8)
def supercategory_null(doc: Any) -> None:
    doc["categories"][0]["supercategory"] = None


@mutation(9)
def annotation_id_0(doc: Any) -> None:
    doc["annotations"][1]["id"] = 0


@mutation(9)
def annotation_id_a_float(doc: Any) -> None:
    doc["annotations"][1]["id"] = 12.0


@mutation(9)
def annotation_id_true(doc: Any) -> None:
    doc["annotations"][1]["id"] = True


@mutation(9)
def annotation_id_twice(doc: Any) -> None:
    doc["annotations"][1]["id"] = doc["annotations"][0]["id"]


@mutation(9)
def no_annotation_id(doc: Any) -> None:
    del doc["annotations"][4]["id"]


@mutation(10)
def image_that_is_not_there(doc: Any) -> None:
    doc["annotations"][1]["image_id"] = 5


@mutation(10)
def category_that_is_not_there(doc: Any) -> None:
    doc["annotations"][1]["category_id"] = 5


@mutation(10)
def owner_that_is_not_there(doc: Any) -> None:
    doc["annotations"][2]["owner"] = 5


@mutation(10)
def owner_in_another_image(doc: Any) -> None:
    doc["annotations"][2]["owner"] = doc["annotations"][4]["id"]


@mutation(10)
def tag_that_is_no_category(doc: Any) -> None:
    doc["images"][0]["autolabel"]["tags"][0]["class"] = "dog"


@mutation(11)
def bbox_beyond_the_border(doc: Any) -> None:
    doc["annotations"][0]["bbox"] = [31, 3, 10, 8]


@mutation(11)
def bbox_before_the_border(doc: Any) -> None:
    doc["annotations"][0]["bbox"] = [-1, 3, 10, 8]


@mutation(11)
def bbox_without_width(doc: Any) -> None:
    doc["annotations"][0]["bbox"] = [2, 3, 0, 8]


@mutation(11)
def bbox_of_three(doc: Any) -> None:
    doc["annotations"][0]["bbox"] = [2, 3, 10]


@mutation(11)
def no_bbox(doc: Any) -> None:
    del doc["annotations"][0]["bbox"]


@mutation(12)
def area_off_by_one(doc: Any) -> None:
    doc["annotations"][1]["area"] += 1


@mutation(12)
def area_of_the_box(doc: Any) -> None:
    doc["annotations"][1]["area"] = 144


@mutation(12)
def no_area(doc: Any) -> None:
    del doc["annotations"][1]["area"]


@mutation(13)
def bbox_a_pixel_wide(doc: Any) -> None:
    doc["annotations"][0]["bbox"][2] += 1


@mutation(13)
def bbox_by_corners(doc: Any) -> None:
    doc["annotations"][0]["bbox"] = [2, 3, 12, 11]


@mutation(14)
def iscrowd_2(doc: Any) -> None:
    doc["annotations"][0]["iscrowd"] = 2


@mutation(14)
def iscrowd_1_on_ours(doc: Any) -> None:
    doc["annotations"][0]["iscrowd"] = 1


@mutation(14)
def iscrowd_false(doc: Any) -> None:
    doc["annotations"][0]["iscrowd"] = False


@mutation(14)
def no_iscrowd(doc: Any) -> None:
    del doc["annotations"][0]["iscrowd"]


@mutation(15)
def segmentation_empty(doc: Any) -> None:
    doc["annotations"][0]["segmentation"] = []


@mutation(15)
def segmentation_null(doc: Any) -> None:
    doc["annotations"][0]["segmentation"] = None


@mutation(15)
def segmentation_missing_among_others(doc: Any) -> None:
    del doc["annotations"][0]["segmentation"]


@mutation(15)
def polygon_not_in_a_list(doc: Any) -> None:
    doc["annotations"][0]["segmentation"] = [2, 3, 12, 3, 12, 11, 2, 11]


@mutation(16)
def polygon_of_odd_length(doc: Any) -> None:
    doc["annotations"][0]["segmentation"] = [[2, 3, 12, 3, 12, 11, 2]]


@mutation(16)
def polygon_of_two_points(doc: Any) -> None:
    doc["annotations"][0]["segmentation"] = [[2, 3, 12, 11]]


@mutation(16)
def polygon_without_area(doc: Any) -> None:
    doc["annotations"][0]["segmentation"] = [[2, 3, 7, 7, 12, 11]]


@mutation(16)
def polygon_beyond_the_border(doc: Any) -> None:
    doc["annotations"][0]["segmentation"] = [[2, 3, 12, 3, 12, 31, 2, 11]]


@mutation(17)
def size_width_first(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["size"].reverse()


@mutation(17)
def size_of_floats(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["size"] = [30.0, 40.0]


@mutation(17)
def counts_too_short(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["counts"] = packed([63, 8])


@mutation(17)
def counts_too_long(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["counts"] += "9"


@mutation(17)
def counts_cut_in_a_number(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["counts"] += "P"


@mutation(17)
def counts_not_ascii(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["counts"] = "é"


@mutation(17)
def counts_with_runs_of_0(doc: Any) -> None:
    counts = doc["annotations"][0]["segmentation"]["counts"]
    runs = rle.to_uncompressed(Mask(30, 40, counts))
    doc["annotations"][0]["segmentation"]["counts"] = packed([runs[0] - 1, 0, 1, *runs[1:]])


@mutation(17)
def counts_with_padded_numbers(doc: Any) -> None:
    segmentation = doc["annotations"][4]["segmentation"]
    assert segmentation["counts"].startswith("0")
    segmentation["counts"] = "P0" + segmentation["counts"][1:]


@mutation(17)
def no_counts(doc: Any) -> None:
    del doc["annotations"][0]["segmentation"]["counts"]


def packed(runs: list[int]) -> str:
    import numpy as np

    return rle._pack(30, 40, np.array(runs)).counts


@mutation(18)
def plain_counts_too_short(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["counts"] = [63, 8]


@mutation(18)
def plain_counts_below_0(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["counts"] = [63, 8, 1130, -1]


@mutation(18)
def plain_counts_of_floats(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["counts"] = [600.0, 600.0]


@mutation(18)
def plain_counts_beyond_64_bits(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["counts"] = [10**30]


@mutation(19)
def hole_as_a_second_polygon(doc: Any) -> None:
    doc["annotations"][1]["segmentation"] = [
        [20, 5, 32, 5, 32, 17, 20, 17],
        [21, 6, 31, 6, 31, 16, 21, 16],
    ]


@mutation(19)
def hole_by_a_bridge(doc: Any) -> None:
    doc["annotations"][1]["segmentation"] = [
        [20, 5, 32, 5, 32, 17, 20, 17, 20, 5, 21, 6, 21, 16, 31, 16, 31, 6, 21, 6]
    ]


@mutation(20)
def mask_without_pixels(doc: Any) -> None:
    doc["annotations"][0]["segmentation"]["counts"] = packed([1200])


@mutation(21)
def area_a_text(doc: Any) -> None:
    doc["annotations"][0]["area"] = "80"


@mutation(21)
def bbox_of_texts(doc: Any) -> None:
    doc["annotations"][0]["bbox"] = ["2", "3", "10", "8"]


@mutation(21)
def bbox_with_true(doc: Any) -> None:
    doc["annotations"][4]["bbox"][0] = True


@mutation(22)
def score_above_1(doc: Any) -> None:
    doc["annotations"][0]["score"] = 1.2


@mutation(22)
def score_a_text(doc: Any) -> None:
    doc["annotations"][0]["score"] = "0.9"


@mutation(22)
def no_score(doc: Any) -> None:
    del doc["annotations"][0]["score"]


@mutation(22)
def score_of_a_tag_below_0(doc: Any) -> None:
    doc["images"][0]["autolabel"]["tags"][0]["score"] = -0.1


@mutation(23)
def no_provenance(doc: Any) -> None:
    del doc["annotations"][0]["autolabel"]


@mutation(23)
def source_that_is_not_there(doc: Any) -> None:
    doc["annotations"][0]["autolabel"]["source"] = "segment@elsewhere"


@mutation(23)
def weights_without_digest(doc: Any) -> None:
    next(iter(doc["info"]["provenance"].values()))["weights"] = "vit_b"


@mutation(23)
def dropped_label_written(doc: Any) -> None:
    doc["annotations"][0]["autolabel"]["verdict"]["decision"] = "drop"


@mutation(23)
def verdict_without_reason(doc: Any) -> None:
    doc["annotations"][0]["autolabel"]["verdict"]["reason"] = ""


@mutation(23)
def image_with_an_unknown_source(doc: Any) -> None:
    doc["images"][0]["autolabel"]["sources"]["read"] = "read@elsewhere"


@mutation(24)
def time_of_writing(doc: Any) -> None:
    doc["info"]["date_created"] = "2026-11-23"


@mutation(29)
def text_null(doc: Any) -> None:
    doc["annotations"][2]["text"] = None


@mutation(29)
def quad_beyond_the_border(doc: Any) -> None:
    doc["annotations"][3]["quad"][2] = 41.0


@mutation(29)
def order_below_0(doc: Any) -> None:
    doc["annotations"][2]["order"] = -1


@pytest.fixture(scope="module")
def clean(build: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("clean") / "labels.json"
    written: bytes = build.write(path, build.sample())
    assert check_file(path) == []
    return written


def test_there_are_at_least_forty_and_every_rule_has_one() -> None:
    assert len(MUTATIONS) >= 40
    assert {rule for rule, _ in MUTATIONS.values()} == set(RULES)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_single_breach_is_found_under_its_rule(name: str, clean: bytes, tmp_path: Path) -> None:
    rule, change = MUTATIONS[name]
    document = json.loads(clean)
    path = tmp_path / "labels.json"
    path.write_bytes(change(document) or dumped(document))
    assert path.read_bytes() != dumped(json.loads(clean))
    assert {violation.rule for violation in check_file(path)} == {rule}


def test_a_score_of_nan_breaks_two_rules_at_once(clean: bytes, tmp_path: Path) -> None:
    document = json.loads(clean)
    document["annotations"][0]["score"] = float("nan")
    path = tmp_path / "labels.json"
    path.write_bytes(dumped(document))
    assert {violation.rule for violation in check_file(path)} == {1, 22}
