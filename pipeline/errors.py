"""The error tree: what a person can be told when something is wrong.

* AutolabelError                 exit 1
  x ConfigError                  exit 2, the run file or a flag is wrong
  x WeightsError                 a weight file is missing or is not the one pinned
  x WorkspaceError
    + WorkspaceLockedError       another run holds the workspace; a later retry can help
    + WorkspaceLostError         the run lost its right to write; it writes no more
    + StoreError                 findings on disk cannot be read or written
    + UnbalancedRunError         found != labelled + quarantined: a bug, never a result
  x ImageRejectedError           one image cannot be used; carries a Reason, ends no run
  x EngineError                  a model cannot be built or answered with nonsense
    + OutOfMemoryError           the batch did not fit; a smaller one can
  x CocoError                    labels cannot be written as valid COCO
  x ReviewError                  labels cannot be published, or reviews not read or kept
    + DatabaseError              the review database cannot be found, started or reached
  x ExportError                  an export cannot be made or kept
  x EvaluationError              truth and labels cannot be compared

Messages say what is wrong, in which file, what was expected and found, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pipeline.reasons import Reason


class AutolabelError(Exception):
    """Anything this package can explain to its user without a traceback."""

    exit_code: ClassVar[int] = 1
    retry_can_help: ClassVar[bool] = False


class ConfigError(AutolabelError):
    """The run file, or a flag that overrides it, is wrong; nothing has been run."""

    exit_code: ClassVar[int] = 2


class WeightsError(AutolabelError):
    """A weight file is missing, or its bytes are not those that were pinned."""


class WorkspaceError(AutolabelError):
    """The workspace cannot be used as it is."""


class WorkspaceLockedError(WorkspaceError):
    """Another process is running on this workspace."""

    retry_can_help: ClassVar[bool] = True


class WorkspaceLostError(WorkspaceError):
    """This run no longer has the right to write to its workspace."""


class StoreError(WorkspaceError):
    """Findings on disk cannot be read or written."""


class UnbalancedRunError(WorkspaceError):
    """A run ended with files that are neither labelled nor quarantined."""


class ImageRejectedError(AutolabelError):
    """One image cannot be used; the run goes on without it.

    Args:
        reason: The code under which the file is quarantined.
        detail: What was expected and found, for the person who looks at the file.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail


class EngineError(AutolabelError):
    """A model cannot be built, or its answer cannot be used."""


class OutOfMemoryError(EngineError):
    """A batch did not fit into the device's memory."""

    retry_can_help: ClassVar[bool] = True


class CocoError(AutolabelError):
    """Labels cannot be written as valid COCO."""


class ReviewError(AutolabelError):
    """Labels cannot be published for review, or reviews cannot be read or kept."""


class DatabaseError(ReviewError):
    """The review database cannot be found, started or reached."""

    retry_can_help: ClassVar[bool] = True


class ExportError(AutolabelError):
    """An export cannot be made, or not be written."""


class EvaluationError(AutolabelError):
    """Labels cannot be measured: the truth is damaged, or has no image of the run."""
