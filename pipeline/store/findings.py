"""The store of findings: which images a stage has answered for, and what it said."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, Final, Generic, TypeVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec import AbstractFileSystem

from pipeline.errors import StoreError
from pipeline.records import JsonObject, StageName
from pipeline.store.codecs import CODECS, PROMPT_CODEC, Codec, PromptVector, Row
from pipeline.store.parts import write_object

FindingT = TypeVar("FindingT")
_KEY: Final = "key"
_log = logging.getLogger(__name__)


class FindingStore:
    """A folder or bucket with one StageStore per stage and fingerprint.

    Args:
        url: A path, or an fsspec URL such as ``s3://bucket/store``.
    """

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)

    def stage(self, name: StageName, description: JsonObject) -> StageStore[Any]:
        """Open the findings of a stage as it is configured now.

        Args:
            description: Everything that can change an answer; its hash is the fingerprint.
        """
        return StageStore(self._fs, f"{self._root}/{name.value}", description, CODECS[name])

    def description(self, name: StageName, fingerprint: str) -> JsonObject | None:
        """Give what a fingerprint of a stage stands for; None if the store has lost it."""
        try:
            path = f"{self._root}/{name.value}/{fingerprint}/stage.json"
            found: JsonObject = json.loads(self._fs.cat_file(path))
        except (OSError, ValueError):
            return None
        return found

    def prompts(self, description: JsonObject) -> StageStore[PromptVector]:
        """Open the text vectors of an embedder."""
        return StageStore(self._fs, f"{self._root}/prompts", description, PROMPT_CODEC)

    def descriptions(self, name: StageName) -> list[JsonObject]:
        """Give what other fingerprints of a stage stand for, newest last."""
        paths = self._fs.glob(f"{self._root}/{name.value}/*/stage.json")
        found = [(self._fs.modified(path), json.loads(self._fs.cat_file(path))) for path in paths]
        return [description for _, description in sorted(found, key=lambda pair: pair[0])]


def fingerprint(description: JsonObject) -> str:
    """Hash a description: 32 hexadecimal digits of the sha256 of its canonical JSON."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class StageStore(Generic[FindingT]):
    """Findings of one stage under one fingerprint; keys are sha256 digests in hexadecimal.

    The index of keys is read once, when first asked for, and kept up to date by ``append``.
    """

    def __init__(
        self,
        fs: AbstractFileSystem,
        folder: str,
        description: JsonObject,
        codec: Codec[FindingT],
    ) -> None:
        self.fingerprint: Final = fingerprint(description)
        self._fs = fs
        self._folder = f"{folder}/{self.fingerprint}"
        self._description = description
        self._codec = codec
        self._schema = codec.schema.insert(0, pa.field(_KEY, pa.string(), nullable=False))
        self._index: dict[bytes, int] | None = None
        self._parts: list[str] = []
        self._cache: OrderedDict[int, dict[str, Row]] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._known()

    def __len__(self) -> int:
        return len(self._known())

    def append(self, findings: Sequence[tuple[str, FindingT]]) -> None:
        """Store findings as one new part, durably, before this returns.

        Raises:
            StoreError: The part could not be written (disk full, no permission).
        """
        if not findings:
            return
        rows = [{_KEY: key, **self._codec.to_row(finding)} for key, finding in findings]
        data = self._to_parquet(rows)
        path = f"{self._folder}/part-{hashlib.sha256(data).hexdigest()[:24]}.parquet"
        known = self._known()
        try:
            self._describe()
            write_object(self._fs, path, data)
        except OSError as error:
            raise StoreError(f"{path}: cannot store findings: {error}") from error
        self._parts.append(path)
        for key, _ in findings:
            known.setdefault(bytes.fromhex(key), len(self._parts) - 1)

    def read(self, keys: Iterable[str]) -> dict[str, FindingT]:
        """Give the findings that are there for these keys; the others are left out."""
        found: dict[str, FindingT] = {}
        for part, wanted in self._by_part(keys).items():
            rows = self._rows(part)
            found.update({key: self._codec.from_row(rows[key]) for key in wanted if key in rows})
        return found

    def _by_part(self, keys: Iterable[str]) -> Mapping[int, list[str]]:
        groups: dict[int, list[str]] = {}
        for key in keys:
            part = self._known().get(bytes.fromhex(key))
            if part is not None:
                groups.setdefault(part, []).append(key)
        return groups

    def _known(self) -> dict[bytes, int]:
        if self._index is None:
            self._index = {}
            for path, keys in self._whole_parts():
                self._parts.append(path)
                for key in keys:
                    self._index.setdefault(bytes.fromhex(key), len(self._parts) - 1)
        return self._index

    def _whole_parts(self) -> Iterator[tuple[str, list[str]]]:
        for path in sorted(self._fs.glob(f"{self._folder}/part-*.parquet")):
            try:
                keys = self._read_table(path, columns=[_KEY])[_KEY].to_pylist()
            except (OSError, pa.ArrowException) as error:
                _log.warning("%s: ignored, not a whole part (%s); delete it", path, error)
                continue
            yield path, keys

    def _rows(self, part: int) -> dict[str, Row]:
        # Images are asked for in scan order, which is nearly the order they were stored in: two
        # parts in memory suffice, and a run's memory does not grow with the store.
        if part not in self._cache:
            table = self._read_table(self._parts[part])
            self._cache[part] = {row[_KEY]: row for row in table.to_pylist()}
            while len(self._cache) > 2:  # noqa: PLR2004
                self._cache.popitem(last=False)
        return self._cache[part]

    def _read_table(self, path: str, columns: list[str] | None = None) -> pa.Table:
        data = BytesIO(self._fs.cat_file(path))
        return pq.read_table(data, columns=columns, schema=None if columns else self._schema)

    def _to_parquet(self, rows: list[Row]) -> bytes:
        buffer = BytesIO()
        table = pa.Table.from_pylist(rows, schema=self._schema)
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()

    def _describe(self) -> None:
        path = f"{self._folder}/stage.json"
        self._fs.makedirs(self._folder, exist_ok=True)
        if not self._fs.exists(path):
            text = json.dumps(self._description, indent=2, sort_keys=True) + "\n"
            write_object(self._fs, path, text.encode())
