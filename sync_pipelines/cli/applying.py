"""``apply``: a tenant's file becomes the catalog's content, by a plan that is shown."""

import os
from pathlib import Path
from typing import Annotated

import typer

from connectors.contract import Json
from connectors.errors import ConfigError
from sync_pipelines.apply import act
from sync_pipelines.apply.changes import Change, Plan
from sync_pipelines.apply.describe import FieldChange
from sync_pipelines.apply.parse import Parsed, parse_manifest
from sync_pipelines.apply.rule_store import Reach
from sync_pipelines.apply.words import value_in_words
from sync_pipelines.catalog.conflicts import Conflict
from sync_pipelines.cli.doors import AsJson, actor, read_settings, session
from sync_pipelines.cli.output import print_json, print_line
from sync_pipelines.clock import system_clock


def apply(
    file: Annotated[
        str, typer.Option("--file", "-f", metavar="FILE", help="The tenant's YAML file.")
    ],
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a tenant's connections, syncs, schedules and rules as its file says."""
    parsed = _read(file)
    reach = Reach(allow_private=read_settings().may_reach_private)
    with session() as opened:
        if plan:
            made = act.preview(opened.catalog, parsed, now=system_clock(), reach=reach)
        else:
            made = act.apply(opened.catalog, parsed, now=system_clock(), actor=actor(), reach=reach)
    if as_json:
        print_json(_json(made, applied=not plan))
    else:
        _show(made, applied=not plan)


def _read(file: str) -> Parsed:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text: byte {error.start} is wrong") from error
    return parse_manifest(text, file=file, environment=os.environ)


def _show(plan: Plan, *, applied: bool) -> None:
    for change in plan.changes:
        print_line(f"{'+' if change.is_new else '~'} {change.kind} {change.name}")
        for field in change.fields:
            print_line(f"    {_sentence(field)}")
    print_line(f"= {plan.unchanged} unchanged")
    for conflict in plan.conflicts:
        print_line(f"! {conflict.severity} conflict: {conflict.sentence}")
    if plan.changes:
        done = "done" if applied else "planned; nothing was changed"
        print_line(
            f"{len(plan.changes)} {'change' if len(plan.changes) == 1 else 'changes'} {done}"
        )


def _sentence(field: FieldChange) -> str:
    if field.is_secret:
        return f"{field.field}: another secret"
    before, after = (value_in_words(field.field, each) for each in (field.before, field.after))
    return f"{field.field}: {before} → {after}"


def _json(plan: Plan, *, applied: bool) -> Json:
    return {
        "tenant": plan.tenant,
        "applied": applied,
        "unchanged": plan.unchanged,
        "changes": [_change(change) for change in plan.changes],
        "conflicts": [_conflict(conflict) for conflict in plan.conflicts],
    }


def _conflict(conflict: Conflict) -> Json:
    return {
        "kind": str(conflict.kind),
        "severity": str(conflict.severity),
        "schedules": list(conflict.schedules),
        "message": conflict.message,
        "remedy": conflict.remedy,
    }


def _change(change: Change) -> Json:
    return {
        "change": "new" if change.is_new else "changed",
        "kind": str(change.kind),
        "name": change.name,
        "fields": [
            {"field": field.field, "secret": True}
            if field.is_secret
            else {"field": field.field, "from": field.before, "to": field.after}
            for field in change.fields
        ],
    }
