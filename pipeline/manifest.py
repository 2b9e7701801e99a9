"""The files of a run, grouped into distinct images."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeline.records import Quarantined, SourceFile


@dataclass(frozen=True, slots=True, eq=False)
class Manifest:
    """Every file that was found, in scan order.

    Attributes:
        images: The first file of each distinct image.
        duplicates: Image digest → further files with the same bytes.
        quarantined: Files that could not even be read.
        found: Number of files; equals those in images, duplicates and quarantined together.
    """

    images: tuple[SourceFile, ...]
    duplicates: dict[str, tuple[SourceFile, ...]]
    quarantined: tuple[Quarantined, ...]
    found: int

    def files(self, image: SourceFile) -> tuple[SourceFile, ...]:
        """Give all files with the bytes of this image, the first found first."""
        return (image, *self.duplicates.get(image.digest, ()))


def collect(
    entries: Iterable[SourceFile | Quarantined], on_file: Callable[[int], None]
) -> Manifest:
    """Group a scan by content: byte-equal files are one image, labelled once.

    Args:
        on_file: Called with 1 for every file.
    """
    first: dict[str, SourceFile] = {}
    duplicates: dict[str, tuple[SourceFile, ...]] = {}
    quarantined: list[Quarantined] = []
    found = 0
    for entry in entries:
        found += 1
        on_file(1)
        if isinstance(entry, Quarantined):
            quarantined.append(entry)
        elif entry.digest in first:
            duplicates[entry.digest] = (*duplicates.get(entry.digest, ()), entry)
        else:
            first[entry.digest] = entry
    return Manifest(tuple(first.values()), duplicates, tuple(quarantined), found)
