"""``secrets``: keys under which connections' secrets are encrypted."""

import typer

from sync_pipelines.catalog import audit, endpoints, notifications
from sync_pipelines.catalog.secrets import (
    SecretBox,
    add_key,
    drop_old_keys,
    key_id,
    load_keys,
    new_key,
)
from sync_pipelines.catalog.syncs import rotate_secrets_for_all_tenants
from sync_pipelines.cli.doors import AsJson, actor, session
from sync_pipelines.cli.output import print_json, print_line
from sync_pipelines.clock import system_clock
from sync_pipelines.runtime.session import Session

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Keys that encrypt what is secret."
)


@app.command("new-key")
def new_key_(as_json: AsJson = False) -> None:
    """Print a fresh key for SYNC_SECRET_KEY; nothing is changed."""
    key = new_key()
    if as_json:
        print_json({"key": key})
    else:
        print_line(key)


@app.command()
def rotate(as_json: AsJson = False) -> None:
    """Encrypt every connection's secrets under a new key.

    With a key file the key is made, and the old ones are dropped. With
    SYNC_SECRET_KEY, put the new key in front first: NEW,OLD.
    """
    with session() as opened:
        configured = opened.settings.secret_key
        if configured is None:
            keys = add_key(opened.settings.home_path)
            count = _reencrypt(opened, keys)
            drop_old_keys(opened.settings.home_path)
            advice = "the old keys are gone; restart a running `sync-pipelines up`"
        else:
            keys = load_keys(opened.settings.home_path, configured.get_secret_value())
            count = _reencrypt(opened, keys)
            advice = _to_remove(keys)
    if as_json:
        print_json({"connections": count, "key": key_id(keys[0]), "next": advice})
    else:
        print_line(f"{count} connections are now encrypted under key {key_id(keys[0])}")
        print_line(advice)


def _reencrypt(opened: Session, keys: tuple[str, ...]) -> int:
    """All of them in one transaction, with one audit row."""
    box = SecretBox(keys)
    with opened.catalog.begin() as db:
        count = rotate_secrets_for_all_tenants(db, box)
        rules = notifications.rotate_secrets_for_all_tenants(db, box)
        hooks = endpoints.rotate_secrets_for_all_tenants(db, box)
        audit.record(
            db,
            at=system_clock(),
            actor=actor(),
            action="secrets.rotated",
            subject="secrets",
            tenant_id=None,
            after={"connections": count, "webhooks": hooks, "rules": rules, "key_id": box.key_id},
        )
    return count


def _to_remove(keys: tuple[str, ...]) -> str:
    old = [key_id(key) for key in keys[1:]]
    if not old:
        return (
            "SYNC_SECRET_KEY holds one key only; to change it, put a new one in front "
            "(`sync-pipelines secrets new-key` prints one) as NEW,OLD, and rotate again"
        )
    return (
        f"remove all keys but the first from SYNC_SECRET_KEY (old: {', '.join(old)}), "
        "and restart what runs with it"
    )
