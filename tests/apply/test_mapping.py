"""A mapping in a file: read into the stream, kept by the catalog, refused by its line."""

from textwrap import dedent

from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.catalog.codec import stream_from_json, stream_to_json

FILE = """\
tenant: acme
connections:
  shop: {{connector: database, config: {{url: "sqlite:////tmp/shop.db"}}}}
syncs:
  orders:
    source: shop
    destination: shop
    streams:
      - name: orders
        primary_key: [id]
        mapping:
{mapping}
"""


def parsed(mapping):
    indented = "\n".join(f"          {line}" for line in dedent(mapping).strip().splitlines())
    return parse_manifest(FILE.format(mapping=indented), file="acme.yaml", environment={})


def test_a_mapping_is_part_of_its_stream_and_survives_the_catalog():
    found = parsed("""
        omit: [note]
        rename: {at: changed_at}
        constant: {shop: north}
        expression: {total: "round(net * 1.19, 2)"}
        cast: {id: text}
    """)

    assert found.problems == ()
    (stream,) = found.manifest.syncs[0].streams
    assert stream.mapping is not None
    assert stream.mapping.expression[0].written == "round(net * 1.19, 2)"
    assert stream_from_json(stream_to_json(stream)) == stream


def test_a_wrong_expression_is_refused_with_its_line_and_position():
    found = parsed("""
        rename: {at: changed_at}
        expression:
          total: round(net * 1.19, 2)
          name: concta(first, last)
    """)

    (problem,) = found.problems
    assert problem.line == 15
    assert problem.message == (
        "mapping.expression.name: at character 1: there is no function 'concta'; "
        "did you mean 'concat'?"
    )


def test_a_mapping_that_loses_the_key_is_refused():
    found = parsed("omit: [id]")

    (problem,) = found.problems
    assert "mapping.omit: 'id' is part of the primary key" in problem.message


def test_a_schema_policy_of_the_sync_holds_for_its_streams_unless_one_has_its_own():
    text = FILE.replace(
        "    streams:\n", "    schema: freeze\n    on_conflict: variant\n    streams:\n"
    ).format(mapping="          omit: [note]")
    text += "      - {name: customers, schema: ignore_new}\n      - countries\n"

    found = parse_manifest(text, file="acme.yaml", environment={})

    assert found.problems == ()
    policies = [one.schema_policy for one in found.manifest.syncs[0].streams]
    assert policies == ["freeze", "ignore_new", "freeze"]
    for stream in found.manifest.syncs[0].streams:
        assert stream.on_conflict == "variant"
        assert stream_from_json(stream_to_json(stream)) == stream


def test_an_unknown_policy_is_refused():
    text = FILE.replace("    streams:\n", "    schema: frozen\n    streams:\n")

    (problem,) = parse_manifest(
        text.format(mapping="          omit: [note]"), file="acme.yaml", environment={}
    ).problems

    assert problem.message == "schema 'frozen' is not known; did you mean 'freeze'?"
