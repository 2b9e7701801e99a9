"""Findings on disk: what a model said about an image is computed once and kept.

    <store>/<stage>/<fingerprint>/stage.json        what the fingerprint stands for
    <store>/<stage>/<fingerprint>/part-*.parquet    one row per image, keyed by sha256 of its bytes

Parts are immutable: written under a temporary name, synced, renamed; never rewritten. A reader
ignores a part that is not whole. Paths go through fsspec, so a bucket works like a folder.
"""

from pipeline.store.findings import FindingStore, StageStore
from pipeline.store.parts import durable_write

__all__ = ["FindingStore", "StageStore", "durable_write"]
