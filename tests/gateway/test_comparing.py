"""Secrets are compared in a time that does not tell how far they are equal: everywhere."""

import ast
from pathlib import Path

import pytest

import connectors
import sync_pipelines

ROOMS = [
    *Path(sync_pipelines.__file__).parent.joinpath("gateway").rglob("*.py"),
    *Path(sync_pipelines.__file__).parent.joinpath("catalog").glob("*.py"),
    *Path(sync_pipelines.__file__).parent.joinpath("notify").glob("*.py"),
    *Path(connectors.__file__).parent.joinpath("webhooks").rglob("*.py"),
]
"""Where something is let in by what it says."""

SECRET = ("secret", "signature", "csrf", "password", "digest", "hmac", "mac", "token", "hash")

PLAIN = {
    "audit.py: row['previous_hash'] != head",
    "audit.py: digest(content) != row['hash']",
    "audit.py: head == kept",
    "audit.py: head == end.hash",
    "audit.py: end.length != places[end.hash]",
    "idempotency.py: row.request_hash == request_hash",
    "once.py: answered.request_hash != request_hash",
}
"""What is no secret: a chain of hashes that everybody may know, and what one has sent oneself."""


def suspicious(path):
    """Comparisons by value of something that is called like a secret.

    Not those that PostgreSQL makes: it finds a hash by its index, and a secret of 256 bits
    is not guessed by the time that takes.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) for side in sides):
                continue
            if any(isinstance(side, ast.Attribute) and is_column(side) for side in sides):
                continue
            if any(word in named(side) for side in sides for word in SECRET):
                yield f"{path.name}: {ast.unparse(node)}"


def is_column(side):
    return isinstance(side.value, ast.Name) and side.value.id.endswith("Row")


def named(side):
    words = {part.id for part in ast.walk(side) if isinstance(part, ast.Name)}
    words |= {part.attr for part in ast.walk(side) if isinstance(part, ast.Attribute)}
    words |= {str(part.value) for part in ast.walk(side) if isinstance(part, ast.Constant)}
    return {word for one in words for word in one.lower().split("_")}


def test_no_secret_is_compared_by_equality():
    found = {one for path in ROOMS for one in suspicious(path)}

    assert found - PLAIN == set()


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("given == kept_secret", 1),
        ("request.signature != expected", 1),
        ("row['hash'] == hash_of(word)", 1),
        ("token.secret == ''", 0),
        ("SessionRow.hash == hash_of(secret)", 0),
        ("name == other", 0),
    ],
)
def test_this_review_sees_what_it_should(tmp_path, line, number):
    file = tmp_path / "code.py"
    file.write_text(line)

    assert len(list(suspicious(file))) == number
