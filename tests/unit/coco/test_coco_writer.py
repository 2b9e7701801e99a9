from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import resource
import stat
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import faster_coco_eval
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipeline.coco import CocoWriter, check_file, writer
from pipeline.coco.seen import SeenNumbers, text_number
from pipeline.errors import CocoError, WorkspaceError
from pipeline.records import Decision

SETTINGS = settings(deadline=None, max_examples=40, derandomize=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("coco")


@contextlib.contextmanager
def silence() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


class TestFile:
    def test_one_entry_per_line_and_always_the_same_sections(
        self, build: Any, tmp_path: Path
    ) -> None:
        text = build.write(tmp_path / "a.json", build.sample()).decode()
        document = json.loads(text)
        assert list(document) == ["info", "licenses", "images", "annotations", "categories"]
        lines = text.splitlines()
        starts = [line for line in lines if line.startswith('{"id":')]
        assert len(starts) == 3 + 5 + 4
        assert text.endswith("]}\n")
        assert "עברית" in text

    def test_a_file_without_images_is_whole(self, build: Any, tmp_path: Path) -> None:
        document = json.loads(build.write(tmp_path / "a.json", []))
        assert document["images"] == document["annotations"] == document["licenses"] == []
        assert document["info"] == {"description": "test", "provenance": {}}
        assert check_file(tmp_path / "a.json") == []

    def test_sources_are_explained_once(self, build: Any, tmp_path: Path) -> None:
        document = build.document(tmp_path / "a.json")
        table = document["info"]["provenance"]
        assert sorted(entry["stage"] for entry in table.values()) == [
            *("embed", "embed_regions", "read", "segment")
        ]
        used = {entry["autolabel"]["source"] for entry in document["annotations"]}
        assert used <= set(table)
        assert {"engine", "model", "weights", "fingerprint"} <= set(table[used.pop()])

    def test_images_stay_in_order_with_their_annotations(self, build: Any, tmp_path: Path) -> None:
        document = build.document(tmp_path / "a.json")
        images = [image["id"] for image in document["images"]]
        assert [image["file_name"] for image in document["images"]] == [
            *("a.jpg", "sub/b.png", "sub/c.png")
        ]
        places = [images.index(entry["image_id"]) for entry in document["annotations"]]
        assert places == [0, 0, 0, 0, 1]
        assert [entry["category_id"] for entry in document["annotations"]] == [1, 3, 4, 4, 2]

    def test_counts_come_back_per_image(self, build: Any, tmp_path: Path) -> None:
        with CocoWriter(tmp_path / "a.json", build.categories, {}) as out:
            counts = [out.add(labels, labels.image.source.path) for labels in build.sample()]
        assert [(one.objects, one.texts, one.tags) for one in counts] == [
            *((2, 2, 2), (1, 0, 0), (0, 0, 0))
        ]

    @SETTINGS
    @given(st.data())
    def test_any_labels_conform_and_load_everywhere(
        self, build: Any, folder: Path, data: st.DataObject
    ) -> None:
        path = folder / "any.json"
        images = data.draw(build.any_labels())
        written = build.write(path, images)
        assert check_file(path) == []
        assert build.write(path, images) == written
        with silence():
            one, two = COCO(str(path)), faster_coco_eval.COCO(str(path))
        document = json.loads(written)
        assert len(one.anns) == len(two.anns) == len(document["annotations"])
        assert len(one.imgs) == len(two.imgs) == len(images)


class TestReaders:
    def test_as_truth_and_as_results_the_file_is_perfect(self, build: Any, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        build.write(path, build.sample())
        for kind in ("segm", "bbox"):
            for one in (reference(path, kind), fast(path, kind)):
                with silence():
                    one.evaluate()
                    one.accumulate()
                    one.summarize()
                assert list(one.stats[:3]) == pytest.approx([1.0, 1.0, 1.0])

    def test_masks_come_back_pixel_for_pixel(self, build: Any, tmp_path: Path) -> None:
        bitmaps = [
            build.rectangle(1, 2, 20, 9, hole=True),
            np.indices((30, 40)).sum(axis=0) % 2 == 0,
        ]
        instances = tuple(build.instance(bitmap) for bitmap in bitmaps)
        build.write(tmp_path / "a.json", [build.labels(instances=instances)])
        document = json.loads((tmp_path / "a.json").read_bytes())
        for bitmap, entry in zip(bitmaps, document["annotations"], strict=True):
            mask = rle_of(entry)
            assert np.array_equal(mask, bitmap)


def reference(path: Path, kind: Any) -> Any:
    with silence():
        truth: Any = COCO(str(path))
        return COCOeval(truth, truth.loadRes(deepcopy(truth.dataset["annotations"])), kind)


def fast(path: Path, kind: str) -> Any:
    with silence():
        truth = faster_coco_eval.COCO(str(path))
        results = truth.loadRes(deepcopy(truth.dataset["annotations"]))
        return faster_coco_eval.COCOeval_faster(truth, results, kind)


def rle_of(entry: Any) -> Any:
    from pipeline.records import Mask
    from pipeline.rle import decode

    height, width = entry["segmentation"]["size"]
    return decode(Mask(height, width, entry["segmentation"]["counts"]))


class TestNames:
    @pytest.mark.parametrize(
        "name", ["/a.jpg", "../a.jpg", "a/../b.jpg", "a//b.jpg", "./a.jpg", "", "a\0b", "x\\a.jpg",
                 "C:/a.jpg", "a/", "bad\udc80.jpg", "."]
    )  # fmt: skip
    def test_what_is_no_relative_posix_path_is_refused(
        self, build: Any, tmp_path: Path, name: str
    ) -> None:
        with (
            pytest.raises(CocoError, match="file_name"),
            CocoWriter(tmp_path / "a.json", build.categories, {}) as out,
        ):
            out.add(build.labels(), name)

    @pytest.mark.parametrize("name", ["a\\b.jpg", "C:\\x.jpg", "a\nb.jpg", "é 😀.jpg", "..jpg"])
    def test_odd_names_on_disk_round_trip(self, build: Any, tmp_path: Path, name: str) -> None:
        path = tmp_path / "a.json"
        with CocoWriter(path, build.categories, {}) as out:
            out.add(build.labels(build.image(name)), f"photos/{name}")
        assert json.loads(path.read_bytes())["images"][0]["file_name"] == f"photos/{name}"
        assert check_file(path) == []


class TestOnePlaceEach:
    def test_an_image_goes_in_once(self, build: Any, tmp_path: Path) -> None:
        with CocoWriter(tmp_path / "a.json", build.categories, {}) as out:
            out.add(build.labels(), "a.jpg")
            with pytest.raises(CocoError, match=r"'b.jpg': an image with this content"):
                out.add(build.labels(), "b.jpg")

    def test_a_name_goes_in_once(self, build: Any, tmp_path: Path) -> None:
        with CocoWriter(tmp_path / "a.json", build.categories, {}) as out:
            out.add(build.labels(build.image(content=1)), "a.jpg")
            with pytest.raises(CocoError, match=r"'a.jpg': an image with this file_name"):
                out.add(build.labels(build.image(content=2)), "a.jpg")

    def test_names_that_differ_in_case_or_composition_are_two(
        self, build: Any, tmp_path: Path
    ) -> None:
        names = ["é.jpg", "e\u0301.jpg", "É.jpg"]
        build.write(tmp_path / "a.json", [build.labels(build.image(name)) for name in names])
        assert check_file(tmp_path / "a.json") == []

    def test_ids_that_two_contents_share_are_resolved(
        self, build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pipeline.coco import document

        real = document._id
        # With 24 ids for 8 entries, the images added later have to try and try again.
        monkeypatch.setattr(document, "_id", lambda *parts: real(*parts) % 24 + 1)
        written = build.write(tmp_path / "a.json", build.sample())
        assert check_file(tmp_path / "a.json") == []
        assert build.write(tmp_path / "a.json", build.sample()) == written

    def test_without_free_ids_it_says_so(
        self, build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from pipeline.coco import document

        monkeypatch.setattr(document, "_id", lambda *_: 1)
        with pytest.raises(CocoError, match="no free ids in 100 attempts"):
            build.write(tmp_path / "a.json", build.sample())

    def test_a_refused_image_leaves_no_trace(self, build: Any, tmp_path: Path) -> None:
        bad = build.labels(instances=(build.instance(build.rectangle(0, 0, 4, 4), "dog"),))
        with CocoWriter(tmp_path / "a.json", build.categories, {"description": "test"}) as out:
            with pytest.raises(CocoError, match="'dog'"):
                out.add(bad, "a.jpg")
            out.add(build.labels(), "a.jpg")
        assert (
            build.write(tmp_path / "b.json", [build.labels()]) == (tmp_path / "a.json").read_bytes()
        )


class TestWholeOrNotAtAll:
    def test_an_error_leaves_the_old_file_and_nothing_else(
        self, build: Any, tmp_path: Path
    ) -> None:
        path = tmp_path / "a.json"
        before = build.write(path, build.sample())
        with (  # noqa: PT012  it comes after some work
            pytest.raises(KeyboardInterrupt),
            CocoWriter(path, build.categories, {}) as out,
        ):
            out.add(build.labels(), "a.jpg")
            raise KeyboardInterrupt
        assert path.read_bytes() == before
        assert files(tmp_path) == ["a.json"]

    def test_nothing_has_a_name_before_the_end(self, build: Any, tmp_path: Path) -> None:
        with CocoWriter(tmp_path / "a.json", build.categories, {}) as out:
            out.add(build.labels(), "a.jpg")
            assert files(tmp_path) == []
        assert files(tmp_path) == ["a.json"]

    def test_what_a_killed_writer_left_is_removed(self, build: Any, tmp_path: Path) -> None:
        for name in (".a.json.12ab.partial", ".b.json.12ab.partial"):
            (tmp_path / name).touch()
        build.write(tmp_path / "a.json", [])
        assert sorted(files(tmp_path)) == [".b.json.12ab.partial", "a.json"]

    def test_the_file_is_synced_then_renamed_then_its_folder_is_synced(
        self, build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []
        real_sync, real_replace = os.fsync, Path.replace

        def sync(handle: int) -> None:
            mode = os.fstat(handle).st_mode
            steps.append("sync folder" if stat.S_ISDIR(mode) else "sync file")
            real_sync(handle)

        def rename(self: Path, target: Path) -> Path:
            steps.append("rename")
            return real_replace(self, target)

        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(Path, "replace", rename)
        build.write(tmp_path / "a.json", build.sample())
        assert steps == ["sync file", "rename", "sync folder"]

    def test_a_file_is_readable_as_the_umask_says(self, build: Any, tmp_path: Path) -> None:
        build.write(tmp_path / "a.json", [])
        (tmp_path / "plain").touch()
        modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.json", "plain")}
        assert len(modes) == 1

    def test_a_full_disk_at_any_byte_leaves_the_old_file(self, build: Any, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        before = build.write(path, [build.labels()])
        size = len(build.write(tmp_path / "b.json", build.sample()))
        (tmp_path / "b.json").unlink()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        for limit in range(0, size, size // 25):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
            try:
                with pytest.raises(WorkspaceError, match=r"a\.json: cannot be written"):
                    build.write(path, build.sample())
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            assert path.read_bytes() == before
            assert files(tmp_path) == ["a.json"]

    def test_after_a_failed_write_there_is_no_file_even_if_the_caller_goes_on(
        self, build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(writer._Lines, "append", full)
        out = CocoWriter(tmp_path / "a.json", build.categories, {})
        out.__enter__()
        with pytest.raises(WorkspaceError, match="No space"):
            out.add(build.labels(), "a.jpg")
        with pytest.raises(CocoError, match="written in part only"):
            out.__exit__(None, None, None)
        assert files(tmp_path) == []

    def test_a_folder_that_is_missing_is_named(self, build: Any, tmp_path: Path) -> None:
        with pytest.raises(WorkspaceError, match=r"nowhere.*cannot be written"):
            build.write(tmp_path / "nowhere" / "a.json", [])


class TestArguments:
    @pytest.mark.parametrize("info", [{"x": math.nan}, {"x": {1, 2}}, {"x": "\ud800"}])
    def test_info_that_is_no_json_is_refused_at_once(
        self, build: Any, tmp_path: Path, info: Any
    ) -> None:
        with pytest.raises(CocoError, match="cannot be written as JSON"):
            CocoWriter(tmp_path / "a.json", build.categories, info)

    def test_provenance_is_not_the_callers(self, build: Any, tmp_path: Path) -> None:
        with pytest.raises(CocoError, match=r"info\.provenance"):
            CocoWriter(tmp_path / "a.json", build.categories, {"provenance": {}})

    def test_labels_without_provenance_are_refused(self, build: Any, tmp_path: Path) -> None:
        labels = build.labels(texts=(build.text((3, 4, 11, 4, 11, 9, 3, 9)),))
        with (
            pytest.raises(CocoError, match="stage 'read', but no provenance"),
            CocoWriter(tmp_path / "a.json", build.categories, {}) as out,
        ):
            out.add(replace(labels, provenance={}), "a.jpg")

    def test_reasons_with_half_pairs_are_written(self, build: Any, tmp_path: Path) -> None:
        text = build.text((3, 4, 11, 4, 11, 9, 3, 9), decision=Decision.REVIEW)
        odd = replace(text, verdict=replace(text.verdict, reason="reads \udfff"))
        build.write(tmp_path / "a.json", [build.labels(texts=(odd,))])
        assert check_file(tmp_path / "a.json") == []


class TestSeenNumbers:
    @SETTINGS
    @given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 40), max_size=80))
    def test_is_a_set(self, numbers: list[int]) -> None:
        seen, expected = SeenNumbers(), set[int]()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipeline.coco.seen._BUFFERED", 8)
            for number in numbers:
                assert (number in seen) == (number in expected)
                seen.add(number)
                expected.add(number)
                assert len(seen) == len(expected)
        assert all(number in seen for number in expected)

    def test_takes_eight_bytes_each(self) -> None:
        seen = SeenNumbers()
        for number in range(70_000):
            seen.add(text_number(str(number)))
        assert len(seen) == 70_000
        assert seen._sorted.nbytes == 65_536 * 8
