"""The labels of a workspace as they stand now: latest run x review log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.labels.log import ReviewLog
from pipeline.labels.merge import merge
from pipeline.labels.runs import FinishedRun, RunImage, latest
from pipeline.labels.values import MergedLabel, Status


@dataclass(frozen=True, slots=True)
class CurrentImage:
    """An image with its labels as they stand.

    Attributes:
        image: What the run says of it.
        labels: Merged with what people decided; rejected ones are among them, deleted ones not.
        done: Whether a person marked the image as done.
        tags: What people tagged the image with.
    """

    image: RunImage
    labels: tuple[MergedLabel, ...]
    done: bool
    tags: tuple[str, ...]

    @property
    def reviewed(self) -> bool:
        """Whether a person went through it: marked it as done, or decided every label."""
        pending = any(label.status is Status.PENDING for label in self.labels)
        return self.done or (bool(self.labels) and not pending)


class CurrentLabels:
    """Latest run and review log of a workspace, opened once.

    Args:
        workspace: The workspace.
        run: Folder of another run than the latest.

    Attributes:
        run: The run.
        log: The review log.

    Raises:
        ReviewError: There is no finished run, or the log is damaged.
    """

    def __init__(self, workspace: Path, run: Path | None = None) -> None:
        self.run: Final = latest(workspace) if run is None else FinishedRun(run)
        self.log: Final = ReviewLog(workspace)

    def __len__(self) -> int:
        return len(self.run)

    def __iter__(self) -> Iterator[CurrentImage]:
        """Give every image in the order of the run, one in memory at a time.

        Yields:
            The image with its labels as they stand.

        Raises:
            ReviewError: A file of the run is damaged.
        """
        for image in self.run.images():
            reviews = self.log[image.sha256]
            labels = merge(image.labels, reviews, self.run.same_object)
            yield CurrentImage(image, labels, reviews.done, reviews.tags)
