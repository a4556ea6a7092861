"""``schedules explain``: why a sync did or did not run at a time."""

from typing import Annotated

import typer

from connectors.contract import Json
from sync_pipelines.catalog.decisions import Decided
from sync_pipelines.catalog.history import HistoryEntry
from sync_pipelines.catalog.scheduled import find_scheduled, scheduled_of_sync, seen_sync
from sync_pipelines.cli.doors import AsJson, session
from sync_pipelines.cli.history import decision_json, execution_json, why
from sync_pipelines.cli.output import json_time, print_json, print_line
from sync_pipelines.cli.times import At, instant
from sync_pipelines.clock import system_clock
from sync_pipelines.engine import explain as explaining
from sync_pipelines.engine.answers import Judged, moment
from sync_pipelines.engine.explain import Explanation
from sync_pipelines.notify.remedies import remedy_of


def _key(value: str) -> str:
    if value.count("/") not in (1, 2) or not all(value.split("/")):
        raise typer.BadParameter(
            f"{value!r} should be TENANT/SYNC or TENANT/SYNC/SCHEDULE, for example demo/flights"
        )
    return value


def explain(
    key: Annotated[
        str,
        typer.Argument(metavar="TENANT/SYNC[/SCHEDULE]", callback=_key, show_default=False),
    ],
    at: At,
    as_json: AsJson = False,
) -> None:
    """Why a sync did or did not run at a time, or will or will not."""
    now = system_clock()
    with session() as opened, opened.catalog.begin() as db:
        if key.count("/") == 2:
            one = find_scheduled(db, key)
            sync, found = one.sync, [one]
        else:
            sync = seen_sync(db, key)
            found = scheduled_of_sync(db, sync)
        asked = [(one, instant(at, one.schedule.timezone)) for one in found]
        explanations = [explaining.explain(db, one, at=when, now=now) for one, when in asked]
        minutes = dict.fromkeys(when for _, when in asked) or [instant(at, "UTC")]
        others = {
            entry.execution.id: entry
            for when in minutes
            for entry in explaining.besides(db, sync, at=when)
        }
    if as_json:
        print_json(
            {
                "sync": sync.key,
                "schedules": [_json(one) for one in explanations],
                "besides": [execution_json(entry) for entry in others.values()],
            }
        )
        return
    if not explanations:
        print_line(f"{sync.key} has no schedule: it runs only when somebody triggers it.")
    for explanation in explanations:
        _show(explanation)
    for entry in others.values():
        print_line(_beside(entry))


def _show(explanation: Explanation) -> None:
    print_line(f"{explanation.key}: {explanation.answer}")
    if explanation.note is not None:
        print_line(f"  clocks  {explanation.note}")
    helps = None if explanation.execution is None else remedy_of(explanation.execution)
    if helps is not None:
        print_line(f"  helps   {helps}")
    for name, judged in (("before", explanation.before), ("after", explanation.after)):
        if judged is not None:
            print_line(f"  {name:<6}  {moment(judged.due_at, explanation.zone)}: {judged.said}")


def _beside(entry: HistoryEntry) -> str:
    execution = entry.execution
    start = (execution.started_at or execution.created_at).replace(microsecond=0)
    ended = execution.completed_at
    until = f" to {moment(ended.replace(microsecond=0), 'UTC')}" if ended else ""
    said = f": {why(entry)}" if why(entry) else ""
    return (
        f"  besides {execution.trigger} execution, {execution.status},"
        f" {moment(start, 'UTC')}{until}{said}"
    )


def _json(explanation: Explanation) -> Json:
    return {
        "schedule": explanation.key,
        "timezone": explanation.zone,
        "asked_at": json_time(explanation.asked_at),
        "due_at": json_time(explanation.due_at),
        "verdict": str(explanation.verdict),
        "answer": explanation.answer,
        "is_forecast": explanation.is_forecast,
        "note": explanation.note,
        "decision": _decision(explanation.decided),
        "execution": _execution(explanation.execution),
        "before": _near(explanation.before),
        "after": _near(explanation.after),
    }


def _near(judged: Judged | None) -> Json:
    if judged is None:
        return None
    return {
        "due_at": json_time(judged.due_at),
        "verdict": str(judged.verdict),
        "said": judged.said,
        "is_forecast": judged.is_forecast,
        "decision": _decision(judged.decided),
        "execution": _execution(judged.execution),
    }


def _decision(decided: Decided | None) -> Json:
    return None if decided is None else decision_json(decided)


def _execution(entry: HistoryEntry | None) -> Json:
    return None if entry is None else execution_json(entry)
