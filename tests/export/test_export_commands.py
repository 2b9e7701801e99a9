"""The commands, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from export.made import Drawn, Shown, make_project, rectangle, write_run

from pipeline.cli import _guarded, app
from pipeline.export import FORMATS
from pipeline.runfile import RunFile


@pytest.fixture
def run(tmp_path: Path) -> RunFile:
    made = make_project(tmp_path / "50% done")
    objects = [Drawn("cat", rectangle(4, 4, 20, 10))]
    write_run(made, [Shown(f"{k:03}.png", objects, ("sky",), ("EXIT",)) for k in range(6)])
    return made


def typed(run: RunFile, command: str, *words: str) -> int:
    return _guarded(lambda: app([command, str(run.path), *words], standalone_mode=False))


@pytest.mark.parametrize("name", FORMATS)
def test_export_says_what_it_wrote(
    run: RunFile, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(run, "export", "--format", name, "--split", "50,50", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert sum(report["images"].values()) == 6
    assert (Path(report["out"]) / "manifest.json").is_file()
    assert Path(report["out"]) == run.config.workspace / "exports" / name


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "vhs"), ("--status", "good"), ("--split", "a,b"), ("--split", "90,20"),
        ("--min-iou", "0"), ("--classes", "wolf"), ("--out", "."),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_message(
    run: RunFile, words: tuple[str, ...], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(run.config.images[0])
    assert typed(run, "export", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --")
    assert "Traceback" not in error


def test_messages_say_what_to_do(
    run: RunFile, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def said(code: int, *words: str) -> str:
        assert typed(run, "export", *words) == code
        return capsys.readouterr().err.replace("\n", " ")

    assert "Did you mean yolo-segment or yolo-detect?" in said(2, "--format", "yolo-seg")
    assert "got 3 that add up to 95" in said(2, "--split", "70,20,5")
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is no folder" in said(1, "--out", str(tmp_path / "file/deep/set"))
    (run.config.images[0] / "003.png").unlink()
    gone = said(1)
    assert "003.png" in gone
    assert "autolabel run CONFIG" in gone

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/set/.coco.lock")

    monkeypatch.setattr("pipeline.export.folder.FileLock.acquire", refuse)
    refused = said(1, "--out", str(tmp_path / "set"))
    assert "no folder can be made there: Permission denied; name another one" in refused
    assert ".lock" not in refused


def test_evaluate_and_tune_against_an_export(
    run: RunFile, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(run, "export") == 0
    truth = str(run.config.workspace / "exports/coco/annotations/instances_all.json")
    assert typed(run, "evaluate", "--truth", truth) == 0
    shown = capsys.readouterr().out
    assert "mask AP 1.000, AP50 1.000" in shown
    assert "tags: mAP 1.000" in shown
    assert "errors: none" in shown
    assert (run.config.workspace / "runs/latest/evaluation.json").is_file()
    assert typed(run, "tune", "--truth", truth, "--precision", "0.9") == 0
    assert "half the time" in capsys.readouterr().out.replace("\n", " ")
    assert typed(run, "tune", "--truth", truth, "--precision", "9") == 2
    assert typed(run, "evaluate", "--truth", "nothing.json") == 1
