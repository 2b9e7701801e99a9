"""Hold a COCO file against the conformance rules, whatever is in it."""

from __future__ import annotations

from pathlib import Path

from pipeline.coco.check_annotations import check_annotations
from pipeline.coco.check_sections import check_sections
from pipeline.coco.strict_json import parse
from pipeline.coco.values import is_object, shown
from pipeline.coco.violations import Report, Violation
from pipeline.errors import ConfigError

__all__ = ["Violation", "check_file"]


def check_file(path: Path, images: Path | None = None) -> list[Violation]:
    """Check a COCO file; bad content is reported, never raised.

    The whole file is read into memory. The mask library sees nothing that was not checked first.

    Args:
        path: The file.
        images: Folder that its ``file_name`` entries refer to; without it, that the images are
            there and have the sizes given (rules 4 and 5) is not looked at.

    Returns:
        Violations by rule, in the order of the file; of each rule the first ones, then how many
        more there are. Empty if the file conforms.

    Raises:
        ConfigError: The file cannot be read, or there is no such folder.
    """
    if images is not None and not images.is_dir():
        raise ConfigError(f"{images}: no such folder; name the one that file_name entries are in")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error}); name a COCO file") from error
    report = Report()
    document, problems = parse(data)
    for problem in problems:
        report.add(1, path.name, problem)
    if is_object(document):
        known = check_sections(document, images, report)
        annotations = document.get("annotations")
        check_annotations(annotations if isinstance(annotations, list) else [], known, report)
    elif document is not None or not problems:
        report.add(2, path.name, f"expected an object with five lists, got {shown(document)}")
    return report.violations()
