"""What a field may hold: words of the configuration, which needs no driver to be read."""

from enum import StrEnum


class Kind(StrEnum):
    """What a field holds."""

    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    TEXT = "text"
    BOOLEAN = "boolean"
    INSTANT = "instant"
    BYTES = "bytes"
    UUID = "uuid"
    OBJECT_ID = "object_id"
    JSON = "json"
