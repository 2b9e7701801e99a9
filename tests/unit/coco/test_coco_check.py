from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.coco import Violation, check_file
from pipeline.coco.image_files import upright_size
from pipeline.coco.violations import RULES, SHOWN_PER_RULE
from pipeline.config import InputConfig
from pipeline.errors import ConfigError
from pipeline.pixels import decode

SETTINGS = settings(
    deadline=None,
    max_examples=150,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 10**6, 2**32, 2**63, 10**400, 1e308, -0.0, float("inf")])
    | st.floats()
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("check")


@pytest.fixture
def document(build: Any, tmp_path: Path) -> Any:
    return build.document(tmp_path / "labels.json")


def check(document: Any, tmp_path: Path, images: Path | None = None) -> list[Violation]:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return check_file(path, images)


class TestProfiles:
    def test_polygons_conform(self, document: Any, tmp_path: Path) -> None:
        document["annotations"][0]["segmentation"] = [[2, 3, 12, 3, 12, 11, 2, 11]]
        assert check(document, tmp_path) == []

    def test_polygons_of_two_parts_conform(self, document: Any, tmp_path: Path) -> None:
        document["annotations"][0].update(
            segmentation=[[2, 3, 6, 3, 6, 11, 2, 11], [8, 3, 12, 3, 12, 11, 8, 11]], area=64
        )
        assert check(document, tmp_path) == []

    def test_polygons_may_be_off_by_little(self, document: Any, tmp_path: Path) -> None:
        one = document["annotations"][0]
        one.update(segmentation=[[2, 3, 12, 3, 12, 11, 2, 11]], area=82, bbox=[1, 3, 11, 8])
        assert check(document, tmp_path) == []
        one.update(area=83, bbox=[0.5, 3, 11, 8])
        assert [violation.rule for violation in check(document, tmp_path)] == [12, 13]

    def test_plain_run_lengths_conform(self, document: Any, tmp_path: Path) -> None:
        document["annotations"][4]["segmentation"]["counts"] = [0, 17 * 64]
        assert check(document, tmp_path) == []

    def test_boxes_alone_conform_with_their_area(self, document: Any, tmp_path: Path) -> None:
        for annotation in document["annotations"]:
            del annotation["segmentation"]
            annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
        assert check(document, tmp_path) == []
        document["annotations"][0]["area"] += 1
        assert [violation.rule for violation in check(document, tmp_path)] == [12]

    def test_licenses_and_dates_conform(self, document: Any, tmp_path: Path) -> None:
        document["licenses"] = [{"id": 1, "name": "CC BY 4.0"}]
        document["images"][0].update(license=1, date_captured="2013-11-14 17:02:52")
        assert check(document, tmp_path) == []


class TestReporting:
    def test_a_violation_says_where_and_what(self, document: Any, tmp_path: Path) -> None:
        document["annotations"][1]["area"] = 144
        (violation,) = check(document, tmp_path)
        ident = document["annotations"][1]["id"]
        assert violation == Violation(
            12, f"annotations[1] (id {ident})", "expected area 44, the mask's pixels, got 144"
        )

    def test_of_each_rule_the_first_are_shown_and_the_rest_counted(
        self, document: Any, tmp_path: Path
    ) -> None:
        document["images"] += [{"id": 0, "file_name": f"{n}"} for n in range(50)]
        found = check(document, tmp_path)
        for rule in (3, 5):
            ours = [violation for violation in found if violation.rule == rule]
            assert len(ours) == SHOWN_PER_RULE + 1
            assert ours[-1].message == f"and {50 - SHOWN_PER_RULE} more of this rule"
        assert [violation.rule for violation in found] == sorted(v.rule for v in found)

    def test_messages_stay_short_whatever_the_file_holds(
        self, document: Any, tmp_path: Path
    ) -> None:
        document["annotations"][0]["score"] = "x" * 10**6
        document["images"][0]["file_name"] = ["y" * 10**6] * 3
        assert all(len(v.where) + len(v.message) < 400 for v in check(document, tmp_path))

    @pytest.mark.parametrize("missing", ["nothing.json", "."])
    def test_a_file_that_is_not_there_is_a_usage_error(self, tmp_path: Path, missing: str) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            check_file(tmp_path / missing)

    def test_a_folder_that_is_not_there_is_a_usage_error(
        self, document: Any, tmp_path: Path
    ) -> None:
        with pytest.raises(ConfigError, match="no such folder"):
            check(document, tmp_path, tmp_path / "nowhere")


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document that a value can be put."""
    children: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    return [path, *(spot for key, child in children for spot in spots(child, (*path, key)))]


class TestBadContent:
    @SETTINGS
    @given(st.data())
    def test_any_value_anywhere_is_reported_and_never_raised(
        self, build: Any, folder: Path, data: st.DataObject
    ) -> None:
        document = build.document(folder / "labels.json")
        *path, key = data.draw(st.sampled_from(spots(document)[1:]))
        target = document
        for step in path:
            target = target[step]
        target[key] = data.draw(json_values)
        assert all(violation.rule in RULES for violation in check(document, folder, folder))

    @SETTINGS
    @given(st.binary(max_size=60) | json_values.map(lambda v: json.dumps(v).encode()))
    def test_any_bytes_break_a_rule(self, folder: Path, content: bytes) -> None:
        (folder / "bytes.json").write_bytes(content)
        assert check_file(folder / "bytes.json")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[" * 200_000,
            b'{"a":' * 200_000,
            b'{"info": ' + b"9" * 5000 + b"}",
            b'{"images": [' + b"1e9999," * 1000 + b"0]}",
            b"{" + b'"a":1,' * 50_000 + b'"a":1}',
        ],
    )
    def test_files_made_to_exhaust_readers_break_rule_1(
        self, tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "labels.json"
        path.write_bytes(content)
        assert 1 in {violation.rule for violation in check_file(path)}

    @pytest.mark.parametrize("size", [(10**6, 10**6), (2**28, 15), (15, 2**28), (2**40, 1)])
    @pytest.mark.parametrize("kind", ["counts", "plain", "polygon", "short"])
    def test_sizes_that_crash_pycocotools_do_not_crash_the_check(
        self, document: Any, tmp_path: Path, size: tuple[int, int], kind: str
    ) -> None:
        width, height = size
        document["images"][0].update(width=width, height=height)
        shapes: dict[str, Any] = {
            "counts": {"size": [height, width], "counts": "oooooo?" * 50},
            "plain": {"size": [height, width], "counts": [0, width * height]},
            "polygon": [[0, 0, width, 0, width, height, 0, height]],
            "short": {"size": [height, width], "counts": "11"},
        }
        document["annotations"][0]["segmentation"] = shapes[kind]
        assert check(document, tmp_path)

    @pytest.mark.parametrize(
        "polygons",
        [
            [[0, 0, 40, 30] * 30_000],
            [[x, 0, x + 1, 0, x, 30] for x in range(39)] * 100,
        ],
    )
    def test_polygons_that_take_for_ever_are_not_drawn(
        self, document: Any, tmp_path: Path, polygons: Any
    ) -> None:
        document["annotations"][0]["segmentation"] = polygons
        assert {violation.rule for violation in check(document, tmp_path)} == {16}


class TestImageFiles:
    def put(self, folder: Path, document: Any) -> None:
        for entry in document["images"]:
            path = folder / entry["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (entry["width"], entry["height"])).save(path)

    def test_images_that_are_there_conform(self, document: Any, tmp_path: Path) -> None:
        self.put(tmp_path / "images", document)
        assert check(document, tmp_path, tmp_path / "images") == []

    def test_a_missing_image_breaks_rule_4(self, document: Any, tmp_path: Path) -> None:
        self.put(tmp_path / "images", document)
        (tmp_path / "images" / "a.jpg").unlink()
        (violation,) = check(document, tmp_path, tmp_path / "images")
        assert violation.rule == 4
        assert "'a.jpg': there is no such file" in violation.message

    def test_another_size_breaks_rule_5(self, document: Any, tmp_path: Path) -> None:
        self.put(tmp_path / "images", document)
        Image.new("L", (30, 40)).save(tmp_path / "images" / "a.jpg")
        (violation,) = check(document, tmp_path, tmp_path / "images")
        assert violation.rule == 5
        assert "the upright image is 30 x 40, got 40 x 30" in violation.message

    def test_a_file_that_is_no_image_breaks_rule_4(self, document: Any, tmp_path: Path) -> None:
        self.put(tmp_path / "images", document)
        (tmp_path / "images" / "a.jpg").write_bytes(b"<html>")
        assert [v.rule for v in check(document, tmp_path, tmp_path / "images")] == [4]

    def test_a_pipe_does_not_block(self, document: Any, tmp_path: Path) -> None:
        self.put(tmp_path / "images", document)
        (tmp_path / "images" / "a.jpg").unlink()
        os.mkfifo(tmp_path / "images" / "a.jpg")
        assert [v.rule for v in check(document, tmp_path, tmp_path / "images")] == [4]

    def test_a_link_out_of_the_folder_is_not_followed(self, document: Any, tmp_path: Path) -> None:
        self.put(tmp_path / "images", document)
        (tmp_path / "images" / "a.jpg").rename(tmp_path / "outside.jpg")
        (tmp_path / "images" / "a.jpg").symlink_to(tmp_path / "outside.jpg")
        (violation,) = check(document, tmp_path, tmp_path / "images")
        assert "leads out of" in violation.message

    @pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_sizes_are_those_of_the_one_decoder(
        self, tmp_path: Path, suffix: str, orientation: int
    ) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        name = f"a.{suffix}"
        Image.new("RGB", (40, 24)).save(tmp_path / name, exif=exif)
        info = decode((tmp_path / name).read_bytes(), name=name, settings=InputConfig()).info
        assert info.orientation == orientation
        assert upright_size(tmp_path, name) == (info.width, info.height)
