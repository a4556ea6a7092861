"""The configuration of a files source: what is wrong or missing in it is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors import registry
from connectors.errors import ConfigError
from connectors.files.config import FilesConfig
from tests.connectors.files.objects import batches, ids, write


@pytest.mark.parametrize(
    ("config", "wrong"),
    [
        ({"url": "file:///data/../etc"}, r"'\.\.'"),
        ({"url": "file://etc/passwd"}, "absolute"),
        ({"url": "ftp://host/x"}, "sftp://"),
        ({"url": "sftp://user:secret@host/x"}, "password"),
        ({"url": "s3://bucket", "streams": {"a": {"path": "../x/*.csv"}}}, "below"),
        ({"url": "s3://bucket", "streams": {"a": {"path": "/etc/*"}}}, "below"),
        ({"url": "s3://b", "streams": {"a": {"path": "*", "columns": {"n": "number"}}}}, "integer"),
        ({"url": "s3://b", "streams": {"a": {"path": "*", "csv": {"encoding": "x"}}}}, "latin-1"),
    ],
)
def test_a_wrong_configuration_is_refused_with_what_would_be_right(
    config: Mapping[str, Any], wrong: str
) -> None:
    with pytest.raises(ConfigError, match=wrong) as refused:
        registry.get("files").parse(config)

    assert "secret" not in str(refused.value)


def test_credentials_are_not_shown() -> None:
    config = FilesConfig.model_validate(
        {"url": "sftp://me@host/in", "password": "hush", "private_key": "hush"}
    )

    assert "hush" not in repr(config)
    assert config.redacted == "sftp://host/in"


def test_a_file_that_says_nothing_of_its_format_is_refused_with_the_remedy(tmp_path: Path) -> None:
    write(tmp_path, "a.dat", "id\n1\n")

    with pytest.raises(ConfigError, match=r"a.dat.*set format"):
        batches(tmp_path, path="*.dat")


def test_a_stream_without_files_says_so(tmp_path: Path) -> None:
    config = {"url": tmp_path.as_uri(), "streams": {"orders": {"path": "none/*.csv"}}}
    source = registry.get("files").open_source(config)

    offered = source.stream("orders")

    assert offered.note == "no file matches 'none/*.csv' yet"
    assert ids(batches(tmp_path, path="none/*.csv")) == []
