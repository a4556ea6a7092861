"""Keeps Arrow and pandas apart until somebody imports pandas.

Arrow would import it with the first value that it makes, 34 MB and a fifth of a second, only
to know it should it meet its types: nearly no run does.

Law: once pandas is imported, by whomever, Arrow knows it as if it had looked for it itself.
"""

import sys
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from threading import Lock, get_ident
from types import ModuleType
from typing import Any

_PANDAS = "pandas"
_LOCK = Lock()


def apart() -> None:
    """Let Arrow look for pandas now and not find it; nothing if it is there already."""
    with _LOCK:
        if _PANDAS in sys.modules or any(isinstance(one, _Gate) for one in sys.meta_path):
            return
        import pyarrow as pa

        gate = _Gate()
        sys.meta_path.insert(0, gate)
        pa.array([0])
        gate.refused = None


class _Gate(MetaPathFinder):
    """Refuses pandas to one thread, and tells Arrow when another import has brought it."""

    def __init__(self) -> None:
        self.refused: int | None = get_ident()

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The real one, watched; None for all other modules."""
        if fullname != _PANDAS:
            return None
        if self.refused == get_ident():
            raise ModuleNotFoundError("Arrow does without", name=_PANDAS)
        with suppress(ValueError):
            sys.meta_path.remove(self)
        found = find_spec(_PANDAS)
        if found is not None and found.loader is not None:
            _watch(found.loader)
        return found


def _watch(loader: Any) -> None:
    load = loader.exec_module

    def loaded(module: ModuleType) -> None:
        del loader.exec_module
        load(module)
        _introduce()

    loader.exec_module = loaded


def _introduce() -> None:
    """Arrow asks for pandas again where it cannot do without."""
    import pyarrow as pa

    with suppress(ImportError):  # a pandas that is too old for Arrow is none
        pa.nulls(0).to_pandas()
