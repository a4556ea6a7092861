"""Arrow, imported when something of it is first used.

Its library takes 45 MB, and raw bytes that are handed from one server to the next never
need it. A module that takes ``pa`` from here may be imported by anyone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from connectors.apart import apart

__all__ = ["late", "pa", "pc"]


class _Late:
    """Stands for a module; each name is looked up in it once."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        module = import_module(self._module)
        if self._module.startswith("pyarrow"):
            apart()
        found = getattr(module, name)
        setattr(self, name, found)
        return found


def late(module: str) -> Any:
    """The module of that name, imported when something of it is first used."""
    return _Late(module)


if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
else:
    pa = late("pyarrow")
    pc = late("pyarrow.compute")
