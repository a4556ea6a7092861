"""``/api/docs``: the API's description to read, made of its OpenAPI document.

Like all pages of ours it needs no script and nothing from elsewhere; programs read
``/api/openapi.json``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request, Response

from sync_pipelines.gateway.api.openapi import ERRORS
from sync_pipelines.gateway.pages import page

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What a request may say, where, and of which type."""

    name: str
    place: str
    kind: str
    is_required: bool
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked for. ``answers`` are their descriptions by status, but errors."""

    topic: str
    method: str
    path: str
    summary: str
    description: str
    parameters: Sequence[Parameter]
    answers: Mapping[str, str]


@router.get("/api/docs")
def reference(request: Request) -> Response:
    """Everything that can be asked for, by topic."""
    document = request.app.openapi()
    operations = sorted(_operations(document), key=lambda one: (one.topic, one.path))
    topics = {topic: list(of_it) for topic, of_it in groupby(operations, key=lambda one: one.topic)}
    title = f"{document['info']['title']} {document['info']['version']}"
    return page("reference.html", title=title, topics=topics, errors=ERRORS, wide=True)


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield Operation(
                topic=told.get("tags", ["other"])[0],
                method=method.upper(),
                path=path,
                summary=_told(told).partition("\n")[0],
                description=_told(told),
                parameters=[*_parameters(told), *_fields(document, told)],
                answers={
                    status: answer.get("description", "")
                    for status, answer in told["responses"].items()
                    if status not in ERRORS
                },
            )


def _told(operation: Mapping[str, Any]) -> str:
    return str(operation.get("description") or operation.get("summary", ""))


def _parameters(told: Mapping[str, Any]) -> Iterator[Parameter]:
    for one in told.get("parameters", ()):
        yield Parameter(
            name=one["name"],
            place=one["in"],
            kind=_kind(one.get("schema", {})),
            is_required=one.get("required", False),
            description=one.get("description", ""),
        )


def _fields(document: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[Parameter]:
    """The fields of the body, if it is an object."""
    content = told.get("requestBody", {}).get("content", {})
    for media in content.values():
        schema = media.get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        schema = document.get("components", {}).get("schemas", {}).get(name, schema)
        for field, one in schema.get("properties", {}).items():
            yield Parameter(
                name=field,
                place="body",
                kind=_kind(one),
                is_required=field in schema.get("required", ()),
                description=one.get("description", ""),
            )


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of a value in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_kind(one) for one in schema[several])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "anything")
