"""Who starts an execution by a command is in the audit, as over the API."""

import json
from pathlib import Path

from tests.cli.conftest import Cli


def test_an_execution_that_a_command_starts_is_audited_with_who(cli: Cli, shop: Path) -> None:
    """R133: in this process, and in Dagster."""
    ran = json.loads(cli("run", "acme/orders", "--json").stdout)["execution"]
    triggered = json.loads(cli("trigger", "acme/orders", "--json").stdout)["execution"]

    last, ended, first, *_ = json.loads(cli("audit", "list", "--json").stdout)
    assert [first["action"], last["action"]] == ["execution.triggered"] * 2
    assert ended["action"] == "execution.ended"
    assert ended["subject"] == first["subject"]
    assert ended["after"]["status"] == "completed"
    assert first["subject"] == f"acme/orders {ran}"
    assert last["subject"] == f"acme/orders {triggered}"
    assert first["actor"].startswith("cli:")
    assert json.loads(cli("audit", "verify", "--json").stdout)["broken"] is None
