"""What all tests share: compiled modules."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile

if sys.dont_write_bytecode:
    # As in many containers. Tests start hundreds of processes that load the same thousands of
    # modules, and compiling them takes as long as all the rest of a start. So they are compiled
    # once, out of the way, and are gone afterwards.
    sys.pycache_prefix = tempfile.mkdtemp(prefix="autolabel-pycache-")
    atexit.register(shutil.rmtree, sys.pycache_prefix, ignore_errors=True)
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
