"""Folders to source files: everything found gets exactly one end.

Order: the roots as given, and below each the bytes of the relative posix path, so that two
machines list the same files in the same order whatever their locale. Names in a folder are sorted
with a slash behind those of folders; walking depth first then gives exactly that order while only
the folders on the way are in memory.

A folder that cannot be listed is an entry in its own right, as nobody knows what it holds.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import ConfigError, ImageRejectedError
from pipeline.reasons import Reason
from pipeline.records import Quarantined, SourceFile
from pipeline.roots import is_below, open_below, rejection_of, with_retries

if TYPE_CHECKING:
    from pipeline.config import InputConfig

_BLOCK_BYTES: Final = 1 << 20


def scan(roots: Sequence[Path], settings: InputConfig) -> Iterator[SourceFile | Quarantined]:
    """Walk image folders and hash every file, lazily.

    Args:
        roots: Image folders; ``SourceFile.root`` counts them.
        settings: Size limit and treatment of links.

    Returns:
        One value per file, link or other entry that is not a folder, in the order told above.

    Raises:
        ConfigError: A root is no folder that can be listed, or lies in another one. Raised at the
            call, before anything is walked.
    """
    real = [_checked_root(root) for root in roots]
    for i, root in enumerate(real):
        for j, other in enumerate(real):
            if i != j and is_below(root, other):
                raise ConfigError(
                    f"images: {str(roots[j])!r} lies in, or is, {str(roots[i])!r}; its files would "
                    "be found twice. Name one of the two."
                )
    return _scan_all(real, settings)


def _checked_root(root: Path) -> bytes:
    """Resolve a root.

    Raises:
        ConfigError: It cannot be listed.
    """
    try:
        real = os.path.realpath(os.fsencode(root), strict=True)
        os.scandir(real).close()
    except OSError as error:
        raise ConfigError(
            f"images: expected a folder at {str(root)!r}: {error.strerror}. Correct `images` in "
            "the run file, or give --images."
        ) from error
    return real


def _scan_all(roots: Sequence[bytes], settings: InputConfig) -> Iterator[SourceFile | Quarantined]:
    for index, root in enumerate(roots):
        yield from _Walk(index, root, settings).entries()


@dataclass(slots=True)
class _Walk:
    """The walk through one root.

    Attributes:
        index: Number of the root.
        root: Its real path.
        settings: Size limit and treatment of links.
        entered: Device and inode of folders that were entered through a link; each is entered at
            most once, so that links between folders cannot multiply what is found.
    """

    index: int
    root: bytes
    settings: InputConfig
    entered: set[tuple[int, int]] = field(default_factory=set)

    def entries(self) -> Iterator[SourceFile | Quarantined]:
        """Walk depth first with a stack of its own; folders may nest deeper than Python calls.

        Yields:
            One value per entry that is no folder, or a folder that cannot be listed.
        """
        stack: list[Iterator[bytes]] = [iter([b""])]
        while stack:
            path = next(stack[-1], None)
            if path is None:
                stack.pop()
                continue
            try:
                if path.endswith(b"/") or not path:
                    stack.append(self._listed(path))
                else:
                    yield self._file(path)
            except ImageRejectedError as error:
                yield self._quarantined(path, error)
            except OSError as error:
                yield self._quarantined(path, rejection_of(error))

    def _listed(self, folder: bytes) -> Iterator[bytes]:
        """List a folder, given with its slash, in order.

        Raises:
            ImageRejectedError: It is a link that is not entered.
            OSError: It cannot be listed.
        """
        follow = self.settings.follow_links
        if follow and os.path.islink(self._full(folder[:-1])):  # noqa: PTH114  bytes
            self._enter(folder[:-1])

        def names() -> list[bytes]:
            """List a folder; names of folders end with a slash."""
            with os.scandir(self._full(folder)) as entries:
                return [
                    folder + entry.name + (b"/" if _is_folder(entry, follow) else b"")
                    for entry in entries
                ]

        return iter(sorted(with_retries(names)))

    def _file(self, path: bytes) -> SourceFile:
        """Look at an entry that is not a folder, and hash it if it is a file.

        Raises:
            ImageRejectedError: It is not taken.
            OSError: It cannot be looked at or read.
        """
        status = with_retries(lambda: os.lstat(self._full(path)))
        if stat.S_ISLNK(status.st_mode):
            status = self._target_status(path)
        if not stat.S_ISREG(status.st_mode):
            raise ImageRejectedError(Reason.NOT_A_FILE, _kind_of_entry(status.st_mode))
        return self._source(path, status.st_size)

    def _target_status(self, link: bytes) -> os.stat_result:
        """Look at what a link leads to.

        Raises:
            ImageRejectedError: Links are not followed, or this one leads nowhere or outside.
        """
        if not self.settings.follow_links:
            raise ImageRejectedError(
                Reason.LINK_NOT_FOLLOWED, "a symbolic link; input.follow_links is off"
            )
        try:
            real = os.path.realpath(self._full(link), strict=True)
        except OSError as error:
            raise ImageRejectedError(
                Reason.LINK_NOT_FOLLOWED, f"the link leads nowhere: {error.strerror}"
            ) from error
        if not is_below(self.root, real):
            raise ImageRejectedError(
                Reason.OUTSIDE_ROOT, f"it leads to {_shown(real)!r}, outside the image folder"
            )
        return os.lstat(real)

    def _enter(self, link: bytes) -> None:
        """Make sure that a link to a folder may be entered, once.

        Raises:
            ImageRejectedError: The link is in that folder, or another link has led there.
        """
        status = self._target_status(link)
        real, parent = (
            os.path.realpath(self._full(path)) for path in (link, link.rpartition(b"/")[0])
        )
        if is_below(real, parent):
            raise ImageRejectedError(Reason.LINK_NOT_FOLLOWED, "it leads to a folder it is in")
        identity = (status.st_dev, status.st_ino)
        if identity in self.entered:
            raise ImageRejectedError(
                Reason.LINK_NOT_FOLLOWED, "another link has led to the same folder"
            )
        self.entered.add(identity)

    def _source(self, path: bytes, n_bytes: int) -> SourceFile:
        """Hash a regular file.

        Raises:
            ImageRejectedError: Its name, size or emptiness excludes it.
            OSError: It cannot be read.
        """
        try:
            name = path.decode()
        except UnicodeDecodeError as error:
            raise ImageRejectedError(
                Reason.NAME_NOT_UTF8, f"byte {error.start} of the path is not UTF-8; rename it"
            ) from error
        limit = self.settings.max_file_bytes
        if n_bytes <= limit:
            digest, n_bytes = with_retries(lambda: self._hashed(path))
        if n_bytes > limit:
            raise ImageRejectedError(
                Reason.FILE_TOO_LARGE, f"{n_bytes} bytes; input.max_file_bytes is {limit}"
            )
        if n_bytes == 0:
            raise ImageRejectedError(Reason.EMPTY, "the file has no bytes")
        return SourceFile(root=self.index, path=name, digest=digest, n_bytes=n_bytes)

    def _hashed(self, path: bytes) -> tuple[str, int]:
        """Hash a file; one that grows beyond the limit meanwhile is left at that."""
        digest, n_bytes = hashlib.sha256(), 0
        file = open_below(self.root, path, follow_links=self.settings.follow_links)
        with open(file, "rb", buffering=0) as stream:  # noqa: PTH123  a descriptor
            while n_bytes <= self.settings.max_file_bytes and (block := stream.read(_BLOCK_BYTES)):
                digest.update(block)
                n_bytes += len(block)
        return digest.hexdigest(), n_bytes

    def _full(self, path: bytes) -> bytes:
        return os.path.join(self.root, path) if path else self.root  # noqa: PTH118  bytes

    def _quarantined(self, path: bytes, error: ImageRejectedError) -> Quarantined:
        return Quarantined(
            root=self.index,
            path=_shown(path.removesuffix(b"/")) or ".",
            reason=error.reason,
            detail=error.detail,
            digest=hashlib.sha256().hexdigest() if error.reason is Reason.EMPTY else None,
        )


def _is_folder(entry: os.DirEntry[bytes], follow_links: bool) -> bool:
    if not entry.is_symlink():
        return entry.is_dir(follow_symlinks=False)
    try:
        return follow_links and entry.is_dir()
    except OSError:  # it leads to itself; the link is reported when its turn comes
        return False


def _shown(path: bytes) -> str:
    return path.decode(errors="backslashreplace")


def _kind_of_entry(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
    }
    return kinds.get(stat.S_IFMT(mode), "no regular file")
