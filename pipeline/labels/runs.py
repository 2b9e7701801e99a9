"""A finished run, read image by image; memory grows by a few numbers per image, not with labels."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from pipeline.coco.document import EXTRA, TEXT
from pipeline.errors import ReviewError
from pipeline.geometry import quad_box
from pipeline.labels.values import Content, Facts, Kind, MachineLabel
from pipeline.reasons import Reason
from pipeline.records import Box, JsonObject, Mask, Point
from pipeline.write import CONFIG, LABELS, MANIFEST, QUARANTINE

_TOY: Final = "tiny-synthetic"
_CHUNK_IMAGES: Final = 64
_CHUNK_LABELS: Final = 2000
"""Labels laid out at a time: some 20 MB with their masks."""

_CAN_BE_SHOWN: Final = frozenset(
    {
        Reason.TRUNCATED, Reason.MULTI_FRAME, Reason.TOO_SMALL, Reason.TOO_ELONGATED,
        Reason.DECODE_TIMEOUT, Reason.DECODE_OUT_OF_MEMORY, Reason.CHANGED_DURING_RUN,
        Reason.NAN_OUTPUT, Reason.ENGINE_ERROR, Reason.ENGINE_OUT_OF_MEMORY,
    }
)  # fmt: skip
"""Reasons of files that a browser can still show at least in part."""


@dataclass(frozen=True, slots=True)
class RunImage:
    """An image of a run with its labels.

    Attributes:
        id: COCO image id.
        path: Absolute path of the file it was first found at.
        width: Columns of the upright image.
        height: Rows of the upright image.
        mime: Media type by content.
        n_bytes: Size of the file.
    """

    sha256: str
    id: int
    file_name: str
    path: str
    width: int
    height: int
    mime: str
    n_bytes: int
    labels: tuple[MachineLabel, ...]


@dataclass(frozen=True, slots=True)
class QuarantinedFile:
    """A file without labels.

    Attributes:
        path: Absolute.
        sha256: None if its bytes could not be read.
    """

    path: str
    file_name: str
    reason: str
    detail: str
    stage: str | None
    sha256: str | None


class FinishedRun:
    """The files of one run folder.

    Args:
        folder: ``<workspace>/runs/<run-id>``, or a link to it, which is followed once.

    Raises:
        ReviewError: There is no run, or its files are not as ``autolabel run`` writes them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder.resolve()
        self.run_id: Final = self.folder.name
        try:
            self.config: Final[JsonObject] = json.loads((self.folder / CONFIG).read_text())
            with (self.folder / LABELS).open("rb") as file:
                self._index(file)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise ReviewError(
                f"{folder}: no finished run there ({type(error).__name__}: {error}). "
                "Label first: autolabel run CONFIG"
            ) from None

    def _index(self, file: IO[bytes]) -> None:
        self._places: dict[bytes, int] = {}  # sha256 → place in the arrays
        self._images, self._starts, self._counts = array("q"), array("q"), array("l")
        self._categories: dict[int, str] = {}
        head = file.readline().strip().removesuffix(b",") + b"}"
        provenance: dict[str, JsonObject] = json.loads(head)["info"]["provenance"]
        self.provenance = provenance
        self._models = {key: str(stage["model"]) for key, stage in provenance.items()}
        ids: dict[int, int] = {}
        for section, start, line in _entries(file):
            if section == b"images":
                image = json.loads(line)
                place = ids[image["id"]] = len(ids)
                self._places[bytes.fromhex(image[EXTRA]["sha256"])] = place
                self._images.append(start)
                self._starts.append(0)
                self._counts.append(0)
            elif section == b"annotations":
                place = ids[_image_id(line)]
                self._starts[place] = self._starts[place] or start
                self._counts[place] += 1
            else:
                entry = json.loads(line)
                self._categories[entry["id"]] = entry["name"]

    def __len__(self) -> int:
        return len(self._images)

    def __contains__(self, sha256: str) -> bool:
        return bytes.fromhex(sha256) in self._places

    @property
    def classes(self) -> list[str]:
        """Names of the vocabulary in order, without the category of texts."""
        return [name for name in self._categories.values() if name != TEXT]

    @property
    def store_url(self) -> str:
        """Where the findings are that its labels were made of."""
        return str(self.config.get("store") or self.folder.parents[1] / "store")

    @property
    def toy_models(self) -> bool:
        """Whether any label was made with the embedded toy models."""
        return any(model.startswith(_TOY) for model in self._models.values())

    @property
    def same_object(self) -> float:
        """Mask IoU above which this run takes two regions for one object."""
        return float(self.config["policy"]["regions"]["duplicate_iou"])

    def images(self) -> Iterator[RunImage]:
        """Give every image, in the order of the run.

        Yields:
            The image with its labels.

        Raises:
            ReviewError: A file of the run is damaged.
        """
        with (self.folder / MANIFEST).open(encoding="utf-8") as rows, self._open() as file:
            for place, row in enumerate(rows):
                yield self._image(file, place, json.loads(row))

    def labels(self, sha256: str) -> tuple[MachineLabel, ...]:
        """Give the labels of one image; none if the run does not know it."""
        place = self._places.get(bytes.fromhex(sha256))
        if place is None:
            return ()
        with self._open() as file:
            return self._labels(file, place)

    def quarantined(self) -> list[QuarantinedFile]:
        """Give every file without labels.

        Raises:
            ReviewError: The list is missing or damaged.
        """
        path = self.folder / QUARANTINE
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError) as error:
            raise ReviewError(f"{path}: cannot be read: {error}") from None
        return [
            QuarantinedFile(
                str(Path(row["root"]) / row["path"]),
                row["path"],
                row["reason"],
                row["detail"],
                row["stage"],
                row["sha256"],
            )
            for row in rows
        ]

    def _open(self) -> IO[bytes]:
        return (self.folder / LABELS).open("rb")

    def _image(self, file: IO[bytes], place: int, row: JsonObject) -> RunImage:
        image = self._entry(file, self._images[place])
        sha256, path = image[EXTRA]["sha256"], row["paths"][0]
        if sha256 != row["sha256"]:
            raise ReviewError(
                f"{self.folder}: image {place} is {sha256[:12]} in {LABELS}, "
                f"{row['sha256'][:12]} in {MANIFEST}; run again"
            )
        return RunImage(
            sha256,
            image["id"],
            image["file_name"],
            str(Path(path["root"]) / path["path"]),
            image["width"],
            image["height"],
            row["mime"],
            row["bytes"],
            self._labels(file, place),
        )

    def _labels(self, file: IO[bytes], place: int) -> tuple[MachineLabel, ...]:
        image = self._entry(file, self._images[place])
        labels = [self._tag(image, tag) for tag in image[EXTRA]["tags"]]
        file.seek(self._starts[place])
        lines = (file.readline().rstrip(b",\n") for _ in range(self._counts[place]))
        return (*labels, *(self._annotation(json.loads(line)) for line in lines))

    @staticmethod
    def _entry(file: IO[bytes], start: int) -> JsonObject:
        file.seek(start)
        entry: JsonObject = json.loads(file.readline().rstrip(b",\n"))
        return entry

    def _tag(self, image: JsonObject, tag: JsonObject) -> MachineLabel:
        facts = Facts(
            score=tag["score"],
            margin=round(tag["score"] - tag["threshold"], 6),
            model=self._models.get(image[EXTRA]["sources"].get("embed", "")),
            **_verdict(tag),
        )
        content = Content(Kind.TAG, tag["class"])
        return MachineLabel(
            tag_id(image[EXTRA]["sha256"], tag["class"]), content, facts, self.run_id
        )

    def _annotation(self, entry: JsonObject) -> MachineLabel:
        label = self._categories[entry["category_id"]]
        content, facts = self._text(entry) if "text" in entry else self._object(entry, label)
        return MachineLabel(str(entry["id"]), content, facts, self.run_id)

    def _object(self, entry: JsonObject, label: str) -> tuple[Content, Facts]:
        extra, shape = entry[EXTRA], entry["segmentation"]
        second = extra.get("runner_up") or {"class": None, "score": 0.0}
        lead = entry["score"] - max(second["score"], extra["background"])
        facts = Facts(
            score=entry["score"],
            margin=round(lead, 6),
            model=self._model(extra),
            predicted_iou=extra["predicted_iou"],
            stability=extra["stability"],
            area=entry["area"],
            runner_up=second["class"],
            background=extra["background"],
            **_verdict(extra),
        )
        mask = Mask(shape["size"][0], shape["size"][1], shape["counts"])
        box = Box(*(float(value) for value in entry["bbox"]))
        return Content(Kind.OBJECT, label, mask=mask, box=box), facts

    def _text(self, entry: JsonObject) -> tuple[Content, Facts]:
        threshold = float(self.config["policy"]["text"]["threshold"])
        facts = Facts(
            score=entry["score"],
            margin=round(entry["score"] - threshold, 6),
            model=self._model(entry[EXTRA]),
            order=entry["order"],
            owner=str(entry["owner"]) if "owner" in entry else None,
            **_verdict(entry[EXTRA]),
        )
        quad = entry["quad"]
        points = tuple(Point(x, y) for x, y in zip(quad[::2], quad[1::2], strict=True))
        first, second, third, fourth = points
        box = quad_box((first, second, third, fourth))
        return Content(Kind.TEXT, TEXT, entry["text"], box=box, points=points), facts

    def _model(self, extra: JsonObject) -> str:
        keys = [extra[name] for name in ("source", "named_by") if name in extra]
        return " + ".join(self._models[key] for key in keys)


def tag_id(sha256: str, class_name: str) -> str:
    """Id of a tag: tags have none in COCO."""
    return f"tag:{sha256[:16]}:{class_name}"


def _verdict(entry: JsonObject) -> dict[str, Any]:
    verdict = entry.get("verdict", {})
    return {"decision": verdict.get("decision"), "reason": verdict.get("reason")}


def _image_id(line: bytes) -> int:
    # The writer puts it second; the mask, which makes the line long, need not be parsed for it.
    head, key, rest = line.partition(b'"image_id":')
    if not key or head.count(b":") != 1:
        return int(json.loads(line)["image_id"])
    return int(rest.partition(b",")[0])


def _entries(file: IO[bytes]) -> Iterator[tuple[bytes, int, bytes]]:
    """Read the file entry by entry.

    Yields:
        Section, place and text.

    Source: ``pipeline.coco.writer``, which gives every section and every entry its own line.
    """
    section, start = b"", file.tell()
    for line in iter(file.readline, b""):
        if line.startswith(b'"'):
            section = line.split(b'"')[1]
        elif line.startswith(b"{"):
            yield section, start, line.rstrip(b",\n")
        start = file.tell()


def by_labels(images: Iterable[RunImage]) -> Iterator[list[RunImage]]:
    """Cut a run into pieces that fit into memory whatever the images hold.

    Yields:
        Images that follow each other.
    """
    chunk: list[RunImage] = []
    labels = 0
    for image in images:
        chunk.append(image)
        labels += len(image.labels)
        if labels >= _CHUNK_LABELS or len(chunk) >= _CHUNK_IMAGES:
            yield chunk
            chunk, labels = [], 0
    if chunk:
        yield chunk


def showable(files: Iterable[QuarantinedFile], run: FinishedRun) -> list[QuarantinedFile]:
    """One file per content that a browser can show."""
    shown: dict[str, QuarantinedFile] = {}
    for file in files:
        if (
            file.reason in _CAN_BE_SHOWN
            and file.sha256 is not None
            and file.sha256 not in run
            and Path(file.path).is_file()
        ):
            shown.setdefault(file.sha256, file)
    return list(shown.values())


def latest(workspace: Path) -> FinishedRun:
    """Open the latest run of a workspace.

    Raises:
        ReviewError: There is none, or its files are damaged.
    """
    return FinishedRun(workspace / "runs" / "latest")
