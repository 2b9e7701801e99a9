"""Image files as they go out, upright.

The source's own bytes, where every reader sees in them what the models saw; else the decoder's
pixels as PNG.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from PIL import Image

from pipeline.config import InputConfig
from pipeline.decoding import DecoderPool
from pipeline.errors import ExportError, ImageRejectedError
from pipeline.export.example import Example, Picture
from pipeline.records import RgbImage
from pipeline.roots import open_below, rejection_of, with_retries

_COMPRESSION: Final = 6


class Pictures:
    """Reads source files; a context manager that ends its decoders.

    Args:
        roots: Folders that ``Picture.source.root`` counts.
        settings: Those of the run, so that pixels are the same.
    """

    def __init__(self, roots: Sequence[Path], settings: InputConfig) -> None:
        self._roots = [Path(os.path.realpath(root)) for root in roots]
        self._settings = settings
        self._decoder: DecoderPool | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._decoder is not None:
            self._decoder.close()

    def path(self, picture: Picture) -> Path:
        """Where the source file lies."""
        return self._roots[picture.source.root] / picture.source.path

    def data(self, example: Example) -> bytes:
        """Bytes of the file that goes out.

        Raises:
            ExportError: The source has changed since the run, is gone, or cannot be read.
        """
        if example.picture.plain:
            return self._source(example.picture)
        return png(self.pixels(example.picture))

    def pixels(self, picture: Picture) -> RgbImage:
        """Upright pixels, as the models saw them.

        Raises:
            ExportError: As for ``data``.
        """
        if self._decoder is None:
            self._decoder = DecoderPool(self._roots, self._settings)
        try:
            return self._decoder.decode(picture.source).pixels
        except ImageRejectedError as error:
            raise self._unusable(picture, str(error)) from None

    def _source(self, picture: Picture) -> bytes:
        source = picture.source
        root = os.fsencode(self._roots[source.root])
        try:
            data = with_retries(lambda: self._read(root, os.fsencode(source.path)))
        except ImageRejectedError as error:
            raise self._unusable(picture, str(error)) from None
        except OSError as error:
            raise self._unusable(picture, str(rejection_of(error))) from None
        if hashlib.sha256(data).hexdigest() != source.digest:
            raise self._unusable(picture, "its bytes are not those that were labelled")
        return data

    def _read(self, root: bytes, path: bytes) -> bytes:
        handle = open_below(root, path, follow_links=self._settings.follow_links)
        with os.fdopen(handle, "rb") as file:
            return file.read()

    def _unusable(self, picture: Picture, why: str) -> ExportError:
        return ExportError(
            f"{self.path(picture)}: cannot be exported: {why}. Label the images again "
            "(autolabel run CONFIG), then export"
        )


def png(pixels: RgbImage) -> bytes:
    """Encode pixels without loss; the same pixels give the same bytes."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=_COMPRESSION)
    return stream.getvalue()
