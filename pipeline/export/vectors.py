"""Image vectors that a run left in the store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.labels.runs import FinishedRun
from pipeline.records import StageName
from pipeline.store import FindingStore


def image_vectors(run: FinishedRun, keys: Sequence[str]) -> dict[str, NDArray[np.float32]] | None:
    """Give the vectors of images, of length 1; None if the run has none for some of them."""
    embeds = [e for e in run.provenance.values() if e["stage"] == StageName.EMBED.value]
    if len(embeds) != 1:
        return None
    store = FindingStore(run.store_url)
    description = store.description(StageName.EMBED, embeds[0]["fingerprint"])
    if description is None:
        return None
    found = store.stage(StageName.EMBED, description).read(keys)
    if len(found) < len(set(keys)):
        return None
    return {key: _unit(np.asarray(vector, np.float32)) for key, vector in found.items()}


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length else vector
