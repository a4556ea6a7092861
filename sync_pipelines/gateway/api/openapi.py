"""The OpenAPI document: names of operations, and how every error looks."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from sync_pipelines.gateway.problems import MEDIA_TYPE

METHODS = ("get", "post", "put", "patch", "delete")

ERRORS = {
    "400": "It does not say which tenant is meant, or is no JSON.",
    "401": "Nobody is known by these credentials.",
    "403": "The role, or the token's scopes, do not allow it.",
    "404": "It is not there, or not yours.",
    "409": "It cannot stand beside what there is.",
    "412": "Somebody has changed it since it was seen.",
    "413": "The body is too long.",
    "422": "A field is wrong; `errors` names it.",
    "429": "A limit is reached; `Retry-After` says when it makes sense to ask again.",
    "503": "The catalog does not answer; try again.",
}


class Mistake(BaseModel):
    """One thing that is wrong; `field` is its path, empty for the whole."""

    field: str = Field(examples=["body.cadence.at"])
    message: str


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    type: str = Field(examples=["about:blank"])
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str
    errors: list[Mistake]
    request_id: str | None = Field(description="The log has it too.")


def operation_id(route: APIRoute) -> str:
    """What programs made from the document call a route, such as ``syncs_list``."""
    tag = str(route.tags[0]) if route.tags else "gateway"
    return f"{tag}_{route.name}".replace("-", "_").rstrip("_")


def describe(app: FastAPI) -> None:
    """Let the application describe itself with its errors."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description="Every error is `application/problem+json`.",
                routes=app.routes,
            )
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            for model in (Problem, Mistake):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schema.pop("$defs", None)
                schemas[model.__name__] = schema
            for operation in _operations(made):
                _add_errors(operation)
            for unused in ("HTTPValidationError", "ValidationError"):
                schemas.pop(unused, None)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's own way to extend it


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from (path[method] for method in METHODS if method in path)


def _add_errors(operation: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/Problem"}
    for status, description in ERRORS.items():
        operation["responses"][status] = {
            "description": description,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
