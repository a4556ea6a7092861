"""What the documents say is so: commands, settings, targets, links, manifests, code."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.main import get_command

from connectors import registry
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.cli.app import app
from sync_pipelines.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
ENVIRONMENT = {
    "SHOP_URL": "postgresql://u@h/shop",
    "WAREHOUSE_URL": "postgresql://u@h/warehouse",
}


def blocks(language):
    """Every fenced block of a language, with the document it stands in."""
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(match[1], id=f"{path.name}:{path.read_text()[: match.start()].count(chr(10))}")
        for path in DOCUMENTS
        for match in fence.finditer(path.read_text())
    ]


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_manifest_shown_is_accepted(text):
    parsed = parse_manifest(text, file="document", environment=ENVIRONMENT)

    assert list(parsed.problems) == []


def commands():
    """Every `sync-pipelines …` that a document shows, in a console block or in the text."""
    found = set()
    for path in DOCUMENTS:
        for match in re.finditer(r"sync-pipelines ((?:[a-z]|--)[^`\n]*)", path.read_text()):
            found.add(match[1].split("  ")[0].strip(" .,;:)"))
    return sorted(found)


@pytest.mark.parametrize("line", commands())
def test_every_command_shown_exists_with_its_options(line):
    command, words = get_command(app), shlex.split(line)
    context = typer.Context(command)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command = command.commands[words.pop(0)]
        context = typer.Context(command, parent=context)
    assert not hasattr(command, "commands") or not words, f"no such command: {line}"
    options = {name for parameter in command.params for name in parameter.opts}

    unknown = [word for word in words if word.startswith("--") and word not in options]

    assert unknown == []


def test_every_setting_is_in_the_readme_with_its_default():
    text = (ROOT / "README.md").read_text()

    documented = set(re.findall(r"^\| `SYNC_([A-Z_]+)` \|", text, re.MULTILINE))

    assert documented == {name.upper() for name in Settings.model_fields}


def test_every_make_target_of_the_readme_exists():
    shown = re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert shown
    assert set(shown) <= targets


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text())

    missing = [
        link for link in links if not link.startswith("http") and not (path.parent / link).exists()
    ]

    assert missing == []


def guide():
    """The connector guide's two blocks of code, as one module."""
    text = (ROOT / "docs" / "how-to" / "write-a-connector.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


namespace = {"__name__": "guide"}
for block in guide():
    exec(compile(block, "write-a-connector.md", "exec"), namespace)
TestTheConnectorOfTheGuide = namespace["TestLines"]


def test_a_third_party_s_connector_is_known_by_its_entry_point(tmp_path):
    """R149: installed as the guide says, without a line of ours."""
    text = (ROOT / "docs" / "how-to" / "write-a-connector.md").read_text()
    [table] = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    package, installed = tmp_path / "my_package", tmp_path / "my_package-1.0.dist-info"
    for directory in (package, installed):
        directory.mkdir()
    (package / "lines.py").write_text(guide()[0])
    group, entry = table.strip().splitlines()
    group = group.removeprefix("[project.entry-points.").rstrip("]").strip('"')
    (installed / "METADATA").write_text("Name: my-package\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    (tmp_path / "some.jsonl").write_text('{"id": 1}\n')
    program = (
        "from connectors import registry\n"
        f"source = registry.get('lines').open_source({{'path': '{tmp_path}/some.jsonl'}})\n"
        "print('lines' in registry.names(), [one.name for one in source.discover()])\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )

    assert done.stdout.startswith("True ["), done.stderr


def test_the_connector_of_the_guide_is_one():
    connector = namespace["CONNECTOR"]

    _, _, code = guide()[0].partition("\n\n\n")
    assert len([line for line in code.splitlines() if line.strip()]) <= 45
    assert isinstance(connector, registry.Connector)
    assert connector.roles == ("source",)
