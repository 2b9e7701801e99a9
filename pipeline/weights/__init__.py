"""Which weight files a model has, which bytes they must be, where they are, how they get there.

``models.lock`` names every model with its files, sizes and digests; ``lock`` reads it. ``locate``
finds a model's files and checks them before any of them is opened by a library; ``digests``
remembers what was checked, so that large files are hashed once. ``pull`` is the only code that
opens a socket. ``python -m pipeline.weights lock-embedded`` refreshes the pins of the models that
are embedded in this package.
"""

from pipeline.weights.locate import (
    ModelFiles,
    WeightFile,
    is_directory,
    locate,
    models_directory,
    verify,
)
from pipeline.weights.lock import Kind, LockEntry, LockFile, Place, entries, entry_named
from pipeline.weights.pull import Progress, adopt, pull

__all__ = [
    "Kind",
    "LockEntry",
    "LockFile",
    "ModelFiles",
    "Place",
    "Progress",
    "WeightFile",
    "adopt",
    "entries",
    "entry_named",
    "is_directory",
    "locate",
    "models_directory",
    "pull",
    "verify",
]
