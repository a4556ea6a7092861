"""``connectors``: which systems there are, and how a connection to one is configured."""

from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

from connectors import registry
from connectors.contract import Json
from sync_pipelines.apply.secret_fields import is_secret
from sync_pipelines.cli.doors import AsJson
from sync_pipelines.cli.output import Record, print_json, print_line, print_table

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The systems that can be connected."
)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every connector, and what it can be."""
    known = [registry.get(name) for name in registry.names()]
    if as_json:
        print_json(
            [{"name": one.name, "title": one.title, "roles": list(one.roles)} for one in known]
        )
        return
    rows = [(one.name, one.title, ", ".join(one.roles)) for one in known]
    print_table(("name", "title", "roles"), rows, empty="there are no connectors")


@app.command()
def show(name: Annotated[str, typer.Argument(metavar="NAME")], as_json: AsJson = False) -> None:
    """What a connection's `config` takes: fields, types, defaults, and which are secret."""
    connector = registry.get(name)
    fields = [_field(key, info) for key, info in connector.config.model_fields.items()]
    about = _about(connector.config)
    if as_json:
        print_json(
            {
                "name": connector.name,
                "title": connector.title,
                "roles": list(connector.roles),
                "description": about,
                "config": fields,
            }
        )
        return
    print_line(f"{connector.name}: {connector.title} ({', '.join(connector.roles)})")
    if about:
        print_line(f"\n{about}\n")
    rows = [
        (
            str(field["name"]),
            str(field["type"]) + (" (secret)" if field["secret"] else ""),
            "required" if field["required"] else _shown(field["default"]),
            str(field["description"]),
        )
        for field in fields
    ]
    print_table(("field", "type", "default", "description"), rows, empty="it takes no config")


def _about(config: type[BaseModel]) -> str:
    written = vars(config).get("__doc__") or ""
    lines = [line.strip() for line in written.strip().splitlines()]
    return "\n".join(lines).replace("``", "")


def _field(name: str, info: FieldInfo) -> Record:
    required = info.is_required()
    default = None if required else info.get_default(call_default_factory=True, validated_data={})
    return {
        "name": name,
        "type": _type_name(info.annotation),
        "required": required,
        "default": _plain(default),
        "description": info.description or "",
        "secret": is_secret(info.annotation),
    }


def _shown(default: Json) -> str:
    return "none" if default is None else str(default)


def _plain(default: object) -> Json:
    """A default as JSON has it; one that is secret is not shown."""
    if default is None or isinstance(default, bool | int | float | str):
        return default
    if isinstance(default, SecretStr | SecretBytes):
        return "(set)"
    return str(default)


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) in (Union, UnionType):
        inner = [one for one in get_args(annotation) if one is not NoneType]
        return " or ".join(_type_name(one) for one in inner)
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, str | SecretStr | SecretBytes):
            return "text"
        return _NAMES.get(annotation, annotation.__name__)
    return str(annotation).replace("typing.", "")


_NAMES = {int: "whole number", float: "number", bool: "true or false", dict: "mapping"}
