"""Run files: what is accepted, and that every fault is named with its line before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import OpenClipConfig
from pipeline.errors import ConfigError
from pipeline.runfile import Overrides, load_run_file

GOOD = """\
name: job
images: [pictures]
workspace: ws
stages:
  embed: {engine: fake}
  segment: {engine: fake}
policy:
  classes:
    - name: red
    - name: blue
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_paths_are_relative_to_the_run_file(tmp_path: Path) -> None:
    config = load_run_file(write(tmp_path, GOOD)).config
    assert config.images == (tmp_path / "pictures",)
    assert config.workspace == tmp_path / "ws"


def test_flags_replace_keys_relative_to_the_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = write(tmp_path, GOOD)
    monkeypatch.chdir(elsewhere)
    overrides = Overrides((Path("a"), Path("b")), Path("w"), "cpu")
    config = load_run_file(path, overrides).config
    assert config.images == (elsewhere / "a", elsewhere / "b")
    assert config.workspace == elsewhere / "w"
    assert config.device == "cpu"


@pytest.mark.parametrize("name", ["no", "yes", "on", "off", "012", "12:30", "12:30:45", "7", "y"])
def test_class_names_stay_what_was_typed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, GOOD.replace("name: red", f"name: {name}"))
    assert load_run_file(path).config.policy.classes[0].name == name


def test_names_are_normalised_to_nfc(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace("name: red", "name: cafe\u0301"))
    assert load_run_file(path).config.policy.classes[0].name == "caf\u00e9"


def test_anchors_work_where_a_person_uses_them(tmp_path: Path) -> None:
    text = GOOD.replace("{engine: fake}", "&e {engine: fake}", 1).replace(
        "segment: {engine: fake}", "segment: *e"
    )
    assert load_run_file(write(tmp_path, text)).config.stages.segment is not None


# Each: (what to replace, with what, line of the fault, words that must be in the message).
FAULTS = [
    ("name: job", "name: ''", 1, "name"),
    ("name: job", "nam: job", 1, "nam: unknown key"),
    ("name: job", "", 1, "name: this key is required"),
    ("name: job", "name: null", 1, "name"),
    ("name: job", "name: [a]", 1, "name"),
    ("name: job", "name: true", 1, "name"),
    ("name: job", "name: job\nname: again", 2, "name: the key is there twice"),
    ("name: job", "name: !!python/object:os.system job", 1, "tag"),
    ("name: job", "name: job\ndevice: gpu", 2, "'auto', 'cpu', 'cuda' or 'mps', got 'gpu'"),
    ("name: job", "name: job\nprecision: fp8", 2, "precision"),
    ("name: job", "name: job\ninput: {max_pixels: 3}", 2, "input.max_pixels"),
    ("name: job", "name: job\ninput: {max_pixels: 1.5e3}", 2, "input.max_pixels"),
    ("name: job", "name: job\ninput: {max_pixels: '80'}", 2, "input.max_pixels"),
    ("name: job", "name: job\ninput: {follow_links: yes}", 2, "input.follow_links"),
    ("name: job", "name: job\ninput: {follow_links: 1}", 2, "input.follow_links"),
    ("name: job", "name: job\ninput: {min_side: 0}", 2, "input.min_side"),
    ("name: job", "name: job\ninput: {min_side: -8}", 2, "input.min_side"),
    ("name: job", "name: job\ninput: {max_aspect: 0.5}", 2, "input.max_aspect"),
    ("name: job", "name: job\ninput: {multi_frame: last}", 2, "input.multi_frame"),
    ("name: job", "name: job\ninput: {truncated: maybe}", 2, "input.truncated"),
    ("name: job", "name: job\ninput: {background: [1, 2]}", 2, "input.background"),
    ("name: job", "name: job\ninput: {background: [1, 2, 256]}", 2, "input.background"),
    ("name: job", "name: job\ninput: {background: white}", 2, "input.background"),
    ("name: job", "name: job\ninput: {decode_workers: 0}", 2, "input.decode_workers"),
    ("name: job", "name: job\ninput: {decode_seconds: 0}", 2, "input.decode_seconds"),
    ("name: job", "name: job\ninput: {decode_memory_mb: 1}", 2, "input.decode_memory_mb"),
    ("name: job", "name: job\ninput: 3", 2, "input"),
    ("name: job", "name: job\nmodels: {dir: x}", 2, "models.dir: unknown key"),
    ("name: job", "name: job\nmodels: {offline: 0}", 2, "models.offline"),
    ("images: [pictures]", "images: []", 2, "images"),
    ("images: [pictures]", "images: pictures", 2, "images"),
    ("images: [pictures]", "images: [3.5]", 2, "images"),
    ("workspace: ws", "workspace: [a]", 3, "workspace"),
    ("workspace: ws", "workspace:", 3, "workspace"),
    ("embed: {engine: fake}", "embed: {engine: nope}", 5, "nope"),
    ("embed: {engine: fake}", "embed: {engine: open_clip}", 5, "model: this key is required"),
    ("embed: {engine: fake}", "embed: {model: x}", 5, "engine"),
    ("embed: {engine: fake}", "embed: {engine: fake, dimensions: 1}", 5, "dimensions"),
    ("embed: {engine: fake}", "embed: {engine: open_clip, model: m, batch_size: 0}", 5, "batch"),
    ("embed: {engine: fake}", "embed: {engine: open_clip, model: m, batch: 8}", 5, "unknown key"),
    ("embed: {engine: fake}", "embed: fake", 5, "embed"),
    ("segment: {engine: fake}", "segmnt: {engine: fake}", 6, "segmnt: unknown key"),
    ("segment: {engine: fake}", "segment: {engine: segment_anything}", 6, "model"),
    (
        "segment: {engine: fake}",
        "segment: {engine: segment_anything, model: m, pred_iou_thresh: 1.5}",
        6,
        "pred_iou_thresh",
    ),
    (
        "segment: {engine: fake}",
        "segment: {engine: segment_anything, model: m, points_per_side: 1000}",
        6,
        "points_per_side",
    ),
    ("segment: {engine: fake}", "read: {engine: tesseract}", 6, "tesseract"),
    ("segment: {engine: fake}", "read: {engine: rapidocr, min_score: -1}", 6, "min_score"),
    ("segment: {engine: fake}", "read: {engine: easyocr, languages: []}", 6, "languages"),
    ("    - name: red\n    - name: blue\n", "", 8, "policy.classes"),
    ("name: blue", "name: RED", 7, "is there twice"),
    ("name: blue", "name: text", 7, "'text' is the category"),
    ("name: blue", "name: '  '", 10, "name"),
    ("name: blue", "name: blue\n      use: never", 11, "use"),
    ("name: blue", "name: blue\n      threshold: 1", 11, "threshold: unknown key"),
    ("name: blue", "name: blue\n      tag_threshold: 2", 11, "tag_threshold"),
    ("name: blue", "name: blue\n      synonyms: navy", 11, "synonyms"),
    ("name: blue", "name: blue\n  templates: ['a photo']", 7, "exactly one {}"),
    ("name: blue", "name: blue\n  templates: []", 11, "templates"),
    ("name: blue", "name: blue\n  tags: {threshold: .nan}", 11, "threshold"),
    ("name: blue", "name: blue\n  tags: {max_tags: 0}", 11, "max_tags"),
    ("name: blue", "name: blue\n  regions: {min_area: 0}", 11, "min_area"),
    ("name: blue", "name: blue\n  regions: {duplicate_iou: '0.5'}", 11, "duplicate_iou"),
    ("name: blue", "name: blue\n  text: {min_height: -1}", 11, "min_height"),
    ("name: blue", "name: [blue", 11, "not valid YAML"),
    ("name: blue", "\tname: blue", 10, "not valid YAML"),
]


@pytest.mark.parametrize(("old", "new", "line", "words"), FAULTS)
def test_every_fault_names_file_line_and_key(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load_run_file(path)
    first = next(row for row in str(caught.value).splitlines() if words in row)
    assert first.startswith(f"{path}:{line}:")


def test_there_are_sixty_faults() -> None:
    assert len(FAULTS) >= 60


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("name: job", "name: ''").replace("workspace: ws", "wrkspace: ws")
    with pytest.raises(ConfigError) as caught:
        load_run_file(write(tmp_path, text))
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words", "3"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="mapping"):
        load_run_file(write(tmp_path, text))


def test_missing_file_and_foreign_bytes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_run_file(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(ConfigError, match="cannot read"):
        load_run_file(tmp_path / "latin.yaml")


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    with pytest.raises(ConfigError, match="aliases"):
        load_run_file(write(tmp_path, "\n".join(lines)))


@pytest.mark.parametrize("workspace", ["pictures", "pictures/ws", "pictures/../pictures/ws"])
def test_a_workspace_inside_the_images_is_refused(tmp_path: Path, workspace: str) -> None:
    with pytest.raises(ConfigError, match="lies inside the image folder"):
        load_run_file(write(tmp_path, GOOD.replace("workspace: ws", f"workspace: {workspace}")))


def test_every_run_file_of_the_project_loads() -> None:
    files = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
    assert len(files) >= 3
    engines = {load_run_file(file).config.stages.embed for file in files}
    assert all(isinstance(engine, OpenClipConfig) for engine in engines)
