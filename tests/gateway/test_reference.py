"""The API's description, to read."""

import re


def test_every_operation_is_in_it_and_nothing_comes_from_elsewhere(client):
    document = client.get("/api/openapi.json").json()

    answer = client.get("/api/docs")

    assert answer.status_code == 200
    wanted = {
        f"{method.upper()} {path}" for path, one in document["paths"].items() for method in one
    }
    assert wanted <= set(re.findall(r"<code>([A-Z]+ [^<]+)</code>", answer.text))
    assert "<script" not in answer.text
    assert not re.findall(r"(?:src|href)=.?https?:", answer.text)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_what_a_request_may_say_is_told_with_its_place_and_type(client):
    page = client.get("/api/docs").text

    told = page[page.index("PATCH /api/v2/sync-schedules/{schedule_id}</code>") :]
    told = told[: told.index("</details>")]
    rows = dict(re.findall(r"<tr><td><code>(\S+)</code>(.*?)</tr>", told, re.DOTALL))
    cells = {
        name: re.findall(r"(?:\(required\)|<td>[^<]+</td>)", row) for name, row in rows.items()
    }
    assert cells["schedule_id"][:3] == ["(required)", "<td>path</td>", "<td>uuid</td>"]
    assert cells["timezone"][:2] == ["<td>body</td>", "<td>string or null</td>"]
    assert cells["is_active"][:2] == ["<td>body</td>", "<td>boolean or null</td>"]
    assert not {"email", "password"} & cells.keys()
