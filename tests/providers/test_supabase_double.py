"""The double of a project gives and refuses rows as Supabase's API does."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from connectors.testing.fake_api import FakeApi
from tests.providers.postgrest import KEY as PROJECT_KEY
from tests.providers.postgrest import Project


@pytest.fixture
def project(api: FakeApi, postgres_url: str) -> Project:
    project = Project(api, postgres_url, max_rows=4)
    project.run(
        "DROP TABLE IF EXISTS nuts; CREATE TABLE nuts AS SELECT n FROM generate_series(1, 6) n"
    )
    return project


def table(
    project: Project,
    name: str = "nuts",
    *,
    params: Mapping[str, str] | None = None,
    key: str = PROJECT_KEY,
    **said: str | None,
) -> httpx.Response:
    """Ask for a table's rows."""
    names = {"span": "Range", "prefer": "Prefer", "profile": "Accept-Profile"}
    headers = {names[one]: value for one, value in said.items() if value is not None}
    url = f"{project.api.url}/rest/v1/{name}"
    return httpx.get(url, params=params, headers={"apikey": key, **headers})


@pytest.mark.parametrize(
    ("span", "params", "rows", "told"),
    [
        ("0-1", {}, [1, 2], "0-1/*"),
        ("2-", {}, [3, 4, 5, 6], "2-5/*"),
        ("0-99", {}, [1, 2, 3, 4], "0-3/*"),
        ("0-1", {"offset": "2"}, [3, 4], "2-3/*"),
        ("9-12", {}, [], "*/*"),
        (None, {"limit": "2", "offset": "1"}, [2, 3], "1-2/*"),
        (None, {"limit": "0"}, [], "*/*"),
    ],
)
def test_a_project_gives_the_rows_of_a_range_and_never_more_than_its_most(
    project: Project, span: str | None, params: dict[str, str], rows: list[int], told: str
) -> None:
    answer = table(project, params={"order": "n.asc", **params}, span=span)

    assert [one["n"] for one in answer.json()] == rows
    assert (answer.status_code, answer.headers["Content-Range"]) == (200, told)


def test_a_project_that_counts_says_that_there_is_more_or_that_a_page_is_behind_the_end(
    project: Project,
) -> None:
    def counted(span: str) -> tuple[int, str | None, str | None]:
        answer = table(project, params={"order": "n.asc"}, span=span, prefer="count=exact")
        code = answer.json().get("code") if answer.is_error else None
        return answer.status_code, answer.headers.get("Content-Range"), code

    assert counted("0-1") == (206, "0-1/6", None)
    assert counted("6-9") == (206, "*/6", None)
    assert counted("7-9") == (416, None, "PGRST103")
    assert counted("3-1") == (416, None, "PGRST103")


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ({"key": "other"}, 401, "PGRST301"),
        ({"prefer": "handling=strict, answer=fast"}, 400, "PGRST122"),
        ({"profile": "secret"}, 406, "PGRST106"),
        ({"name": "bolts"}, 404, "PGRST205"),
        ({"params": {"n": "around.3"}}, 400, "PGRST100"),
        ({"params": {"m": "eq.3"}}, 400, "42703"),
    ],
)
def test_a_project_refuses_in_its_own_codes(
    project: Project, how: dict[str, Any], status: int, code: str
) -> None:
    answer = table(project, **how)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
