"""Imports of model libraries without the parts that are never used: half the start-up of a run.

* open_clip imports transformers and timm, for towers that are theirs, if it finds them.
* torchvision imports torch's compiler, to ask it one question that ``roi_align`` never gets to.

They are imported when something does ask for them.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

_OPTIONAL: Final = ("transformers", "timm")
"""What open_clip does without where it is not installed."""

_WANTED_BY: Final = {"open_clip.hf_model": "transformers", "open_clip.timm_model": "timm"}

_COMPILER: Final = "torch._dynamo"
_QUESTION: Final = "is_compile_supported"

_lock = threading.RLock()


@contextmanager
def lean() -> Iterator[None]:
    """Import inside without what is not needed; nothing is hidden from what comes afterwards.

    Other threads that import the same libraries must do it in here too: they wait.

    Yields:
        Nothing.
    """
    with _lock:
        hidden: dict[str, Any] = dict.fromkeys(_OPTIONAL)  # None is Python's "not installed"
        hidden |= {name: _Later(name) for name in (_COMPILER, f"{_COMPILER}.utils")}
        hidden = {name: stand_in for name, stand_in in hidden.items() if name not in sys.modules}
        sys.modules.update(hidden)
        try:
            yield
        finally:
            for name, stand_in in hidden.items():
                if name in sys.modules and sys.modules[name] is stand_in:
                    del sys.modules[name]


def complete_open_clip() -> None:
    """Give open_clip the libraries it was imported without, for models with their towers."""
    with _lock:
        for name, library in _WANTED_BY.items():
            module = sys.modules.get(name)
            if module is not None and getattr(module, library, None) is None:
                # Its functions and classes live on in the same module and see what is new in it.
                importlib.reload(module)


class _Later(ModuleType):
    """Stands for a module of the compiler until more is wanted of it than the one question."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  whatever the module has
        if name == "__path__":
            return []
        if name == _QUESTION:
            return _asking(self.__name__)
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(self.__name__), name)


def _asking(name: str) -> Callable[..., bool]:
    def ask(*args: object) -> bool:
        """Load the real module and ask its function."""
        return bool(getattr(_real(name), _QUESTION)(*args))

    return ask


def _real(name: str) -> ModuleType:
    for hidden in [key for key, module in sys.modules.items() if isinstance(module, _Later)]:
        del sys.modules[hidden]
    return importlib.import_module(name)
