"""Both sides of the contract on plain Python data, for tests of everything above them."""

from connectors.testing.faults import Pause, Point, Script, failing
from connectors.testing.memory_destination import MemoryDestination, MemoryStore, MemoryTable
from connectors.testing.memory_source import MemorySource, MemoryStream

__all__ = [
    "MemoryDestination",
    "MemorySource",
    "MemoryStore",
    "MemoryStream",
    "MemoryTable",
    "Pause",
    "Point",
    "Script",
    "failing",
]
